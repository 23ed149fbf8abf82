import { CorruptError, withBlock } from "@cinderblock/errors";
import type { BlockMeta } from "@cinderblock/block-meta";
import {
  decodeParquetSymbols,
  decodePartitionV3,
  decodeStacks,
  decodeStacktraceTable,
  decodeSymdbFooter,
  decodeSymdbIndex,
  type ParquetSymbols,
  type PartitionIndex,
  selectPartition,
  SYMDB_FOOTER_SIZE,
  type SymbolTables,
  type SymdbIndex,
} from "@cinderblock/symdb";
import { type BlockFiles, tailBytes } from "./files.ts";

/**
 * Symbols of one block, read partition by partition, in all layouts that v1 reads. Caches the index, and the
 * tables that the partitions of old layouts share. Format: docs/formats/symbols-symdb.md
 *
 *   symbols.symdb listed          footer -> index -> one read per partition
 *   index.symdb version 2         index, four Parquet tables (read once), stack trees per partition
 *   index.symdb version 1         as version 2, but each partition has all rows of the tables
 *   neither                       meta version 1: five Parquet tables, one partition
 *
 * Failed reads are not cached: the next call tries again.
 */
export class BlockSymbols {
  private symdb: Promise<SymdbIndex | undefined> | undefined;
  /** a small symbols.symdb, read completely with its footer; kept until its partitions are read */
  private small: Uint8Array | undefined;
  private parquetSymbols: Promise<ParquetSymbols> | undefined;
  private readonly meta: BlockMeta;
  private readonly files: BlockFiles;

  constructor(meta: BlockMeta, files: BlockFiles) {
    this.meta = meta;
    this.files = files;
  }

  private name(file: string): string {
    return `${this.meta.ulid}/${file}`;
  }

  /** Path of a file by its base name, as v1 looks it up; files absent from the meta's list do not exist. */
  private file(base: string): string | undefined {
    return this.meta.files.find((f) => f.relPath === base || f.relPath.endsWith(`/${base}`))?.relPath;
  }

  /** Decoded index; undefined for meta version 1. */
  private index(): Promise<SymdbIndex | undefined> {
    this.symdb ??= (async (): Promise<SymdbIndex | undefined> => {
      const single = this.file("symbols.symdb");
      if (single !== undefined) {
        const size =
          this.meta.files.find((f) => f.relPath === single)?.sizeBytes || (await this.files.size(single));
        const tailSize = tailBytes(size);
        const tail = await this.files.read(single, size - tailSize, tailSize);
        const offset = decodeSymdbFooter(tail.subarray(tail.length - SYMDB_FOOTER_SIZE), this.name(single));
        if (tailSize === size) this.small = tail;
        const end = size - SYMDB_FOOTER_SIZE;
        if (offset > end)
          throw new CorruptError(this.name(single), size, "expected the index inside the file");
        const bytes =
          offset >= size - tailSize
            ? tail.subarray(offset - (size - tailSize), tailSize - SYMDB_FOOTER_SIZE)
            : await this.files.read(single, offset, end - offset);
        return decodeSymdbIndex(bytes, this.name(single));
      }
      const index = this.file("index.symdb");
      if (index === undefined) return undefined;
      return decodeSymdbIndex(await this.files.read(index, 0, undefined), this.name(index));
    })();
    this.symdb.catch(() => {
      this.symdb = undefined;
    });
    return this.symdb;
  }

  /**
   * Tables of a partition, which the caller owns. `leaf` is set if the block's stacktrace IDs are row numbers
   * (meta version 1): row -> stack node.
   * @throws CorruptError with the block for a missing file or partition, and for damaged bytes
   */
  read(id: bigint): Promise<{ tables: SymbolTables; leaf?: Uint32Array }> {
    return withBlock(this.meta.ulid, () => this.partition(id));
  }

  private async partition(id: bigint): Promise<{ tables: SymbolTables; leaf?: Uint32Array }> {
    const index = await this.index();
    if (!index) {
      const shared = await this.sharedSymbols();
      const name = this.file("stacktraces.parquet");
      if (name === undefined)
        throw new CorruptError(this.name("meta.json"), 0, "expected symbol files in the block's file list");
      const stacks = decodeStacktraceTable(
        await this.files.read(name, 0, undefined),
        this.meta.ulid,
      ) as ReturnType<typeof decodeStacktraceTable> & { leaf: Uint32Array };
      return {
        tables: {
          ...selectPartition(shared, undefined, this.meta.ulid),
          stackParent: stacks.stackParent,
          stackLocation: stacks.stackLocation,
        },
        leaf: stacks.leaf,
      };
    }
    const p = index.partitions.find((x) => x.partition === id);
    if (!p) throw new CorruptError(this.name("symbols"), 0, `expected symbol partition ${id}`);
    return { tables: await (index.version === 3 ? this.partitionV3(p) : this.partitionV2(p, index.version)) };
  }

  private async partitionV3(p: PartitionIndex): Promise<SymbolTables> {
    const file = this.file("symbols.symdb")!;
    // The data of a partition is contiguous: one read suffices.
    let from = Infinity,
      to = 0;
    for (const t of [...p.tables!, ...p.stacks]) {
      from = Math.min(from, t.offset);
      to = Math.max(to, t.offset + t.size);
    }
    const bytes =
      this.small && to <= this.small.length
        ? this.small.subarray(from, Math.max(from, to))
        : await this.files.read(file, from, Math.max(0, to - from));
    return decodePartitionV3(
      p,
      (offset, size) => {
        if (offset - from + size > bytes.length)
          throw new CorruptError(this.name(file), offset, `expected ${size} bytes`);
        return bytes.subarray(offset - from, offset - from + size);
      },
      this.name(file),
    );
  }

  private async partitionV2(p: PartitionIndex, version: number): Promise<SymbolTables> {
    const file = this.file("stacktraces.symdb");
    if (file === undefined)
      throw new CorruptError(
        this.name("meta.json"),
        0,
        "expected stacktraces.symdb in the block's file list",
      );
    const [shared, ...stacks] = await Promise.all([
      this.sharedSymbols(),
      ...p.stacks.map((h) => this.files.read(file, h.offset, h.size)),
    ]);
    return {
      ...selectPartition(shared, version === 2 ? p.ranges : undefined, this.meta.ulid),
      ...decodeStacks(p.stacks, (h) => stacks[p.stacks.indexOf(h)]!, this.name(file)),
    };
  }

  /** The four Parquet tables of the block, read completely. */
  private sharedSymbols(): Promise<ParquetSymbols> {
    this.parquetSymbols ??= (async (): Promise<ParquetSymbols> => {
      const read = (table: string): Promise<Uint8Array> => {
        const name = this.file(`${table}.parquet`);
        if (name === undefined)
          throw new CorruptError(
            this.name("meta.json"),
            0,
            `expected ${table}.parquet in the block's file list`,
          );
        return this.files.read(name, 0, undefined);
      };
      const [strings, functions, mappings, locations] = await Promise.all(
        ["strings", "functions", "mappings", "locations"].map(read),
      );
      return decodeParquetSymbols(
        { strings: strings!, functions: functions!, mappings: mappings!, locations: locations! },
        this.meta.ulid,
      );
    })();
    this.parquetSymbols.catch(() => {
      this.parquetSymbols = undefined;
    });
    return this.parquetSymbols;
  }
}
