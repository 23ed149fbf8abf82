import { SymbolPartition, SymbolRewriter, SymdbWriter } from "@cinderblock/symdb";
import type { UsedStacks } from "./row-decisions.ts";
import type { SourceBlock } from "./source-block.ts";
import type { StackMaps } from "./stack-maps.ts";

const unsigned = (id: bigint): bigint => BigInt.asUintN(64, id);

/**
 * Rewrites symbols partition by partition, in ascending ID: only the symbols that a shard's rows reach, each
 * content once. Holds one partition of one source, and that partition of every output. Fills `maps` for the
 * second pass.
 */
export async function rewriteSymbols(
  sources: readonly SourceBlock[],
  used: UsedStacks,
  maps: StackMaps,
  sinks: readonly ((bytes: Uint8Array) => void)[],
): Promise<void> {
  const writers = sinks.map((s) => new SymdbWriter(s));
  const partitions = [...new Set(used.flatMap((bySource) => bySource.flatMap((m) => [...m.keys()])))].sort(
    (a, b) => (unsigned(a) < unsigned(b) ? -1 : 1),
  );
  for (const id of partitions) {
    const targets = sinks.map(() => new SymbolPartition());
    const leaves = sinks.map(() => new Set<number>());
    for (const [s, source] of sources.entries()) {
      if (!used.some((bySource) => bySource[s]!.has(id))) continue;
      const { tables, leaf } = await source.symbols.read(unsigned(id));
      for (const [shard, bySource] of used.entries()) {
        const set = bySource[s]!.get(id);
        if (!set) continue;
        const rewriter = new SymbolRewriter(tables, targets[shard]!);
        const map = new Uint32Array(set.length);
        set.forEach((stack) => {
          const node = rewriter.targetStack(leaf ? (leaf[stack] ?? 0) : stack);
          map[stack] = node;
          leaves[shard]!.add(node);
        });
        maps.put(shard, s, id, map);
        bySource[s]!.delete(id);
      }
    }
    targets.forEach((target, shard) => {
      if (leaves[shard]!.size === 0) return;
      // v1's readers require a mapping if there are locations.
      if (target.mappings.length === 0) target.mappings.intern(new Uint32Array(9), 9);
      writers[shard]!.add({
        partition: unsigned(id),
        tables: target.tables(),
        stacktraces: leaves[shard]!.size,
      });
    });
  }
  writers.forEach((w, shard) => sinks[shard]!(w.finish()));
}
