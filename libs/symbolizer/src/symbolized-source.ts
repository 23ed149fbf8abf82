import {
  type LabelIndex,
  FlameIndex,
  type ProfileSource,
  type RowColumns,
  type RowTable,
  type SourceForm,
  type SourceSeries,
  type WantedRows,
  type DownsampledTable,
} from "@cinderblock/block";
import { decodeUtf8 } from "@cinderblock/bytes";
import { U32Column } from "@cinderblock/columnar";
import type { AddressTable } from "@cinderblock/native-symbols";
import {
  LOCATION_HEAD,
  MAPPING_WORDS,
  SymbolPartition,
  SymbolRewriter,
  type SymbolTables,
} from "@cinderblock/symdb";

/** State of a file's table: here, absent or failed (each until a time), or being fetched. */
export type TableState =
  | { state: "here"; table: AddressTable }
  | { state: "absent"; untilMs: number }
  | { state: "failed"; untilMs: number; reason: string }
  | { state: "pending" };
/** Source of address tables. */
export interface TableSource {
  get(tenant: string, buildId: string): Promise<TableState>;
}

type Symbols = Awaited<ReturnType<ProfileSource["symbols"]>>;

/**
 * A source that names frames without functions by the tables of their files. Rows are those of the inner
 * source.
 */
export class SymbolizedSource implements ProfileSource {
  readonly ulid: string;
  readonly form: SourceForm;
  readonly countsUnnamed = true;
  /** time from which to ask for the tables again, because some were missing */
  staleAtMs = Infinity;
  /** reason why frames lack names that a later query may find; undefined if all available names are set */
  unnamed: string | undefined;
  private readonly inner: ProfileSource;
  private readonly tables: TableSource;
  private readonly tenant: string;
  private readonly partitions = new Map<number, { overlay: Overlay; last: Promise<unknown> }>();

  constructor(inner: ProfileSource, tenant: string, tables: TableSource) {
    this.inner = inner;
    this.tenant = tenant;
    this.tables = tables;
    this.ulid = inner.ulid;
    this.form = inner.form;
  }

  get rowCount(): number {
    return this.inner.rowCount;
  }
  get series(): readonly SourceSeries[] {
    return this.inner.series;
  }
  get labelIndex(): LabelIndex {
    return this.inner.labelIndex;
  }
  get coarse(): readonly DownsampledTable[] {
    return this.inner.coarse;
  }
  get batchRows(): number {
    return this.inner.batchRows;
  }
  rowsOf(index: number, startNanos: bigint, endNanos: bigint): Uint32Array {
    return this.inner.rowsOf(index, startNanos, endNanos);
  }
  load(need: readonly RowColumns[], wanted?: WantedRows): Promise<RowTable> {
    return this.inner.load(need, wanted);
  }
  release(): void {
    this.inner.release();
  }

  symbols(partition: number): Promise<Symbols> {
    let p = this.partitions.get(partition);
    if (!p) this.partitions.set(partition, (p = { overlay: new Overlay(), last: Promise.resolve() }));
    const { overlay } = p,
      next = p.last.then(() => this.named(partition, overlay));
    p.last = next.catch(() => undefined);
    return next;
  }

  private async named(partition: number, overlay: Overlay): Promise<Symbols> {
    const inner = await this.inner.symbols(partition),
      own = await overlay.update(inner, (id) => this.table(id));
    if (!own) {
      this.staleAtMs = 0;
      this.unnamed ??= "function names arrived after the query began";
    }
    this.inner.addHeldBytes?.(overlay.grown());
    return own ?? inner;
  }

  private async table(buildId: string): Promise<AddressTable | undefined> {
    const found = await this.tables.get(this.tenant, buildId);
    if (found.state === "here") return found.table;
    this.staleAtMs = Math.min(this.staleAtMs, found.state === "pending" ? 0 : found.untilMs);
    if (found.state !== "absent")
      this.unnamed ??= `build id ${buildId}: ${found.state === "failed" ? found.reason : "the fetch is in progress"}`;
    return undefined;
  }
}

/**
 * Symbols of a partition with names for its bare frames; stacks keep their numbers. A partition without bare
 * frames stays unchanged.
 */
class Overlay {
  private symbols: SymbolPartition | undefined;
  private readonly flame = new FlameIndex();
  /** location of the partition -> location in `symbols` */
  private readonly locations = new U32Column(64);
  private readonly stackLocation = new U32Column(64);
  private checked = 0;
  /**
   * whether the partition was returned unchanged: its callers keep derived data, so names that arrive later
   * need a new source
   */
  private plain = false;
  private counted = 0;

