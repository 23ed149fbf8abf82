import { I64Column, U32Column } from "@cinderblock/columnar";

/**
 * One pprof profile as columns over its uncompressed bytes. IDs of functions, locations and mappings are the
 * file's (any u64, as two words); strings stay in the bytes. The decoder owns the tables: they are valid
 * until its next `decode`. Format: docs/formats/pprof.md
 */
export class PprofTables {
  /** bytes of the uncompressed profile */
  bytes: Uint8Array = new Uint8Array(0);

  /** string index -> bytes[stringStart, stringEnd) */
  readonly stringStart = new U32Column(1024);
  readonly stringEnd = new U32Column(1024);

  /** sample type -> string indices */
  readonly typeType = new U32Column(8);
  readonly typeUnit = new U32Column(8);

  /** sample -> first entry of its location ids / values / labels; one entry more than samples */
  readonly sampleLocations = new U32Column(1024);
  readonly sampleValues = new U32Column(1024);
  readonly sampleLabels = new U32Column(1024);
  readonly locationIdLo = new U32Column(8192);
  readonly locationIdHi = new U32Column(8192);
  readonly value = new I64Column(1024);
  /** sample label -> string indices; `labelStr` 0 for numeric labels */
  readonly labelKey = new U32Column(64);
  readonly labelStr = new U32Column(64);

  readonly mappingIdLo = new U32Column(8);
  readonly mappingIdHi = new U32Column(8);
  /** mapping -> memory start, limit, file offset */
  readonly mappingStart = new I64Column(8);
  readonly mappingLimit = new I64Column(8);
  readonly mappingOffset = new I64Column(8);
  readonly mappingFilename = new U32Column(8);
  readonly mappingBuildId = new U32Column(8);
  /** 8 functions, 4 filenames, 2 line numbers, 1 inline frames */
  readonly mappingFlags = new U32Column(8);

  readonly locIdLo = new U32Column(1024);
  readonly locIdHi = new U32Column(1024);
  readonly locMappingLo = new U32Column(1024);
  readonly locMappingHi = new U32Column(1024);
  readonly locAddress = new I64Column(1024);
  readonly locFolded = new U32Column(1024);
  /** location -> first line; one entry more than locations */
  readonly locLines = new U32Column(1024);
  readonly lineFunctionLo = new U32Column(1024);
  readonly lineFunctionHi = new U32Column(1024);
  readonly lineNumber = new U32Column(1024);

  readonly funcIdLo = new U32Column(1024);
  readonly funcIdHi = new U32Column(1024);
  readonly funcName = new U32Column(1024);
  readonly funcSystemName = new U32Column(1024);
  readonly funcFilename = new U32Column(1024);
  readonly funcStartLine = new U32Column(1024);

  readonly comments = new U32Column(8);
  dropFrames = 0;
  keepFrames = 0;
  timeNanos = 0n;
  durationNanos = 0n;
  hasPeriodType = false;
  periodType = 0;
  periodUnit = 0;
  period = 0n;
  defaultSampleType = 0;

  get strings(): number {
    return this.stringStart.length;
  }
  get sampleTypes(): number {
    return this.typeType.length;
  }
  get samples(): number {
    return this.sampleLocations.length - 1;
  }
  get mappings(): number {
    return this.mappingIdLo.length;
  }
  get locations(): number {
    return this.locIdLo.length;
  }
  get functions(): number {
    return this.funcIdLo.length;
  }

  clear(bytes: Uint8Array): void {
    this.bytes = bytes;
    for (const column of this.columns()) column.length = 0;
    this.dropFrames = this.keepFrames = this.periodType = this.periodUnit = this.defaultSampleType = 0;
    this.timeNanos = this.durationNanos = this.period = 0n;
    this.hasPeriodType = false;
    this.sampleLocations.push(0);
    this.sampleValues.push(0);
    this.sampleLabels.push(0);
    this.locLines.push(0);
  }

  private all: (U32Column | I64Column)[] | undefined;
  private columns(): (U32Column | I64Column)[] {
    this.all ??= Object.values(this).filter(
      (v): v is U32Column | I64Column => v instanceof U32Column || v instanceof I64Column,
    );
    return this.all;
  }
}
