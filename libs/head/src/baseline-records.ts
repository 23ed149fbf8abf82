import type { ByteReader, ByteWriter } from "@cinderblock/bytes";
import type { Labels } from "@cinderblock/model";
import { baselineKey, type BaselineUpdate } from "./baselines.ts";
import { readLabels, writeLabels, RecordType } from "./log-records.ts";

/**
 * Appends the baseline updates of one tenant.
 * @param route route that placed the series on its thread; undefined: unknown
 * @param kafkaPartition Kafka partition whose records the baselines follow from; only with a route
 */
export function encodeBaselineRecord(
  tenant: string,
  updates: readonly BaselineUpdate[],
  route: string | undefined,
  out: ByteWriter,
  kafkaPartition?: number,
): void {
  out.u8(RecordType.baseline);
  out.str(tenant);
  out.uvarint(updates.length);
  for (const u of updates) {
    writeLabels(out, u.labels);
    out.u64le(u.timeNanos);
    out.u8(u.reset ? 1 : 0);
    out.uvarint(u.lo.length);
    for (let i = 0; i < u.lo.length; i++) {
      out.u32le(u.lo[i]!);
      out.u32le(u.hi[i]!);
      out.uvarint64(u.value[i]!);
    }
  }
  // Earlier releases ignore the bytes after the updates.
  if (route === undefined) return;
  out.str(route);
  if (kafkaPartition !== undefined) out.uvarint(kafkaPartition);
}

/** Reads a baseline record. @throws `ShortRead` for a damaged record */
export function decodeBaselineRecord(
  r: ByteReader,
  keyOf: (l: Labels) => string,
): {
  tenant: string;
  updates: BaselineUpdate[];
  route: string | undefined;
  kafkaPartition: number | undefined;
} {
  const tenant = r.str();
  const updates: BaselineUpdate[] = [];
  for (let k = r.uvarint(); k > 0; k--) {
    const l = readLabels(r);
    const timeNanos = r.i64le(),
      reset = r.u8() === 1,
      n = r.uvarint();
    if (n > r.left) r.requireBytes(n);
    const u: BaselineUpdate = {
      key: keyOf(l),
      labels: l,
      timeNanos,
      reset,
      lo: new Uint32Array(n),
      hi: new Uint32Array(n),
      value: new BigInt64Array(n),
    };
    for (let i = 0; i < n; i++) {
      u.lo[i] = r.u32le();
      u.hi[i] = r.u32le();
      u.value[i] = r.uvarint64();
    }
    updates.push(u);
  }
  const route = r.left > 0 ? r.str() : undefined,
    kafkaPartition = r.left > 0 ? r.uvarint() : undefined;
  if (kafkaPartition !== undefined) for (const u of updates) u.key = baselineKey(u.key, kafkaPartition);
  return { tenant, updates, route, kafkaPartition };
}

/** Appends the series whose baselines are void. */
export function encodeForgottenRecord(
  tenant: string,
  series: readonly Labels[],
  out: ByteWriter,
  kafkaPartition?: number,
): void {
  out.u8(RecordType.forgotten);
  out.str(tenant);
  out.uvarint(series.length);
  for (const l of series) writeLabels(out, l);
  // Earlier releases ignore the bytes after the series.
  if (kafkaPartition !== undefined) out.uvarint(kafkaPartition);
}

/** Reads a record of forgotten series. */
export function decodeForgottenRecord(r: ByteReader): {
  tenant: string;
  series: Labels[];
  kafkaPartition: number | undefined;
} {
  const tenant = r.str(),
    series: Labels[] = [];
  for (let k = r.uvarint(); k > 0; k--) series.push(readLabels(r));
  return { tenant, series, kafkaPartition: r.left > 0 ? r.uvarint() : undefined };
}
