import type { Pace } from "@cinderblock/async";
import { U32Column } from "@cinderblock/columnar";
import type { Labels, Matcher, Selector } from "@cinderblock/model";
import { PostingLists } from "./posting-lists.ts";

/**
 * Label sets as columns. A pair is a name with a value, and each pair is stored once:
 *
 *     pairs of set i     pairs[ends[i - 1]] … pairs[ends[i] - 1], in the order of its labels
 *     name of pair p     names[nameOf[p]]
 *     value of pair p    values[p]
 */
export interface LabelSets {
  names: readonly string[];
  nameOf: Uint32Array;
  values: readonly string[];
  pairs: Uint32Array;
  ends: Uint32Array;
}

/** A label name, and its pairs by value. */
interface NameEntry {
  id: number;
  pairs: Map<string, number>;
}

/** Series to index or values to match between two checks of the clock. */
const AT_ONCE = 1024;

/**
 * Bytes of a pair (its value's map entry) and of a name besides columns, measured with 50,000 series of nine
 * labels, two of them different in each.
 */
const PAIR_BYTES = 48,
  NAME_BYTES = 512;

/** Empty list of series positions. */
const NONE = new Uint32Array(0);

/**
 * Names, values and postings by value of a list of series that grows at its end. Series are indexed when a
 * query needs them: a head without queries has no index.
 */
export class LabelIndex {
  private readonly series: readonly { readonly labels: Labels }[];
  private readonly entries = new Map<string, NameEntry>();
  private readonly nameList: string[] = [];
  private readonly valueList: string[] = [];
  private readonly nameOfPair = new U32Column(4);
  private readonly seriesPairs = new U32Column(4);
  private readonly seriesEnds = new U32Column(1);
  private readonly postings = new PostingLists();

  constructor(series: readonly { readonly labels: Labels }[]) {
    this.series = series;
  }

  /** Index of series whose label sets are known as columns, which it keeps. */
  static ofSets(series: readonly { readonly labels: Labels }[], sets: LabelSets): LabelIndex {
    const index = new LabelIndex(series);
    // Damaged symbols may repeat a text: such sets are read one by one.
    return index.adopt(sets) ? index : new LabelIndex(series);
  }

  private adopt({ names, nameOf, values, pairs, ends }: LabelSets): boolean {
    for (const name of names) this.entries.set(name, { id: this.nameList.push(name) - 1, pairs: new Map() });
    if (this.entries.size < names.length) return false;
    const ofName = [...this.entries.values()];
    for (let pair = 0; pair < values.length; pair++) {
      const known = ofName[nameOf[pair]!]!.pairs,
        before = known.size;
      known.set(values[pair]!, pair);
      if (known.size === before) return false;
      this.valueList.push(values[pair]!);
      this.postings.addList();
    }
    this.nameOfPair.append(nameOf);
    this.seriesPairs.append(pairs);
    this.seriesEnds.append(ends);
    for (let i = 0, k = 0; i < ends.length; i++) for (; k < ends[i]!; k++) this.postings.add(pairs[k]!, i);
    return true;
  }

  /** bytes of the indexed series in memory; label texts belong to the series */
  get byteLength(): number {
    return (
      this.nameOfPair.byteLength +
      this.seriesPairs.byteLength +
      this.seriesEnds.byteLength +
      this.postings.byteLength +
      this.valueList.length * PAIR_BYTES +
      this.nameList.length * NAME_BYTES
    );
  }

  /** Adds the series that arrived since the last query. */
  private update(limit = Infinity): void {
    const end = Math.min(this.series.length, this.seriesEnds.length + limit);
    for (let i = this.seriesEnds.length; i < end; i++) {
      for (const { name, value } of this.series[i]!.labels) {
        const pair = this.pairOf(name, value);
        this.seriesPairs.push(pair);
        this.postings.add(pair, i);
      }
      this.seriesEnds.push(this.seriesPairs.length);
    }
  }

