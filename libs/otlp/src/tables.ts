import { I64Column, U32Column } from "@cinderblock/columnar";

/**
 * Value of an OTLP attribute (AnyValue of common/v1). Integers are bigint, doubles number; undefined stands
 * for an absent value and for the kinds without a use here: key-value lists and bytes.
 */
export type OtlpValue = string | number | bigint | boolean | OtlpValue[] | undefined;
/** Attribute of a resource or scope. Keys may repeat; later readers decide which one counts. */
export interface OtlpAttribute {
  key: string;
  value: OtlpValue;
}
/** A resource (ResourceProfiles): its attributes and the profiles of each instrumentation scope. */
export interface OtlpResource {
  attributes: OtlpAttribute[];
  scopes: { attributes: OtlpAttribute[]; profiles: OtlpProfile[] }[];
}
/** Type and unit of values, as indices of strings in the dictionary; 0 and 0 stand for an absent type. */
export interface OtlpValueType {
  type: number;
  unit: number;
}
/**
 * A profile; its samples are [sampleFrom, sampleTo) of the tables. Times are nanoseconds, `timeNanos` since
 * 1970; 0 if absent. The period is in the unit of `periodType`.
 */
export interface OtlpProfile {
  /** type of the samples; undefined: the profile has none */
  sampleType: OtlpValueType | undefined;
  sampleFrom: number;
  sampleTo: number;
  timeNanos: bigint;
  durationNanos: bigint;
  periodType: OtlpValueType;
  period: bigint;
}

/**
 * An ExportProfilesServiceRequest as columns: the dictionary's tables, whose first entries mean "none", and
 * the samples of all its profiles. Format: docs/formats/otlp-profiles.md
 *
 *   resources -> scopes -> profile -> [sampleFrom, sampleTo) -> sample
 *   sample -> sampleStack -> stack -> [stackLocations] -> location -> [locLines] -> line -> function -> strings
 *         |-> sampleLink -> link: trace and span ID              `-> mapping -> filename, attributes
 *         |-> [sampleValues] -> value
 *         `-> [sampleAttributes] -> attribute -> key, value
 *
 * Columns described as "first entry" have one entry more than their table. Indices are int32, as unsigned, so
 * that a negative one lies beyond every table; decoders do not compare them with the tables. The tables own
 * their columns and refer to `bytes`.
 */
export class OtlpTables {
  /** strings in UTF-8, trace IDs and span IDs: the message itself, or for JSON a copy of its texts */
  bytes: Uint8Array = new Uint8Array(0);
  /** whether the message has field 2; without it every table is empty */
  hasDictionary = false;

  /** [strings] string -> bytes [stringStart, stringEnd) */
  readonly stringStart = new U32Column(256);
  readonly stringEnd = new U32Column(256);

  /** [mappings] -> addresses and offset in bytes, u64 as int64 */
  readonly mappingStart = new I64Column(8);
  readonly mappingLimit = new I64Column(8);
  readonly mappingOffset = new I64Column(8);
  /** [mappings] -> string */
  readonly mappingFilename = new U32Column(8);
  /** [mappings + 1] mapping -> first entry of its attributes, which are indices of `attributes` */
  readonly mappingAttributes = new U32Column(9);
  readonly mappingAttribute = new U32Column(8);

  /** [locations] -> mapping */
  readonly locMapping = new U32Column(256);
  /** [locations] -> address, u64 as int64 */
  readonly locAddress = new I64Column(256);
  /** [locations + 1] location -> first of its lines, innermost inlined call first */
  readonly locLines = new U32Column(257);
  /** [lines] -> function, and the low 32 bits of the line number */
  readonly lineFunction = new U32Column(256);
  readonly lineNumber = new U32Column(256);

  /** [functions] -> strings, and the low 32 bits of the start line */
  readonly funcName = new U32Column(256);
  readonly funcSystemName = new U32Column(256);
  readonly funcFilename = new U32Column(256);
  readonly funcStartLine = new U32Column(256);

  /** [links] -> bytes of the trace ID (16) and of the span ID (8), whose sizes are not checked */
  readonly linkTraceStart = new U32Column(8);
  readonly linkTraceEnd = new U32Column(8);
  readonly linkSpanStart = new U32Column(8);
  readonly linkSpanEnd = new U32Column(8);

  /** [attributes]; the keys are indices of strings */
  readonly attributes: { key: number; value: OtlpValue }[] = [];

  /** [stacks + 1] stack -> first of its locations, leaf first */
  readonly stackLocations = new U32Column(257);
  readonly stackLocation = new U32Column(2048);

  /** [samples] -> stack, and -> link */
  readonly sampleStack = new U32Column(256);
  readonly sampleLink = new U32Column(256);
  /** [samples] -> number of its timestamps; readers use it for samples without values */
  readonly sampleTimestamps = new U32Column(256);
  /** [samples + 1] sample -> first of its values, and first of its attributes */
  readonly sampleValues = new U32Column(257);
  readonly value = new I64Column(256);
  readonly sampleAttributes = new U32Column(257);
  readonly sampleAttribute = new U32Column(16);

  readonly resources: OtlpResource[] = [];

  private readonly columns: readonly (U32Column | I64Column)[];

  constructor() {
    this.columns = Object.values(this).filter(
      (v): v is U32Column | I64Column => v instanceof U32Column || v instanceof I64Column,
    );
    this.clear();
  }

  /** Empties the tables and keeps their memory. */
  clear(): void {
    this.bytes = new Uint8Array(0);
    this.hasDictionary = false;
    this.attributes.length = 0;
    this.resources.length = 0;
    for (const c of this.columns) c.length = 0;
    for (const first of [
      this.mappingAttributes,
      this.locLines,
      this.stackLocations,
      this.sampleValues,
      this.sampleAttributes,
    ])
      first.push(0);
  }

  get strings(): number {
    return this.stringStart.length;
  }
  get mappings(): number {
    return this.mappingFilename.length;
  }
  get locations(): number {
    return this.locMapping.length;
  }
  get functions(): number {
    return this.funcName.length;
  }
  get links(): number {
    return this.linkTraceStart.length;
  }
  get stacks(): number {
    return this.stackLocations.length - 1;
  }
  get samples(): number {
    return this.sampleStack.length;
  }
}
