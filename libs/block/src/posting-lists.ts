import { U32Column } from "@cinderblock/columnar";

/**
 * Lists of series positions, one for each pair of a name with a value, that grow at their ends. Most lists have
 * few entries, so all of them share two columns:
 *
 *     entries of a list   first[list] - 1, then next[entry] - 1 until it is -1, up to last[list] - 1
 *     series of an entry  series[entry], ascending in a list
 */
export class PostingLists {
  private readonly first = new U32Column(4);
  private readonly last = new U32Column(4);
  private readonly count = new U32Column(4);
  private readonly series = new U32Column(4);
  private readonly next = new U32Column(4);

  get byteLength(): number {
    let bytes = 0;
    for (const c of [this.first, this.last, this.count, this.series, this.next]) bytes += c.byteLength;
    return bytes;
  }

  /** Adds an empty list after the others. */
  addList(): void {
    this.first.push(0);
    this.last.push(0);
    this.count.push(0);
  }

  /** Adds a series, which is the last one of the list or comes after it. */
  add(list: number, series: number): void {
    const before = this.last.data[list]!;
    if (before > 0 && this.series.data[before - 1] === series) return;
    this.next.push(0);
    const entry = this.series.push(series) + 1;
    if (before === 0) this.first.data[list] = entry;
    else this.next.data[before - 1] = entry;
    this.last.data[list] = entry;
    this.count.data[list]!++;
  }

  lengthOf(list: number): number {
    return this.count.data[list]!;
  }

  /** Whether a condition holds for a series of the list. */
  some(list: number, test: (series: number) => boolean): boolean {
    const series = this.series.data,
      next = this.next.data;
    for (let e = this.first.data[list]!; e > 0; e = next[e - 1]!) if (test(series[e - 1]!)) return true;
    return false;
  }

  /** The series of some lists, ascending and each once. */
  union(lists: readonly number[]): Uint32Array {
    const all = new Uint32Array(lists.reduce((n, list) => n + this.lengthOf(list), 0)),
      series = this.series.data,
      next = this.next.data;
    let at = 0;
    for (const list of lists)
      for (let e = this.first.data[list]!; e > 0; e = next[e - 1]!) all[at++] = series[e - 1]!;
    if (lists.length < 2) return all;
    all.sort();
    let n = 0;
    for (let i = 0; i < all.length; i++) if (i === 0 || all[i] !== all[n - 1]) all[n++] = all[i]!;
    return all.subarray(0, n);
  }
}