  private pairOf(name: string, value: string): number {
    let entry = this.entries.get(name);
    if (!entry) {
      entry = { id: this.nameList.push(name) - 1, pairs: new Map() };
      this.entries.set(name, entry);
    }
    let pair = entry.pairs.get(value);
    if (pair === undefined) {
      pair = this.nameOfPair.push(entry.id);
      entry.pairs.set(value, pair);
      this.valueList.push(value);
      this.postings.addList();
    }
    return pair;
  }

  /** Label sets of all series, as columns. The columns are views: copy what must outlive the next query. */
  sets(): LabelSets {
    this.update();
    return {
      names: this.nameList,
      nameOf: this.nameOfPair.view(),
      values: this.valueList,
      pairs: this.seriesPairs.view(),
      ends: this.seriesEnds.view(),
    };
  }

  /**
   * Indexes new series and runs the regular expressions of a selector on the values they may meet, with
   * pauses, so that a later `select` is fast. A regular expression may take milliseconds for one value.
   */
  async prepare(selector: Selector, pace: Pace): Promise<void> {
    while (this.seriesEnds.length < this.series.length) {
      if (pace.due()) await pace.next();
      this.update(AT_ONCE);
    }
    const start = this.shortestPostings(selector);
    for (const m of selector) {
      if (!m.hasPattern) continue;
      const entry = this.entries.get(m.name);
      let n = 0;
      for (const value of this.valuesToMatch(entry, start)) {
        const costly = m.isCostly(value);
        if ((costly || n++ % AT_ONCE === 0) && pace.due()) await pace.next();
        if (costly) m.matches(value);
      }
    }
  }

  /** Values of a name that `select` compares when it starts from `start`, and "" for an absent label. */
  private *valuesToMatch(entry: NameEntry | undefined, start: Uint32Array | undefined): Generator<string> {
    yield "";
    if (!entry) return;
    if (start === undefined || start.length >= entry.pairs.size) {
      yield* entry.pairs.keys();
      return;
    }
    for (const i of start) {
      const pair = this.pairAt(i, entry.id);
      if (pair >= 0) yield this.valueList[pair]!;
    }
  }

  /** Positions of the series that a selector matches, ascending. */
  select(selector: Selector): readonly number[] {
    this.update();
    const start = this.shortestPostings(selector) ?? this.smallestUnion(selector);
    const tests = selector.map((m) => this.test(m));
    const out: number[] = [];
    const n = start ? start.length : this.series.length;
    for (let k = 0; k < n; k++) {
      const i = start ? start[k]! : k;
      let all = true;
      for (let t = 0; t < tests.length && all; t++) all = tests[t]!(i);
      if (all) out.push(i);
    }
    return out;
  }

  /** Shortest posting list of the selector's equalities; undefined if it has none that requires a label. */
  private shortestPostings(selector: Selector): Uint32Array | undefined {
    let best: number | undefined;
    for (const m of selector) {
      if (m.op !== "=" || m.value === "") continue;
      const pair = this.entries.get(m.name)?.pairs.get(m.value);
      if (pair === undefined) return NONE;
      if (best === undefined || this.postings.lengthOf(pair) < this.postings.lengthOf(best)) best = pair;
    }
    return best === undefined ? undefined : this.postings.union([best]);
  }

  /** Series with a matching value, for the matcher with the fewest; undefined: most series match every one. */
  private smallestUnion(selector: Selector): Uint32Array | undefined {
    let best: number[] | undefined,
      size = this.series.length / 2;
    for (const m of selector) {
      // the matcher also matches series without the label, which are in no posting list
      if (m.matches("")) continue;
      const pairs: number[] = [];
      let n = 0;
      for (const [value, pair] of this.entries.get(m.name)?.pairs ?? []) {
        if (!m.matches(value)) continue;
        pairs.push(pair);
        n += this.postings.lengthOf(pair);
        if (n > size) break;
      }
      if (n > size) continue;
      best = pairs;
      size = n;
    }
    return best && this.postings.union(best);
  }

