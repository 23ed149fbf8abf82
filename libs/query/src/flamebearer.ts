/** Metadata of a flamebearer besides its format and name. */
export interface FlamebearerMetadata {
  spyName: string;
  sampleRate: number;
  units: string;
}

/** Metadata of a flamebearer in v1's words; `own` replaces those of its type and unit. */
function metadata(
  sampleType: string,
  sampleUnit: string,
  format: "single" | "double",
  own: FlamebearerMetadata | undefined,
): object {
  if (own) return { format, ...own, name: sampleType };
  const objects = ["inuse_objects", "alloc_objects", "goroutine", "samples"].includes(sampleType);
  const cpu = sampleType === "cpu";
  return {
    format,
    spyName: "",
    sampleRate: cpu ? 1_000_000_000 : 100,
    units: cpu ? "samples" : objects ? "objects" : sampleUnit,
    name: sampleType,
  };
}

/** Text before the numbers of the first level in a flamebearer. */
const ROOT = '"levels":[[';

/**
 * Wraps an encoded `flamebearer` object into the complete answer of /pyroscope/render. For a double one, adds
 * the totals of both sides, taken from its first bar.
 */
export function flamebearerProfile(
  sampleType: string,
  sampleUnit: string,
  format: "single" | "double",
  flamebearer: Uint8Array,
  more: { timeline: object | null; groups: object | null } = { timeline: null, groups: null },
  shown?: FlamebearerMetadata,
): Buffer {
  const head = JSON.stringify({
    version: 1,
    metadata: metadata(sampleType, sampleUnit, format, shown),
    ...more,
    heatmap: null,
  });
  const text = Buffer.from(flamebearer.buffer, flamebearer.byteOffset, flamebearer.length);
  let ticks = "";
  if (format === "double") {
    const from = text.indexOf(ROOT) + ROOT.length,
      [, left = "0", , , right = "0"] = text.toString("latin1", from, text.indexOf("]", from)).split(",");
    ticks = `${left === "0" ? "" : `,"leftTicks":${left}`}${right === "0" ? "" : `,"rightTicks":${right}`}`;
  }
  return Buffer.concat([Buffer.from(`${head.slice(0, -1)},"flamebearer":`), text, Buffer.from(`${ticks}}`)]);
}
