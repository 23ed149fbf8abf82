import { messageOf } from "@cinderblock/errors";
import type { CaughtUp } from "@cinderblock/transport";

/**
 * Whether ingesters that answer have between them, in whatever zone, every partition up to its end: then nothing is missing
 * that a silent one has. One that still catches up does not count.
 * @param ask what an ingester has read; fails where it does not answer
 * @param older what was held true before ingesters could say so: one of the release before answers
 */
export async function partitionsCovered<Member>(
  answering: readonly Member[],
  ask: (m: Member) => Promise<CaughtUp>,
  older: () => boolean,
): Promise<boolean> {
  const answers = await Promise.allSettled(answering.map(ask));
  if (answers.some((a) => a.status === "rejected" && /does not know/.test(messageOf(a.reason))))
    return older();
  const read = new Set<number>();
  let of = 0;
  for (const a of answers) {
    if (a.status === "rejected") continue; // it fell silent meanwhile
    of = Math.max(of, a.value.of);
    for (const p of a.value.partitions) read.add(p);
  }
  return of > 0 && read.size >= of;
}
