import { type ArrowColumn, encodeBatch, withoutEndMarker, withoutSchema } from "@cinderblock/arrow";
import { type PartialSamples, spanText, uuidText } from "@cinderblock/query";
import type { SampleTable } from "./formats.ts";

/** Reserved column names: a label with such a name gets the prefix `label_`. */
const OWN = new Set(["time", "profile_id", "span_id", "stack", "value"]);

/**
 * Names of the columns in their order:
 *
 *   samples   time | profile_id | span_id | labels ... | stack | value
 *   profiles  time | profile_id | labels ... | value
 */
export function columnsOf({ rows, labels }: SampleTable): string[] {
  const own = labels.map((l) => (OWN.has(l) ? `label_${l}` : l));
  return rows === "samples"
    ? ["time", "profile_id", "span_id", ...own, "stack", "value"]
    : ["time", "profile_id", ...own, "value"];
}

/** Numbers texts in order of first use. */
class Words {
  readonly list: Uint8Array[] = [];
  private readonly known = new Map<string, number>();
  of(text: string): number {
    let i = this.known.get(text);
    if (i === undefined) this.known.set(text, (i = this.list.push(Buffer.from(text)) - 1));
    return i;
  }
}

/**
 * Encodes one part of an export as a piece of an Arrow IPC stream: the first piece has the schema, the last
 * one the end. The concatenated pieces are the stream.
 *
 *   first:  schema | dictionaries | batch
 *   others:          dictionaries | batch
 *   last:            dictionaries | batch | end
 *
 * Each piece has its own dictionaries, so that memory is that of one piece. Times are cut to microseconds.
 * @param p rows of profiles and of samples; sample i belongs to the profile at p.row[i]
 */
export function exportSamples(
  p: PartialSamples,
  table: SampleTable,
  first: boolean,
  last: boolean,
): Uint8Array {
  const stream = encodeBatch(table.rows === "samples" ? samples(p, table) : profiles(p, table), {
    "cinderblock.profile_type": table.profileType,
  });
  const ended = last ? stream : withoutEndMarker(stream);
  return first ? ended : withoutSchema(ended);
}

/** Columns of a table of profiles: only the profiles at the positions `at`. */
function ofProfiles(
  p: PartialSamples,
  { labels }: SampleTable,
  names: readonly string[],
  at: Uint32Array,
): { time: ArrowColumn; id: ArrowColumn; labels: ArrowColumn[] } {
  const n = at.length,
    time = new BigInt64Array(n),
    ids = new Words(),
    id = new Int32Array(n);
  const idOf = Int32Array.from(p.rowSeries, (_, r) => ids.of(uuidText(p.rowId, r)));
  for (let i = 0; i < n; i++) {
    time[i] = p.rowTime[at[i]!]! / 1000n;
    id[i] = idOf[at[i]!]!;
  }
  return {
    time: { name: "time", kind: "time", values: time },
    id: { name: "profile_id", kind: "text", words: ids.list, index: id },
    labels: labels.map((label, k) => {
      const words = new Words(),
        bySeries = p.series.map((s) => {
          const l = s.find((x) => x.name === label);
          return l ? words.of(l.value) : -1;
        });
      return {
        name: names[k]!,
        kind: "text",
        words: words.list,
        index: Int32Array.from(at, (r) => bySeries[p.rowSeries[r]!]!),
      };
    }),
  };
}

const valueColumn = (values: BigInt64Array, { unit }: SampleTable): ArrowColumn => ({
  name: "value",
  kind: "number",
  values,
  metadata: { unit },
});

function profiles(p: PartialSamples, table: SampleTable): ArrowColumn[] {
  const sums = new BigInt64Array(p.rowSeries.length);
  for (let i = 0; i < p.row.length; i++) sums[p.row[i]!]! += p.value[i]!;
  const c = ofProfiles(
    p,
    table,
    columnsOf(table).slice(2),
    Uint32Array.from(p.rowSeries, (_, r) => r),
  );
  return [c.time, c.id, ...c.labels, valueColumn(sums, table)];
}

function samples(p: PartialSamples, table: SampleTable): ArrowColumn[] {
  const c = ofProfiles(p, table, columnsOf(table).slice(3), p.row),
    n = p.row.length;
  const spans = new Words(),
    span = new Int32Array(n);
  for (let i = 0; i < n; i++) {
    const low = p.span[2 * i]!,
      high = p.span[2 * i + 1]!;
    span[i] = (low | high) === 0 ? -1 : spans.of(spanText(low, high));
  }
  const { tree } = p,
    depth = new Uint32Array(tree.parent.length),
    offset = new Int32Array(n + 1);
  for (let node = 1; node < depth.length; node++) depth[node] = depth[tree.parent[node]!]! + 1;
  for (let i = 0; i < n; i++) offset[i + 1] = offset[i]! + depth[p.stack[i]!]!;
  const item = new Int32Array(offset[n]!);
  // Write each sample's frames from its leaf upwards, from the end: the list has the root first.
  for (let i = 0; i < n; i++)
    for (let node = p.stack[i]!, at = offset[i + 1]!; node > 0; node = tree.parent[node]!)
      item[--at] = tree.name[node]!;
  const words = Array.from({ length: tree.nameOffset.length - 1 }, (_, i) =>
    tree.nameBytes.subarray(tree.nameOffset[i]!, tree.nameOffset[i + 1]!),
  );
  return [
    c.time,
    c.id,
    { name: "span_id", kind: "text", words: spans.list, index: span },
    ...c.labels,
    { name: "stack", kind: "list", words, item, offset },
    valueColumn(p.value, table),
  ];
}
