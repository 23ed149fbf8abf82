import { type BlockFiles, BlockReader, selectSeries } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import type { Hasher } from "@cinderblock/bytes";
import { parseSelector } from "@cinderblock/model";
import { type Drop, spanOf } from "./drops.ts";

/** What a drop would take out of a block. */
export interface DropCount {
  series: number;
  profiles: number;
}

/** For each drop, the rows of a block that it names, by the index and the columns of series and times: nothing else is read. */
export async function countDrops(
  meta: BlockMeta,
  files: BlockFiles,
  drops: readonly Drop[],
  hasher: Hasher,
): Promise<DropCount[]> {
  const reader = new BlockReader(meta, files, hasher);
  const out: DropCount[] = [];
  for (const d of drops) {
    const count: DropCount = { series: 0, profiles: 0 };
    out.push(count);
    if (meta.minTimeMs > d.endMs || meta.maxTimeMs < d.startMs) continue;
    await reader.open();
    const { from, to } = spanOf(d);
    const picked = selectSeries(reader.series, parseSelector(d.selector)).filter(
      (i) => reader.series[i]!.minTimeNanos <= to && reader.series[i]!.maxTimeNanos >= from,
    );
    if (picked.length === 0) continue;
    await reader.load(["keys"]);
    for (const i of picked) {
      const n = reader.rowsOf(i, from, to).length;
      count.profiles += n;
      if (n > 0) count.series++;
    }
  }
  return out;
}
