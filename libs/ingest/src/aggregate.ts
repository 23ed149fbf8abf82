import { CinderblockError, toErrorRecord } from "@cinderblock/errors";
import {
  type Label,
  LABEL_SERVICE_NAME,
  LABEL_SESSION_ID,
  labelsKey,
  labelValue,
  sortLabels,
} from "@cinderblock/model";
import { decodePush, decodePushJson, encodePush, inflateBody, type RawSeries } from "./envelope.ts";
import { emptyOutcome, type PushAnswer, type PushOutcome, type SentPush } from "./push.ts";

type Part<P> = P extends unknown
  ? Omit<P, "body"> & { /** bytes of the body that are this push's */ length: number }
  : never;

/**
 * Pushes of one series that arrived close together. Their profiles in each `windowMs` of profile time become
 * one row where they are stored. `body` holds their bodies, one after the other.
 */
export interface Aggregate {
  kind: "aggregate";
  trickle?: boolean;
  windowMs: number;
  parts: readonly Part<SentPush>[];
  body: Uint8Array;
}

/**
 * The part of a push for one series. `key` is equal for pushes whose profiles may be aggregated; it ignores
 * sessions.
 */
export interface SeriesPush {
  key: string;
  service: string;
  push: SentPush;
}

/** Joins at least two pushes into an aggregate. */
export function aggregateOf(windowMs: number, pushes: readonly SentPush[]): Aggregate {
  const body = new Uint8Array(pushes.reduce((n, p) => n + p.body.length, 0));
  let at = 0;
  const parts = pushes.map((p) => {
    body.set(p.body, at);
    at += p.body.length;
    const { body: own, ...part } = p;
    return { ...part, length: own.length } as Part<SentPush>;
  });
  return {
    kind: "aggregate",
    ...(pushes.some((p) => p.trickle) ? { trickle: true } : {}),
    windowMs,
    parts,
    body,
  };
}

/**
 * Pushes of an aggregate; their bodies are views of its body.
 * @throws `invalid` when the parts do not match the body
 */
export function pushesOf({ windowMs, parts, body }: Aggregate): SentPush[] {
  if (
    !Number.isSafeInteger(windowMs) ||
    windowMs <= 0 ||
    !Array.isArray(parts) ||
    parts.some((p: { length?: unknown } | undefined) => typeof p?.length !== "number")
  )
    throw new CinderblockError(
      "invalid",
      "expected an aggregate to contain its window and its parts with their lengths",
    );
  let at = 0;
  const pushes = parts.map(
    ({ length, ...part }) => ({ ...part, body: body.subarray(at, (at += length)) }) as SentPush,
  );
  if (at !== body.length)
    throw new CinderblockError(
      "invalid",
      `expected parts of ${body.length} bytes in an aggregate, found ${at}`,
    );
  return pushes;
}

/** Answer to an aggregate: the sums of all pushes, and the answer to each push. */
export function sumPushAnswers(parts: PushAnswer[]): PushAnswer {
  const all: PushAnswer = { ...emptyOutcome(), parts };
  const groups = new Map<string, number>();
  for (const p of parts) {
    all.profiles += p.profiles;
    all.compressedBytes += p.compressedBytes;
    all.decompressedBytes += p.decompressedBytes;
    all.samples += p.samples;
    all.discarded.push(...p.discarded);
    for (const [name, bytes] of p.groupBytes ?? []) groups.set(name, (groups.get(name) ?? 0) + bytes);
    if (p.trickled) all.trickled = true;
    all.error ??= p.error;
  }
  if (all.error) {
    const { kind } = all.error,
      messages = new Set(parts.flatMap(({ error }) => (error?.kind === kind ? [error.message] : [])));
    if (messages.size > 1) all.error = { ...all.error, message: [...messages].join("\n").slice(0, 4096) };
  }
  if (parts.some((p) => p.groupBytes)) all.groupBytes = [...groups];
  return all;
}

/** Number of profiles of a push that were not stored, for any reason. */
export function refusedProfiles(answer: Pick<PushAnswer, "discarded">): number {
  return answer.discarded.reduce((n, d) => n + d.profiles, 0);
}

/** Converts an outcome to its form between threads and processes. */
export function toPushAnswer(outcome: PushOutcome): PushAnswer {
  const { groups, error, ...counts } = outcome;
  return {
    ...counts,
    ...(groups ? { groupBytes: [...groups] } : {}),
    error: error ? toErrorRecord(error) : undefined,
  };
}

/**
 * Splits a push by series. `service` places a push of /ingest; other pushes are placed by their labels.
 * Returns undefined for three kinds of pushes: those whose series are known only after complete decoding
 * (OTLP), those with more than `maxBytes` after inflation, and broken ones, which their decoder refuses.
 */
export function pushesBySeries(push: SentPush, service: string, maxBytes: number): SeriesPush[] | undefined {
  if (push.kind === "otlp" || push.body.length > maxBytes) return undefined;
  if (push.kind === "ingest") {
    const { app, tags, format, spyName } = push.request;
    return [{ key: `${format}\u0000${spyName}\u0000${app}\u0000${keyOf(tags)}`, service, push }];
  }
  let series: RawSeries[];
  try {
    const body = push.gzip ? inflateBody(push.body, maxBytes) : push.body;
    series = push.codec === "proto" ? decodePush(body) : decodePushJson(body);
  } catch (err) {
    if (err instanceof CinderblockError) return undefined;
    throw err;
  }
  const bytes = series.reduce((n, s) => n + s.profiles.reduce((m, p) => m + p.length, 0), 0);
  const sent = series.filter((s) => s.profiles.length > 0);
  if (sent.length === 0 || bytes > maxBytes) return undefined;
  return sent.map((s) => ({
    key: `push\u0000${keyOf(s.labels)}`,
    service: labelValue(s.labels, LABEL_SERVICE_NAME),
    push:
      series.length === 1 && push.codec === "proto" && !push.gzip
        ? push
        : {
            kind: "push",
            codec: "proto",
            gzip: false,
            body: encodePush([s], bytes),
            ...(push.trickle ? { trickle: true } : {}),
          },
  }));
}

function keyOf(labels: readonly Label[]): string {
  return labelsKey(sortLabels(labels.filter((l) => l.name !== LABEL_SESSION_ID)));
}
