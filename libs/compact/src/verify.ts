import type { BlockFiles } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CorruptError, withBlock } from "@cinderblock/errors";
import { SourceBlock } from "./source-block.ts";

/**
 * Reads a complete block as readers do: index, order of rows, every page of the table, every referenced
 * symbol partition, every stack.
 * @throws for a damaged block
 */
export function verifyBlock(meta: BlockMeta, files: BlockFiles): Promise<void> {
  return withBlock(meta.ulid, () => verify(meta, files));
}

async function verify(meta: BlockMeta, files: BlockFiles): Promise<void> {
  const block = await SourceBlock.open(meta, files);
  const stream = block.rows(true, { maxEntries: 65_536, windowBytes: 512 << 10 });
  const used = new Map<bigint, number>();
  const sum = new BigInt64Array(1);
  let rows = 0,
    samples = 0;
  for (let r = await stream.next(); r; r = await stream.next()) {
    for (let i = 0; i < r.length; i++) {
      let most = used.get(r.partition[i]!) ?? 0;
      sum[0] = 0n;
      const { offset, slots } = r.value!;
      for (let k = offset![i]!; k < offset![i + 1]!; k++) sum[0]! += (slots as BigInt64Array)[k]!;
      for (let k = r.offset[i]!; k < r.offset[i + 1]!; k++) most = Math.max(most, r.stacktraceWords[2 * k]!);
      used.set(r.partition[i]!, most);
      samples += r.offset[i + 1]! - r.offset[i]!;
      if (sum[0] !== r.total[i])
        throw new CorruptError(
          `${meta.ulid}/profiles.parquet`,
          rows + i,
          `expected TotalValue ${sum[0]}, found ${r.total[i]}`,
        );
    }
    rows += r.length;
  }
  const { stats } = meta;
  if (rows !== stats.numProfiles || samples !== stats.numSamples || block.series.length !== stats.numSeries) {
    throw new CorruptError(
      `${meta.ulid}/meta.json`,
      0,
      `expected ${stats.numProfiles} profiles, ${stats.numSamples} samples and ${stats.numSeries} series, found ${rows}, ${samples} and ${block.series.length}`,
    );
  }
  for (const [partition, most] of used) {
    const { tables, leaf } = await block.symbols.read(BigInt.asUintN(64, partition));
    const nodes = leaf ? leaf.length : tables.stackParent.length;
    if (most >= nodes)
      throw new CorruptError(
        `${meta.ulid}/symbols`,
        0,
        `expected stack ${most} in symbol partition ${BigInt.asUintN(64, partition)} of ${nodes} stacks`,
      );
  }
}
