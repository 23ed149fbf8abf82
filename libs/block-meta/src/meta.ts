import { decodeUtf8 } from "@cinderblock/bytes";
import { CorruptError } from "@cinderblock/errors";
import { isUlid } from "./ulid.ts";

/**
 * A file of a block. `relPath` is relative to the block's folder, with `/`. Readers trust `sizeBytes`; 0
 * stands for an unknown size. The counts are informative.
 */
export interface BlockFileMeta {
  relPath: string;
  sizeBytes: number;
  parquet?: { numRowGroups?: number; numRows?: number };
  tsdb?: { numSeries?: number };
}
/** A block that was merged into this one, with its time range in milliseconds since 1970. */
export interface BlockParent {
  ulid: string;
  minTimeMs: number;
  maxTimeMs: number;
}

/**
 * `meta.json`; times are milliseconds here, decimal seconds in the file. Format: docs/formats/meta-json.md
 *
 *   ulid = folder of the block          files[] = all of its objects except meta.json
 *   compaction: parents = direct inputs, sources = all level-1 blocks that its rows come from
 */
export interface BlockMeta {
  /** 26 characters; equals the name of the block's folder */
  ulid: string;
  /** first and last profile, both inclusive, cut to milliseconds */
  minTimeMs: number;
  maxTimeMs: number;
  /** over the rows of profiles.parquet and the series of index.tsdb */
  stats: { numSamples: number; numSeries: number; numProfiles: number };
  files: BlockFileMeta[];
  compaction: {
    /** 1 from an ingester; an output has the highest level of its inputs + 1 */
    level: number;
    /** level 1: the block itself; sorted */
    sources: string[];
    /** direct inputs; empty on level 1 */
    parents: BlockParent[];
    deletable?: boolean;
    hints?: string[];
  };
  /** layout of the symbols; only 3 is written */
  version: 1 | 2 | 3;
  /** external labels: LABEL_SHARD, LABEL_HOSTNAME and others, which separate groups of compaction */
  labels: Record<string, string>;
  /** `ingester`, `compactor` or "" */
  source: string;
  /** always 0: downsampled tables are files of an ordinary block */
  downsampleResolution: number;
}

/** External label of a split block with its shard, `2_of_4`, as in v1. */
export const LABEL_SHARD = "__compactor_shard_id__";
/** External label of a block with the host that uploaded it, as in v1; compaction ignores and drops it. */
export const LABEL_HOSTNAME = "__hostname__";

/**
 * Decimal seconds of `ms` milliseconds: at most three decimals, never in exponent notation, because v1's
 * parser refuses exponents. 1702904400005 -> `1702904400.005`, 1702904400000 -> `1702904400`.
 */
export function secondsText(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const abs = Math.abs(ms);
  const fraction = String(abs % 1000)
    .padStart(3, "0")
    .replace(/0+$/, "");
  return `${sign}${Math.floor(abs / 1000)}${fraction === "" ? "" : `.${fraction}`}`;
}

/** JSON.parse turns the token into a double; rounding to the millisecond restores the written value. */
function toMs(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? Math.round(value * 1000) : undefined;
}

/** Inserts raw number tokens into JSON text, because JSON.stringify would choose its own form. */
const TOKEN = "\u0001ms:";
/** JSON text of a value, in which placeholders from `secondsPlaceholder` become decimal seconds. */
export function stringifyWithSeconds(value: unknown, indent: string | undefined): string {
  return JSON.stringify(value, undefined, indent).replace(/"\\u0001ms:(-?\d+)"/g, (_, ms: string) =>
    secondsText(Number(ms)),
  );
}
/** Placeholder of a time for `stringifyWithSeconds`. */
export function secondsPlaceholder(ms: number): string {
  return `${TOKEN}${ms}`;
}

/**
 * Encodes `meta.json`: tab-indented, files sorted by path, empty lists and zero counts left out, as v1 writes
 * it.
 */