  /** Condition of a matcher on the series at a position; it compares each value once. */
  private test(m: Matcher): (i: number) => boolean {
    const entry = this.entries.get(m.name);
    if (!entry) {
      const absent = m.matches("");
      return () => absent;
    }
    if (!m.hasPattern && m.value !== "") {
      const pair = entry.pairs.get(m.value) ?? -2,
        wanted = m.op === "=";
      return (i) => (this.pairAt(i, entry.id) === pair) === wanted;
    }
    const verdicts = new Uint8Array(this.valueList.length + 1);
    return (i) => {
      const pair = this.pairAt(i, entry.id);
      let verdict = verdicts[pair + 1]!;
      if (verdict === 0)
        verdicts[pair + 1] = verdict = m.matches(pair < 0 ? "" : this.valueList[pair]!) ? 1 : 2;
      return verdict === 1;
    };
  }

  /** First pair of a series with a name; -1 without the label. */
  private pairAt(i: number, name: number): number {
    const pairs = this.seriesPairs.data,
      ends = this.seriesEnds.data,
      nameOf = this.nameOfPair.data,
      end = ends[i]!;
    for (let k = i === 0 ? 0 : ends[i - 1]!; k < end; k++) if (nameOf[pairs[k]!] === name) return pairs[k]!;
    return -1;
  }

  /**
   * Names of the labels of some series.
   * @param picked positions of series; undefined: all
   * @param accepts whether a series counts; undefined: each does
   */
  names(picked: readonly number[] | undefined, accepts?: (i: number) => boolean): string[] {
    this.update();
    if (!picked && !accepts) return [...this.nameList];
    if (picked && this.areFew(picked)) {
      const seen = new Uint8Array(this.nameList.length);
      this.eachPair(picked, accepts, (pair) => (seen[this.nameOfPair.data[pair]!] = 1));
      return this.nameList.filter((_, id) => seen[id] === 1);
    }
    const counts = this.filter(picked, accepts);
    return this.nameList.filter((name) => {
      for (const pair of this.entries.get(name)!.pairs.values())
        if (this.postings.some(pair, counts)) return true;
      return false;
    });
  }

  /** Values of a label of some series; the parameters are those of `names`. */
  values(name: string, picked: readonly number[] | undefined, accepts?: (i: number) => boolean): string[] {
    this.update();
    const entry = this.entries.get(name);
    if (!entry) return [];
    if (!picked && !accepts) return [...entry.pairs.keys()];
    if (picked && this.areFew(picked)) {
      const seen = new Set<number>();
      this.eachPair(picked, accepts, (pair) => {
        if (this.nameOfPair.data[pair] === entry.id) seen.add(pair);
      });
      return Array.from(seen, (pair) => this.valueList[pair]!);
    }
    const counts = this.filter(picked, accepts),
      out: string[] = [];
    for (const [value, pair] of entry.pairs) if (this.postings.some(pair, counts)) out.push(value);
    return out;
  }

  /** Whether visiting the labels of these series is cheaper than testing each value. */
  private areFew(picked: readonly number[]): boolean {
    return picked.length * 8 < this.series.length;
  }

  private eachPair(
    picked: readonly number[],
    accepts: ((i: number) => boolean) | undefined,
    visit: (pair: number) => void,
  ): void {
    const pairs = this.seriesPairs.data,
      ends = this.seriesEnds.data;
    for (const i of picked) {
      if (accepts && !accepts(i)) continue;
      for (let k = i === 0 ? 0 : ends[i - 1]!; k < ends[i]!; k++) visit(pairs[k]!);
    }
  }

  /**
   * Whether the series at a position is picked and accepted; calls `accepts` once for each series and
   * remembers its result.
   */
  private filter(
    picked: readonly number[] | undefined,
    accepts: ((i: number) => boolean) | undefined,
  ): (i: number) => boolean {
    const verdicts = new Uint8Array(this.series.length);
    if (picked) {
      verdicts.fill(2);
      for (const i of picked) verdicts[i] = 0;
    }
    return (i) => {
      let verdict = verdicts[i]!;
      if (verdict === 0) verdicts[i] = verdict = accepts === undefined || accepts(i) ? 1 : 2;
      return verdict === 1;
    };
  }
}
