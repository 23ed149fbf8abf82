import type { Pace } from "@cinderblock/async";
import type { Hasher } from "@cinderblock/bytes";
import { withBlock } from "@cinderblock/errors";
import type { Matcher, Selector } from "@cinderblock/model";
import { IndexFile, type PostingsEntry } from "@cinderblock/tsdb-index";
import { tailBytes } from "./files.ts";
import { BlockSeries } from "./block-series.ts";
import type { IndexedSeries, LabelSource } from "./source.ts";

/** Part of a block's series above which all of them are read, to answer one question. */
const MOST_SERIES = 1 / 8;
/** Series to read, or values to match, between two checks of the clock. */
const AT_ONCE = 1024;

/** The index of a block on disk or in a bucket. */
export interface StoredIndex {
  /** the block */
  readonly ulid: string;
  readonly sizeBytes: number;
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
  read(offset: number, size: number): Promise<Uint8Array>;
  /** all series, if they are in memory */
  loaded(): IndexedSeries | undefined;
  /** reads all series into memory */
  load(): Promise<IndexedSeries>;
}

/**
 * Answers label questions of a block from the parts of its index that they need: names and values from the
 * postings table, and series by the postings of a selector. A small index, and one from which many questions
 * have read as much as it has, is loaded completely.
 */
export class StoredLabels implements LabelSource {
  private readonly stored: StoredIndex;
  private readonly hasher: Hasher;
  private readonly tail: (size: number) => number;
  private opening: Promise<IndexFile> | undefined;
  private opened: IndexFile | undefined;
  /** series that were read last: questions about one selector follow each other */
  private last: { lists: string; series: BlockSeries } | undefined;

  /** @param tail bytes to read first from the end of a file; all of a small one */
  constructor(stored: StoredIndex, hasher: Hasher, tail = tailBytes) {
    this.stored = stored;
    this.hasher = hasher;
    this.tail = tail;
  }

  get minTimeNanos(): bigint {
    return BigInt(this.stored.minTimeMs) * 1_000_000n;
  }
  get maxTimeNanos(): bigint {
    return BigInt(this.stored.maxTimeMs) * 1_000_000n + 999_999n;
  }

  /** bytes in memory */
  get heldBytes(): number {
    const last = this.last ? this.last.series.byteLength + this.last.series.labelIndex.byteLength : 0;
    return (this.opened?.byteLength ?? 0) + last;
  }

  async list(name?: string): Promise<readonly string[] | undefined> {
    if (this.shouldLoad()) return undefined;
    const { entries } = await withBlock(this.stored.ulid, () => this.open());
    return name === undefined ? [...entries.keys()] : (entries.get(name) ?? []).map((e) => e.value);
  }

  async seriesFor(selectors: readonly Selector[], pace: Pace): Promise<IndexedSeries> {
    if (this.shouldLoad()) return this.stored.loaded() ?? this.load();
    return withBlock(this.stored.ulid, async () => {
      const index = await this.open(),
        entries = await this.entriesFor(index, selectors, pace);
      return entries ? this.read(index, entries, pace) : this.load();
    });
  }

  /** Whether the index is in memory, small, or read so often that parts of it cost more than all of it. */
  private shouldLoad(): boolean {
    const { sizeBytes } = this.stored;
    return (
      this.stored.loaded() !== undefined ||
      this.tail(sizeBytes) === sizeBytes ||
      (this.opened?.bytesRead ?? 0) > sizeBytes
    );
  }

  private async load(): Promise<IndexedSeries> {
    const all = await this.stored.load();
    this.opening = this.opened = this.last = undefined;
    return all;
  }

  private open(): Promise<IndexFile> {
    const { ulid, sizeBytes } = this.stored;
    this.opening ??= IndexFile.open(`${ulid}/index.tsdb`, sizeBytes, this.tail(sizeBytes), (offset, size) =>
      this.stored.read(offset, size),
    ).then(
      (index) => (this.opened = index),
      (err: unknown) => {
        this.opening = undefined;
        throw err;
      },
    );
    return this.opening;
  }

  /** Lists that contain each series that one of the selectors matches; undefined: they have too many. */
  private async entriesFor(
    index: IndexFile,
    selectors: readonly Selector[],
    pace: Pace,
  ): Promise<Set<PostingsEntry> | undefined> {
    const all = new Set<PostingsEntry>();
    let left = index.seriesCount * MOST_SERIES;
    for (const selector of selectors) {
      const entries = await fewestSeries(index, selector, left, pace);
      if (!entries) return undefined;
      for (const e of entries) {
        if (!all.has(e)) left -= e.count;
        all.add(e);
      }
    }
    return selectors.length > 0 && left >= 0 ? all : undefined;
  }

  private async read(
    index: IndexFile,
    entries: ReadonlySet<PostingsEntry>,
    pace: Pace,
  ): Promise<IndexedSeries> {
    const lists = Array.from(entries, (e) => e.offset).join();
    if (this.last?.lists === lists) return this.last.series;
    const refs = await index.postings([...entries]),
      decoder = await index.decoder();
    for (let at = 0; at < refs.length; at += AT_ONCE) {
      if (pace.due()) await pace.next();
      await index.readSeries(refs.subarray(at, at + AT_ONCE), decoder);
    }
    const series = new BlockSeries(decoder.finish(), this.hasher);
    this.last = { lists, series };
    return series;
  }
}

/**
 * Lists of the matcher with the fewest series, which contain all series that the selector matches; undefined:
 * more than `limit` series for each matcher.
 */
async function fewestSeries(
  index: IndexFile,
  selector: Selector,
  limit: number,
  pace: Pace,
): Promise<readonly PostingsEntry[] | undefined> {
  let best: readonly PostingsEntry[] | undefined,
    size = limit;
  // Regular expressions last: one may take milliseconds for each value.
  for (const m of [...selector].sort((a, b) => Number(a.hasPattern) - Number(b.hasPattern))) {
    if (best && m.hasPattern) break;
    // The matcher also matches series without the label, which are in no list.
    if (m.matches("")) continue;
    const entries = await matching(index.entries.get(m.name) ?? [], m, pace),
      n = entries.reduce((sum, e) => sum + e.count, 0);
    if (n > size) continue;
    best = entries;
    size = n;
  }
  return best;
}

async function matching(entries: readonly PostingsEntry[], m: Matcher, pace: Pace): Promise<PostingsEntry[]> {
  const out: PostingsEntry[] = [];
  for (const [i, e] of entries.entries()) {
    if ((m.isCostly(e.value) || i % AT_ONCE === 0) && pace.due()) await pace.next();
    if (m.matches(e.value)) out.push(e);
  }
  return out;
}