export function encodeMeta(m: BlockMeta): string {
  const c = m.compaction;
  return stringifyWithSeconds(
    {
      ulid: m.ulid,
      minTime: secondsPlaceholder(m.minTimeMs),
      maxTime: secondsPlaceholder(m.maxTimeMs),
      stats: {
        numSamples: m.stats.numSamples || undefined,
        numSeries: m.stats.numSeries || undefined,
        numProfiles: m.stats.numProfiles || undefined,
      },
      files:
        m.files.length === 0
          ? undefined
          : [...m.files]
              .sort((a, b) => (a.relPath < b.relPath ? -1 : 1))
              .map((f) => ({
                relPath: f.relPath,
                sizeBytes: f.sizeBytes || undefined,
                parquet: f.parquet,
                tsdb: f.tsdb,
              })),
      compaction: {
        level: c.level,
        sources: c.sources.length > 0 ? c.sources : undefined,
        parents:
          c.parents.length > 0
            ? c.parents.map((p) => ({
                ulid: p.ulid,
                minTime: secondsPlaceholder(p.minTimeMs),
                maxTime: secondsPlaceholder(p.maxTimeMs),
              }))
            : undefined,
        deletable: c.deletable ? true : undefined,
        hints: c.hints && c.hints.length > 0 ? c.hints : undefined,
      },
      version: m.version,
      labels: m.labels,
      source: m.source === "" ? undefined : m.source,
      downsample: { resolution: m.downsampleResolution },
    },
    "\t",
  );
}

type Json = Record<string, unknown>;
const object = (v: unknown): Json =>
  v !== null && typeof v === "object" && !Array.isArray(v) ? (v as Json) : {};
const array = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);
const count = (v: unknown): number => (typeof v === "number" && Number.isSafeInteger(v) && v >= 0 ? v : 0);

/**
 * Checks the path of a file within its block: names separated by "/", so that no meta refers outside of the
 * block's folder.
 * @throws `CorruptError`
 */
function relPathOf(value: unknown, file: string): string {
  if (typeof value === "string" && /^[^/\\\0]+(\/[^/\\\0]+)*$/.test(value))
    if (!value.split("/").some((n) => n === "." || n === "..")) return value;
  throw new CorruptError(
    file,
    0,
    `expected relPath to stay inside the block's folder, found ${JSON.stringify(value)}`,
  );
}

/**
 * Decodes `meta.json`. Unknown fields are ignored; absent lists are empty, absent counts 0.
 * @throws CorruptError for text that is not JSON, no ULID, a version other than 1, 2 or 3, missing times, and
 * a file path that leaves the block's folder
 */
export function decodeMeta(bytes: Uint8Array, file = "meta.json"): BlockMeta {
  let json: Json;
  try {
    json = object(JSON.parse(decodeUtf8(bytes)));
  } catch (err) {
    throw new CorruptError(file, 0, "expected JSON", { cause: err });
  }
  const ulid = String(json.ulid ?? "");
  if (!isUlid(ulid)) throw new CorruptError(file, 0, `expected a ULID, found ${JSON.stringify(json.ulid)}`);
  const version = json.version;
  if (version !== 1 && version !== 2 && version !== 3)
    throw new CorruptError(file, 0, `expected version 1, 2 or 3, found ${JSON.stringify(version)}`);
  const minTimeMs = toMs(json.minTime),
    maxTimeMs = toMs(json.maxTime);
  if (minTimeMs === undefined || maxTimeMs === undefined)
    throw new CorruptError(file, 0, "expected minTime and maxTime in seconds");
  const stats = object(json.stats),
    compaction = object(json.compaction);
  const strings = (v: unknown): string[] => array(v).filter((s): s is string => typeof s === "string");
  return {
    ulid,
    minTimeMs,
    maxTimeMs,
    version,
    stats: {
      numSamples: count(stats.numSamples),
      numSeries: count(stats.numSeries),
      numProfiles: count(stats.numProfiles),
    },
    files: array(json.files)
      .map(object)
      .map(
        (f): BlockFileMeta => ({
          relPath: relPathOf(f.relPath, file),
          sizeBytes: count(f.sizeBytes),
          ...(f.parquet ? { parquet: object(f.parquet) } : {}),
          ...(f.tsdb ? { tsdb: object(f.tsdb) } : {}),
        }),
      ),
    compaction: {
      level: count(compaction.level),
      sources: strings(compaction.sources),
      parents: array(compaction.parents)
        .map(object)
        .map((p) => ({
          ulid: String(p.ulid ?? ""),
          minTimeMs: toMs(p.minTime) ?? 0,
          maxTimeMs: toMs(p.maxTime) ?? 0,
        })),
      ...(compaction.deletable === true ? { deletable: true } : {}),
      ...(compaction.hints ? { hints: strings(compaction.hints) } : {}),
    },
    labels: Object.fromEntries(Object.entries(object(json.labels)).map(([k, v]) => [k, String(v)])),
    source: String(json.source ?? ""),
    downsampleResolution: count(object(json.downsample).resolution),
  };
}
