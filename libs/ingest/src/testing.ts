import type { ProcessedProfile } from "./profile-sink.ts";
import { stringAt } from "./strings.ts";

/** Frames of a sample, root first, each formatted by `text`; a frame without lines is `mapping+address`. */
export function framesOf(
  { profile: p }: ProcessedProfile,
  sample: number,
  text = (name: string, _line: bigint | number): string => name,
): string[] {
  const t = p.tables,
    frames: string[] = [];
  for (let k = p.sampleFrom[sample]!; k < p.sampleTo[sample]!; k++) {
    const l = p.refLocation[k]!;
    if (t.locLines.data[l] === t.locLines.data[l + 1])
      frames.push(`${stringAt(t, t.mappingFilename.data[p.locationMapping[l]!]!)}+${t.locAddress.data[l]}`);
    for (let n = t.locLines.data[l]!; n < t.locLines.data[l + 1]!; n++)
      frames.push(text(stringAt(t, t.funcName.data[p.lineFunction[n]!]!), t.lineNumber.data[n]!));
  }
  return frames.reverse();
}
