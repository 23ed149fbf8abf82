import type { SymbolTables } from "@cinderblock/symdb";
import type { BlockMeta } from "@cinderblock/block-meta";
import { type Hasher } from "@cinderblock/bytes";
import { withBlock } from "@cinderblock/errors";
import { decodeIndexColumns } from "@cinderblock/tsdb-index";
import { BlockSeries } from "./block-series.ts";
import { BlockTable, type TableContext } from "./block-table.ts";
import { type BlockFiles } from "./files.ts";
import { FlameIndex } from "./flame-index.ts";
import { LabelIndex } from "./label-index.ts";
import type { RowColumns, RowTable, WantedRows } from "./rows.ts";
import type { DownsampledTable, LabelSource, ProfileSource, SourceSeries } from "./source.ts";
import { StoredLabels } from "./stored-labels.ts";
import { BlockSymbols } from "./symbols.ts";

/** Downsampled tables with sums: `profiles_5m_sum.parquet`. */
const COARSE = /^profiles_(\d+)(m|h)_sum\.parquet$/;

const INDEX = "index.tsdb";

/**
 * One block, opened lazily: the index first, then columns and symbols on demand. Loaded data stays in memory.
 * Label questions need no open block: `labels` reads parts of the index.
 *
 *   open     index.tsdb -> series, labelIndex; profiles_*.parquet -> coarse
 *   load     profiles.parquet: keys of all rows, samples of wanted rows
 *   symbols  one partition -> tables, flame
 *
 * `partitions` grows while keys are loaded: a row's `partition` is an index into it. Before `open`, rows
 * fail.
 */
export class BlockReader implements ProfileSource {
  readonly ulid: string;
  readonly form = "block";
  readonly meta: BlockMeta;
  series: readonly SourceSeries[] = [];
  labelIndex = new LabelIndex(this.series);
  /** downsampled tables, the longest resolution first; aligned ranges of a query use them */
  coarse: DownsampledTable[] = [];
  readonly partitions: bigint[] = [];
  private table: BlockTable | undefined;
  private tables: BlockTable[] = [];
  private readonly blockSymbols: BlockSymbols;
  private readonly partitionAt = new Map<bigint, number>();
  /** partition's position -> its symbols; failed reads are forgotten */
  private readonly resolved = new Map<number, Promise<{ tables: SymbolTables; flame: FlameIndex }>>();
  private leaf: Uint32Array | undefined;
  private readonly files: BlockFiles;
  private readonly hasher: Hasher;
  private readonly storedLabels: StoredLabels;
  private opening: Promise<void> | undefined;
  private otherBytes = 0;

  constructor(meta: BlockMeta, files: BlockFiles, hasher: Hasher) {
    this.ulid = meta.ulid;
    this.meta = meta;
    this.files = files;
    this.hasher = hasher;
    this.blockSymbols = new BlockSymbols(meta, files);
    this.storedLabels = new StoredLabels(
      {
        ulid: meta.ulid,
        // The index of a block whose meta.json has no list of files is read completely.
        sizeBytes: meta.files.find((f) => f.relPath === INDEX)?.sizeBytes ?? 0,
        minTimeMs: meta.minTimeMs,
        maxTimeMs: meta.maxTimeMs,
        read: (offset, size) => files.read(INDEX, offset, size),
        loaded: () => (this.table ? this : undefined),
        load: async () => {
          await this.open();
          return this;
        },
      },
      hasher,
    );
  }

  get labels(): LabelSource {
    return this.storedLabels;
  }

  get rowCount(): number {
    return this.meta.stats.numProfiles;
  }

  /** bytes of the label index, decoded columns and symbols in memory */
  get heldBytes(): number {
    let n = this.otherBytes + this.labelIndex.byteLength + this.storedLabels.heldBytes;
    for (const t of this.tables) n += t.heldBytes;
    return n;
  }

  /**
   * Reads `index.tsdb` completely, once; a failed read is forgotten, so that the next call tries again.
   * @throws CorruptError with the block for a damaged index
   */
  open(): Promise<void> {
    this.opening ??= withBlock(this.ulid, () => this.readIndex()).catch((err: unknown) => {
      this.opening = undefined;
      throw err;
    });
    return this.opening;
  }

  private async readIndex(): Promise<void> {
    const bytes = await this.files.read(INDEX, 0, undefined);
    const columns = decodeIndexColumns(bytes, `${this.ulid}/${INDEX}`),
      all = new BlockSeries(columns, this.hasher);
    this.series = all.series;
    this.labelIndex = all.labelIndex;
    this.otherBytes += all.byteLength;
    const context: TableContext = {
      meta: this.meta,
      files: this.files,
      seriesIndex: columns.seriesIndex,
      partitionPosition: (id) => this.partitionPosition(id),
      leaf: () => this.leaf,
    };
    this.table = new BlockTable(context, "profiles.parquet");
    this.coarse = this.meta.files
      .flatMap((f) => {
        const m = COARSE.exec(f.relPath);
        return m
          ? [
              {
                nanos: BigInt(m[1]!) * (m[2] === "h" ? 3600n : 60n) * 1_000_000_000n,
                rows: new BlockTable(context, f.relPath),
              },
            ]
          : [];
      })
      .sort((a, b) => (a.nanos > b.nanos ? -1 : 1));
    this.tables = [this.table, ...this.coarse.map((c) => c.rows as BlockTable)];
  }

  get batchRows(): number {
    return this.table!.batchRows;
  }
  load(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable> {
    return this.table!.load(need, wanted);
  }
  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array {
    return this.table!.rowsOf(index, startNanos, endNanos);
  }
  release(): void {
    this.table!.release();
  }

  private partitionPosition(id: bigint): number {
    let at = this.partitionAt.get(id);
    if (at === undefined) {
      at = this.partitions.push(id) - 1;
      this.partitionAt.set(id, at);
    }
    return at;
  }

  // ---- symbols

  addHeldBytes(bytes: number): void {
    this.otherBytes += bytes;
  }

  symbols(partition: number): Promise<{ tables: SymbolTables; flame: FlameIndex }> {
    let known = this.resolved.get(partition);
    if (!known) {
      known = this.blockSymbols.read(this.partitions[partition]!).then(({ tables, leaf }) => {
        if (leaf) {
          this.leaf = leaf;
          this.table!.replaceRowNumbersByLeaves(leaf);
        }
        const flame = new FlameIndex();
        flame.extend(tables);
        this.otherBytes +=
          tables.stringBytes.length +
          4 * (tables.functionWords.length + tables.locationWords.length + 3 * tables.stackParent.length) +
          flame.byteLength;
        return { tables, flame };
      });
      this.resolved.set(partition, known);
      known.catch(() => this.resolved.delete(partition));
    }
    return known;
  }
}
