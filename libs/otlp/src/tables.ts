import { I64Column, U32Column } from "@cinderblock/columnar";

/** Value of an OTLP attribute. */
export type OtlpValue = string | number | bigint | boolean | OtlpValue[] | undefined;
/** An attribute: key and value. */
export interface OtlpAttribute {
  key: string;
  value: OtlpValue;
}
/** A resource: its attributes and the profiles of each scope. */
export interface OtlpResource {
  attributes: OtlpAttribute[];
  scopes: { attributes: OtlpAttribute[]; profiles: OtlpProfile[] }[];
}
/** Type and unit of values, as indices of strings in the message's dictionary. */
export interface OtlpValueType {
  type: number;
  unit: number;
}
/** A profile; its samples are [sampleFrom, sampleTo) of the tables. */
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
 * the samples of all its profiles. Columns described as "first entry" have one entry more than their table.
 * Indices are int32, as unsigned. Format: docs/formats/otlp-profiles.md
 */
export class OtlpTables {
  /** contains strings, trace IDs and span IDs */
  bytes: Uint8Array = new Uint8Array(0);
  hasDictionary = false;

  readonly stringStart = new U32Column(256);
  readonly stringEnd = new U32Column(256);

  readonly mappingStart = new I64Column(8);
  readonly mappingLimit = new I64Column(8);
  readonly mappingOffset = new I64Column(8);
  readonly mappingFilename = new U32Column(8);
  /** mapping -> first entry of its attributes */
  readonly mappingAttributes = new U32Column(9);
  readonly mappingAttribute = new U32Column(8);

  readonly locMapping = new U32Column(256);
  readonly locAddress = new I64Column(256);
  /** location -> first of its lines */
  readonly locLines = new U32Column(257);
  readonly lineFunction = new U32Column(256);
  readonly lineNumber = new U32Column(256);

  readonly funcName = new U32Column(256);
  readonly funcSystemName = new U32Column(256);
  readonly funcFilename = new U32Column(256);
  readonly funcStartLine = new U32Column(256);

  readonly linkTraceStart = new U32Column(8);
  readonly linkTraceEnd = new U32Column(8);
  readonly linkSpanStart = new U32Column(8);
  readonly linkSpanEnd = new U32Column(8);

  /** the attributes' keys are indices of strings */
  readonly attributes: { key: number; value: OtlpValue }[] = [];

  /** stack -> first of its locations, leaf first */
  readonly stackLocations = new U32Column(257);
  readonly stackLocation = new U32Column(2048);

  readonly sampleStack = new U32Column(256);
  readonly sampleLink = new U32Column(256);
  /** sample -> number of its timestamps, for samples without values */
  readonly sampleTimestamps = new U32Column(256);
  /** sample -> first of its values, and first of its attributes */
  readonly sampleValues = new U32Column(257);
  readonly value = new I64Column(256);
  readonly sampleAttributes = new U32Column(257);
  readonly sampleAttribute = new U32Column(16);

  readonly resources: OtlpResource[] = [];

  constructor() {
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
