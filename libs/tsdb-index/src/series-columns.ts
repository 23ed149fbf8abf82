import { ByteReader, crc32c, ShortRead } from "@cinderblock/bytes";
import { PairTable, U32Column } from "@cinderblock/columnar";
import type { IndexSeries } from "./encode.ts";
import type { SymbolTable } from "./sections.ts";

/**
 * Series of an `index.tsdb` as columns, each label name and each pair of a name with a value once:
 *
 *     pairs of series i   pairs[ends[i - 1]] … pairs[ends[i] - 1], in the order of its labels
 *     name of pair p      names[nameOf[p]]
 *     value of pair p     values[p]
 *
 * Times are nanoseconds.
 */
export interface IndexColumns {
  names: readonly string[];
  nameOf: Uint32Array;
  values: readonly string[];
  pairs: Uint32Array;
  ends: Uint32Array;
  fingerprint: BigUint64Array;
  minTime: BigInt64Array;
  maxTime: BigInt64Array;
  seriesIndex: Uint32Array;
  kb: Float64Array;
  checksum: Uint32Array;
}

/** Decodes series into columns. */
export class SeriesDecoder {
  private readonly symbols: SymbolTable;
  private readonly names: string[] = [];
  private readonly values: string[] = [];
  private readonly nameOf = new U32Column();
  private readonly pairs = new U32Column();
  private readonly ends = new U32Column();
  private readonly seriesIndex = new U32Column();
  private readonly checksum = new U32Column();
  private readonly kb: number[] = [];
  /** low and high words of fingerprints and times */
  private readonly fingerprint = new U32Column();
  private readonly minTime = new U32Column();
  private readonly maxTime = new U32Column();
  private readonly idOfName = new PairTable();
  private readonly idOfPair = new PairTable();
  private lo = 0;
  private hi = 0;

  constructor(symbols: SymbolTable) {
    this.symbols = symbols;
  }

  /** Adds the series at `at`. @throws ShortRead if it is damaged */
  add(bytes: Uint8Array, at: number): void {
    const outer = new ByteReader(bytes, Math.min(at, bytes.length));
    const size = outer.uvarint();
    const start = outer.requireBytes(size, "bytes of a series");
    if (crc32c(bytes, start, start + size) !== outer.u32be())
      throw new ShortRead(at, "expected the CRC of the series to match");
    const r = new ByteReader(outer.bytes, start, start + size);
    const hi = r.u32be();
    this.fingerprint.push(r.u32be());
    this.fingerprint.push(hi);
    const n = r.uvarint();
    if (n > r.left) throw new ShortRead(r.pos, `expected at most ${r.left} labels, found ${n}`);
    for (let i = 0; i < n; i++) this.pairs.push(this.pairOf(r.uvarint(), r.uvarint(), r.pos));
    this.ends.push(this.pairs.length);
    this.addChunks(r);
  }

  private pairOf(name: number, value: number, at: number): number {
    const count = this.symbols.length;
    if (name >= count || value >= count) throw new ShortRead(at, "expected a symbol that exists");
    const id = this.values.length,
      known = this.idOfPair.getOrSet(name, value, id);
    if (known >= 0) return known;
    const nameId = this.idOfName.getOrSet(name, 0, this.names.length);
    this.nameOf.push(nameId >= 0 ? nameId : this.names.push(this.symbols.text(name)) - 1);
    this.values.push(this.symbols.text(value));
    return id;
  }

  /** Adds the times from the first chunk to the last one, and the other fields of the last one. */
  private addChunks(r: ByteReader): void {
    const chunks = r.uvarint();
    if (chunks === 0) throw new ShortRead(r.pos, "expected at least one chunk");
    let lo = 0,
      hi = 0,
      kb = 0,
      seriesIndex = 0,
      checksum = 0;
    for (let i = 0; i < chunks; i++) {
      this.readVarint(r);
      // zig-zag
      const sign = -(this.lo & 1);
      this.addWords(lo, hi, ((this.lo >>> 1) | (this.hi << 31)) ^ sign, (this.hi >>> 1) ^ sign);
      lo = this.lo;
      hi = this.hi;
      if (i === 0) {
        this.minTime.push(lo);
        this.minTime.push(hi);
      }
      this.readVarint(r);
      this.addWords(lo, hi, this.lo, this.hi);
      lo = this.lo;
      hi = this.hi;
      kb = r.uvarint();
      seriesIndex = r.uvarint();
      checksum = r.u32be();
    }
    this.maxTime.push(lo);
    this.maxTime.push(hi);
    this.kb.push(kb);
    this.seriesIndex.push(seriesIndex);
    this.checksum.push(checksum);
  }

  /** Sets `lo` and `hi` to a sum of 64-bit numbers. */
  private addWords(aLo: number, aHi: number, bLo: number, bHi: number): void {
    const lo = (aLo >>> 0) + (bLo >>> 0);
    this.lo = lo >>> 0;
    this.hi = (aHi + bHi + (lo > 0xffffffff ? 1 : 0)) >>> 0;
  }

  /** Sets `lo` and `hi` to a LEB128 number of 64 bits. */
  private readVarint(r: ByteReader): void {
    let lo = 0,
      hi = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const b = r.u8(),
        bits = b & 127;
      if (shift < 28) lo |= bits << shift;
      else if (shift === 28) {
        lo |= bits << 28;
        hi |= bits >>> 4;
      } else if (shift < 64) hi |= bits << (shift - 32);
      if (b < 128) {
        this.lo = lo >>> 0;
        this.hi = hi >>> 0;
        return;
      }
    }
    throw new ShortRead(r.pos, "expected a uvarint of at most 10 bytes");
  }

  finish(): IndexColumns {
    return {
      names: this.names,
      nameOf: this.nameOf.view().slice(),
      values: this.values,
      pairs: this.pairs.view().slice(),
      ends: this.ends.view().slice(),
      fingerprint: new BigUint64Array(this.fingerprint.view().slice().buffer),
      minTime: new BigInt64Array(this.minTime.view().slice().buffer),
      maxTime: new BigInt64Array(this.maxTime.view().slice().buffer),
      seriesIndex: this.seriesIndex.view().slice(),
      kb: Float64Array.from(this.kb),
      checksum: this.checksum.view().slice(),
    };
  }
}

/** Series as objects. */
export function seriesOf(columns: IndexColumns): IndexSeries[] {
  const { names, nameOf, values, pairs, ends, fingerprint, minTime, maxTime, seriesIndex, kb, checksum } =
    columns;
  return Array.from(ends, (end, i) => ({
    labels: Array.from(pairs.subarray(i === 0 ? 0 : ends[i - 1], end), (pair) => ({
      name: names[nameOf[pair]!]!,
      value: values[pair]!,
    })),
    fingerprint: fingerprint[i]!,
    minTime: minTime[i]!,
    maxTime: maxTime[i]!,
    seriesIndex: seriesIndex[i]!,
    kb: kb[i]!,
    checksum: checksum[i]!,
  }));
}
