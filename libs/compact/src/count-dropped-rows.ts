import { type BlockFiles, BlockReader } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import type { Hasher } from "@cinderblock/bytes";
import { parseSelector } from "@cinderblock/model";
import { type RowSelection, nanosOfSelection } from "./row-selection.ts";

/** Number of series and profiles in a block that a drop would remove. */
export interface DropCount {
  series: number;
  profiles: number;
}

/**
 * For each list of row selections to drop, counts the matching rows of a block. Reads only the index and the
 * columns of series and times.
 */
export async function countDroppedRows(
  meta: BlockMeta,
  files: BlockFiles,
  drops: readonly RowSelection[],
  hasher: Hasher,
): Promise<DropCount[]> {
  const reader = new BlockReader(meta, files, hasher);
  const out: DropCount[] = [];
  for (const d of drops) {
    const count: DropCount = { series: 0, profiles: 0 };
    out.push(count);
    if (meta.minTimeMs > d.endMs || meta.maxTimeMs < d.startMs) continue;
    await reader.open();
    const { from, to } = nanosOfSelection(d);
    const picked = reader.labelIndex
      .select(parseSelector(d.selector))
      .filter((i) => reader.series[i]!.minTimeNanos <= to && reader.series[i]!.maxTimeNanos >= from);
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
