import type { Hasher } from "@cinderblock/bytes";
import { fingerprintBytes, type Labels } from "@cinderblock/model";
import type { IndexColumns } from "@cinderblock/tsdb-index";
import { LabelIndex } from "./label-index.ts";
import type { IndexedSeries, SourceSeries } from "./source.ts";

/** Bytes of a series' object, and of a value's text besides its characters; measured with 50,000 series. */
const SERIES_BYTES = 64,
  TEXT_BYTES = 56;

/** Series of a block in columns: their labels become objects when a query reads them. */
export class BlockSeries implements IndexedSeries {
  readonly series: readonly SourceSeries[];
  readonly labelIndex: LabelIndex;
  /** bytes besides the label index */
  readonly byteLength: number;
  readonly columns: IndexColumns;
  private readonly fingerprints: BigUint64Array;
  private readonly hasher: Hasher;

  constructor(columns: IndexColumns, hasher: Hasher) {
    this.columns = columns;
    this.hasher = hasher;
    this.fingerprints = new BigUint64Array(columns.ends.length);
    this.series = Array.from(columns.ends, (_, at) => new ColumnSeries(this, at));
    this.labelIndex = LabelIndex.ofSets(this.series, columns);
    const { fingerprint, minTime, maxTime, seriesIndex, kb, checksum } = columns;
    let bytes = SERIES_BYTES * this.series.length;
    for (const c of [this.fingerprints, fingerprint, minTime, maxTime, seriesIndex, kb, checksum])
      bytes += c.byteLength;
    for (const v of columns.values) bytes += TEXT_BYTES + v.length;
    this.byteLength = bytes;
  }

  labelsOf(at: number): Labels {
    const { names, nameOf, values, pairs, ends } = this.columns;
    return Array.from(pairs.subarray(at === 0 ? 0 : ends[at - 1], ends[at]), (pair) => ({
      name: names[nameOf[pair]!]!,
      value: values[pair]!,
    }));
  }

  /** Fingerprint by the labels: the stored one of another writer may be in another order. */
  fingerprintOf(at: number): bigint {
    let known = this.fingerprints[at]!;
    if (known === 0n) this.fingerprints[at] = known = this.hasher.h64(fingerprintBytes(this.labelsOf(at)));
    return known;
  }
}

class ColumnSeries implements SourceSeries {
  private readonly all: BlockSeries;
  private readonly at: number;

  constructor(all: BlockSeries, at: number) {
    this.all = all;
    this.at = at;
  }
  get labels(): Labels {
    return this.all.labelsOf(this.at);
  }
  get fingerprint(): bigint {
    return this.all.fingerprintOf(this.at);
  }
  get minTimeNanos(): bigint {
    return this.all.columns.minTime[this.at]!;
  }
  get maxTimeNanos(): bigint {
    return this.all.columns.maxTime[this.at]!;
  }
}
