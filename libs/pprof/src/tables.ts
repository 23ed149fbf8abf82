import { I64Column, U32Column } from "@cinderblock/columnar";

/**
 * One pprof profile as columns over its uncompressed bytes. IDs of functions, locations and mappings are the
 * file's (any u64, as two words); strings stay in the bytes. The decoder owns the tables: they are valid
 * until its next `decode`. Format: docs/formats/pprof.md; field numbers: pprof's profile.proto
 *
 *   sample -> [sampleLocations] -> locationId --by ID--> location -> [locLines] -> line --by ID--> function
 *      |----> [sampleValues] ----> value                     `--by ID--> mapping
 *      `----> [sampleLabels] ----> label -> string -> [stringStart, stringEnd) -> bytes
 *
 * The decoder checks syntax only. String indices may exceed the table (0xffffffff stands for any above 32
 * bits), IDs may be 0, unknown or ambiguous, and a sample may have any number of values: the ingest validates
 * them.
 */
export class PprofTables {
  /** the uncompressed profile: not a copy, so that the caller must keep it unchanged */
  bytes: Uint8Array = new Uint8Array(0);

  /** [strings] string index -> UTF-8 bytes [stringStart, stringEnd); UTF-8 is not checked */
  readonly stringStart = new U32Column(1024);
  readonly stringEnd = new U32Column(1024);

  /** [sample types] -> string indices (Profile.sample_type, field 1) */
  readonly typeType = new U32Column(8);
  readonly typeUnit = new U32Column(8);

  /**
   * [samples + 1] sample -> first entry of its location IDs / values / labels (Profile.sample, field 2).
   * Location IDs are leaf first; value k belongs to sample type k.
   */
  readonly sampleLocations = new U32Column(1024);
  readonly sampleValues = new U32Column(1024);
  readonly sampleLabels = new U32Column(1024);
  /** all samples' location IDs, low and high word */
  readonly locationIdLo = new U32Column(8192);
  readonly locationIdHi = new U32Column(8192);
  /** all samples' values, in the unit of their type */
  readonly value = new I64Column(1024);
  /** all samples' labels -> string indices; `labelStr` is 0 for numeric labels, whose numbers are not kept */
  readonly labelKey = new U32Column(64);
  readonly labelStr = new U32Column(64);

  /** [mappings] (Profile.mapping, field 3) */
  readonly mappingIdLo = new U32Column(8);
  readonly mappingIdHi = new U32Column(8);
  /**
   * [mappings] -> memory start, limit, file offset in bytes; u64, so that values from 2^63 on are negative
   * here
   */
  readonly mappingStart = new I64Column(8);
  readonly mappingLimit = new I64Column(8);
  readonly mappingOffset = new I64Column(8);
  /** [mappings] -> string indices */
  readonly mappingFilename = new U32Column(8);
  readonly mappingBuildId = new U32Column(8);
  /** 8 functions, 4 filenames, 2 line numbers, 1 inline frames */
  readonly mappingFlags = new U32Column(8);

  /** [locations] (Profile.location, field 4); mapping ID 0 means "none" */
  readonly locIdLo = new U32Column(1024);
  readonly locIdHi = new U32Column(1024);
  readonly locMappingLo = new U32Column(1024);
  readonly locMappingHi = new U32Column(1024);
  readonly locAddress = new I64Column(1024);
  /** [locations] -> 0 or 1 */
  readonly locFolded = new U32Column(1024);
  /** [locations + 1] location -> first line; the lines are innermost inlined call first */
  readonly locLines = new U32Column(1024);
  readonly lineFunctionLo = new U32Column(1024);
  readonly lineFunctionHi = new U32Column(1024);
  /** low 32 bits of the signed line number */
  readonly lineNumber = new U32Column(1024);

  /** [functions] (Profile.function, field 5); names are string indices, the start line has its low 32 bits */
  readonly funcIdLo = new U32Column(1024);
  readonly funcIdHi = new U32Column(1024);
  readonly funcName = new U32Column(1024);
  readonly funcSystemName = new U32Column(1024);
  readonly funcFilename = new U32Column(1024);
  readonly funcStartLine = new U32Column(1024);

  /** string indices (field 13) */
  readonly comments = new U32Column(8);
  /** string indices of two patterns (fields 7 and 8), which are neither applied nor checked */
  dropFrames = 0;
  keepFrames = 0;
  /** nanoseconds since 1970 (field 9) and nanoseconds (field 10); 0 if absent */
  timeNanos = 0n;
  durationNanos = 0n;
  /** whether field 11 is present; periodType and periodUnit are its string indices */
  hasPeriodType = false;
  periodType = 0;
  periodUnit = 0;
  /** in the period type's unit (field 12) */
  period = 0n;
  /** string index (field 14) */
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

  /** Empties all columns for a profile of `bytes` and keeps their memory. */
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
