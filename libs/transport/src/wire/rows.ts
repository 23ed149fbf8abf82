import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  BlockInfoMessage,
  BlockInfoSchema,
  ExclusionMessage,
  ExclusionSchema,
  RowKeysMessage,
  RowKeysSchema,
  RowTimesMessage,
  RowTimesSchema,
  SeriesRangesMessage,
  SeriesRangesSchema,
} from "@cinderblock/api";
import type { SourceForm } from "@cinderblock/block";
import type { BlockInfo, Exclusions, RowKeys, RowTimes, SeriesRanges } from "@cinderblock/query";
import { bytesOf, columnOf, copyOf } from "./columns.ts";
import { missing } from "./query.ts";

/** @throws `invalid` */
function formOf(text: string): SourceForm {
  if (text === "head" || text === "block") return text;
  throw missing("the form head or block");
}

export function toBlockInfo({ rows, ...info }: BlockInfo): MessageInitShape<typeof BlockInfoSchema> {
  return { ...info, ...(rows === undefined ? {} : { rows: BigInt(rows) }) };
}
export function fromBlockInfo(b: BlockInfoMessage): BlockInfo {
  return {
    ulid: b.ulid,
    minTimeMs: b.minTimeMs,
    maxTimeMs: b.maxTimeMs,
    level: b.level,
    sources: b.sources,
    parents: b.parents,
    shardId: b.shardId,
    hints: b.hints,
    ...(b.rows === undefined ? {} : { rows: Number(b.rows) }),
  };
}

export function toExclusions(exclude: Exclusions): Record<string, MessageInitShape<typeof ExclusionSchema>> {
  return Object.fromEntries(
    Object.entries(exclude).map(([ulid, { form, upTo, rows, late }]) => [
      ulid,
      {
        form: form ?? "",
        upTo: BigInt(upTo),
        rows: bytesOf(rows),
        ...(late ? { late: bytesOf(late) } : {}),
      },
    ]),
  );
}
export function fromExclusions(exclude: Record<string, ExclusionMessage>): Exclusions {
  return Object.fromEntries(
    Object.entries(exclude).map(([ulid, { form, upTo, rows, late }]) => [
      ulid,
      {
        ...(form === "" ? {} : { form: formOf(form) }),
        upTo: Number(upTo),
        rows: columnOf(Uint32Array, rows),
        ...(late ? { late: columnOf(Uint32Array, late) } : {}),
      },
    ]),
  );
}

export function toSeriesRanges(r: SeriesRanges): MessageInitShape<typeof SeriesRangesSchema> {
  return {
    ulid: r.ulid,
    form: r.form,
    upTo: BigInt(r.upTo),
    fingerprint: bytesOf(r.fingerprint),
    min: bytesOf(r.min),
    max: bytesOf(r.max),
  };
}
export function fromSeriesRanges(r: SeriesRangesMessage): SeriesRanges {
  return {
    ulid: r.ulid,
    form: formOf(r.form),
    upTo: Number(r.upTo),
    fingerprint: columnOf(BigUint64Array, r.fingerprint),
    min: columnOf(BigInt64Array, r.min),
    max: columnOf(BigInt64Array, r.max),
  };
}

export function toRowTimes(t: RowTimes): MessageInitShape<typeof RowTimesSchema> {
  return {
    ulid: t.ulid,
    form: t.form,
    upTo: BigInt(t.upTo),
    fingerprint: bytesOf(t.fingerprint),
    count: bytesOf(t.count),
    timeNanos: bytesOf(t.timeNanos),
  };
}
export function fromRowTimes(t: RowTimesMessage): RowTimes {
  return {
    ulid: t.ulid,
    form: formOf(t.form),
    upTo: Number(t.upTo),
    fingerprint: columnOf(BigUint64Array, t.fingerprint),
    count: columnOf(Uint32Array, t.count),
    timeNanos: columnOf(BigInt64Array, t.timeNanos),
  };
}

export function toRowKeys(k: RowKeys): MessageInitShape<typeof RowKeysSchema> {
  return {
    ulid: k.ulid,
    form: k.form,
    upTo: BigInt(k.upTo),
    fingerprint: bytesOf(k.fingerprint),
    timeNanos: bytesOf(k.timeNanos),
    id: k.id,
    total: bytesOf(k.total),
    row: bytesOf(k.row),
  };
}
export function fromRowKeys(k: RowKeysMessage): RowKeys {
  return {
    ulid: k.ulid,
    form: formOf(k.form),
    upTo: Number(k.upTo),
    fingerprint: columnOf(BigUint64Array, k.fingerprint),
    timeNanos: columnOf(BigInt64Array, k.timeNanos),
    id: copyOf(k.id),
    total: columnOf(BigInt64Array, k.total),
    row: columnOf(Uint32Array, k.row),
  };
}