  /** Bytes by which the symbol tables in memory grew since the last call. */
  grown(): number {
    if (!this.symbols) return 0;
    const t = this.symbols.tables(),
      now =
        t.stringBytes.length +
        t.stringOffset.byteLength +
        t.functionWords.byteLength +
        t.mappingWords.byteLength +
        t.locationWords.byteLength +
        t.locationOffset.byteLength +
        this.stackLocation.byteLength +
        this.locations.byteLength +
        this.flame.byteLength,
      more = now - this.counted;
    this.counted = now;
    return more;
  }

  /**
   * Current symbols; undefined if names have arrived for a partition that was returned without them: the
   * caller needs a new source.
   */
  async update(
    inner: Symbols,
    tableOf: (buildId: string) => Promise<AddressTable | undefined>,
  ): Promise<Symbols | undefined> {
    const { tables } = inner,
      count = tables.locationOffset.length - 1,
      found = new Map<number, AddressTable>();
    const bare = bareMappings(tables, this.checked, count);
    await Promise.all(
      [...bare].map(async ([mapping, buildId]) => {
        const table = await tableOf(buildId);
        if (table) found.set(mapping, table);
      }),
    );
    this.checked = count;
    if (!this.symbols && found.size === 0) {
      this.plain = true;
      return inner;
    }
    if (this.plain) return undefined;
    const symbols = (this.symbols ??= new SymbolPartition()),
      rewriter = new SymbolRewriter(tables, symbols),
      names = new Map<AddressTable, Map<number, number>>();
    for (let i = this.locations.length; i < count; i++)
      this.locations.push(named(tables, i, found, symbols, rewriter, names));
    for (let i = this.stackLocation.length; i < tables.stackParent.length; i++)
      this.stackLocation.push(i === 0 ? 0 : this.locations.data[tables.stackLocation[i]!]!);
    const own = {
      ...symbols.tables(),
      stackParent: tables.stackParent,
      stackLocation: this.stackLocation.view(),
    };
    this.flame.extend(own);
    return { tables: own, flame: this.flame };
  }
}

/** Mappings with a build ID whose locations in [from, to) include some without lines: mapping -> build ID. */
function bareMappings(t: SymbolTables, from: number, to: number): Map<number, string> {
  const out = new Map<number, string>();
  for (let i = from; i < to; i++) {
    const at = t.locationOffset[i]!,
      mapping = t.locationWords[at]!;
    if (
      t.locationOffset[i + 1]! - at !== LOCATION_HEAD ||
      (t.locationWords[at + 1]! | t.locationWords[at + 2]!) === 0 ||
      out.has(mapping)
    )
      continue;
    const id = t.mappingWords[mapping * MAPPING_WORDS + 7] ?? 0,
      start = t.stringOffset[id] ?? 0,
      end = t.stringOffset[id + 1] ?? 0;
    if (end > start) out.set(mapping, decodeUtf8(t.stringBytes, start, end));
  }
  return out;
}

function long(words: Uint32Array, at: number): bigint {
  return (BigInt(words[at + 1]!) << 32n) | BigInt(words[at]!);
}

/**
 * Copies a location of the partition to `symbols`; adds the functions at its address if it has none and they
 * are known.
 */
function named(
  t: SymbolTables,
  i: number,
  found: ReadonlyMap<number, AddressTable>,
  symbols: SymbolPartition,
  rewriter: SymbolRewriter,
  names: Map<AddressTable, Map<number, number>>,
): number {
  const at = t.locationOffset[i]!,
    mapping = t.locationWords[at]!,
    table = t.locationOffset[i + 1]! - at === LOCATION_HEAD ? found.get(mapping) : undefined;
  const m = mapping * MAPPING_WORDS,
    frames = table
      ? table.lookup(long(t.locationWords, at + 1), {
          start: long(t.mappingWords, m),
          offset: long(t.mappingWords, m + 4),
        })
      : [];
  if (!table || frames.length === 0) return rewriter.targetLocation(i);
  let known = names.get(table);
  if (!known) names.set(table, (known = new Map()));
  const string = (id: number): number => {
    let own = known.get(id);
    if (own === undefined)
      known.set(
        id,
        (own = symbols.strings.intern(
          table.stringBytes,
          table.stringOffset[id]!,
          table.stringOffset[id + 1]!,
        )),
      );
    return own;
  };
  const words = new Uint32Array(LOCATION_HEAD + 2 * frames.length);
  words.set([
    rewriter.targetMapping(mapping),
    t.locationWords[at + 1]!,
    t.locationWords[at + 2]!,
    t.locationWords[at + 3]!,
  ]);
  frames.forEach((f, k) => {
    const name = string(f.name);
    words[LOCATION_HEAD + 2 * k] = symbols.functions.intern(
      Uint32Array.of(name, name, string(f.file), f.startLine),
      4,
    );
    words[LOCATION_HEAD + 2 * k + 1] = f.line;
  });
  return symbols.locations.intern(words, words.length);
}
