import { ByteWriter, hash128, type Hasher, utf8Length } from "@cinderblock/bytes";
import {
  CinderblockError,
  type DiscardReason,
  type ErrorRecord,
  isRefusal,
  messageOf,
} from "@cinderblock/errors";
import {
  ANNOTATION_SAMPLED,
  type Annotation,
  type Annotations,
  type Label,
  type Labels,
  LABEL_DELTA,
  LABEL_NAME,
  LABEL_ORDER,
  LABEL_SAMPLED,
  LABEL_SERVICE_NAME,
  LABEL_SPY,
  labelsKey,
  labelValue,
  mayBeCumulative,
  NO_ANNOTATIONS,
  sortLabels,
} from "@cinderblock/model";
import { inflateProfile, isGzip, PprofDecoder, type PprofTables, ReusedGunzip } from "@cinderblock/pprof";
import { ProfileKernel } from "@cinderblock/profile-kernel";
import type { Aggregate } from "./aggregate.ts";
import { overLimitError, throttledAnnotation } from "./ingestion-limit.ts";
import { decodePush, decodePushJson, inflateBody, type RawSeries } from "./envelope.ts";
import { jfrToPprofs, NO_JFR_LABELS, readJfrLabels } from "./jfr.ts";
import { otlpToPprofs, readOtlp } from "./otlp.ts";
import { readSpeedscope, speedscopeFactor, speedscopeRate } from "./speedscope.ts";
import type { StackBounds } from "./stack-builder.ts";
import { encodeText, readText, textScale, type TextType, textType, UNSCALED } from "./text.ts";
import { detectLanguage, fixGoGenerics, replaceStrings } from "./go-fix.ts";
import { repairTruncatedStacks } from "./go-truncated.ts";
import {
  type IngestRequest,
  parseMultipart,
  parsePprofForm,
  pprofName,
  type SampleTypeConfig,
} from "./ingest-request.ts";
import type { IngestLimits, RelabelRule } from "@cinderblock/tenant";
import { normalizeProfile, type NormalizedProfile, NormalizeScratch } from "./normalize.ts";
import type { RateGate } from "./rate-gate.ts";
import { isSampleTypeKept } from "./relabel.ts";
import { applyRelabelRules, limitSessions, validateLabels, withServiceName } from "./series-labels.ts";
import { mergeGroups, type SampleIds, splitByLabels } from "./split.ts";
import { stringAt } from "./strings.ts";
import { type Membership, membershipsOf, OTHER_GROUP, samplingOf } from "./usage-groups.ts";
import { validateProfile } from "./validate.ts";

/**
 * Samples of a profile for one series, ready for a head. `labels` are shared between calls: equal sets are
 * the same object.
 */
export interface ProfileGroup {
  labels: Labels;
  samples: Uint32Array;
  /** 128 bits of the duplicate key (docs/correctness.md, "Profile identity") */
  id: Uint8Array;
}

/** One profile after validation, normalization and splitting, in one group per series. */
export interface ProcessedProfile {
  profile: NormalizedProfile;
  groups: ProfileGroup[];
  ids: SampleIds;
  annotations: Annotations;
  /** only its totals are stored: its stacks count as empty */
  stripped?: boolean;
}

/** Destination of processed profiles; must not use a profile after `append` returns. */
export interface ProfileSink {
  /**
   * the sink stores nothing and reads only labels and sample types: IDs are empty, and steps that change only
   * stacks are skipped
   */
  readonly checksOnly?: boolean;
  /**
   * Whether the sink currently accepts only profiles that may be cumulative: others are not even inflated.
   * Ignored for a tenant with relabel rules, which may rename series.
   */
  cumulativeOnly?(): boolean;
  append(tenant: string, processed: ProcessedProfile): void;
}

/**
 * A push as an agent sent it. `trickle`: accepted although a limit of its tenant or of a usage group is
 * reached.
 */
export type SentPush = { trickle?: boolean } & (
  | { kind: "push"; codec: "proto" | "json"; gzip: boolean; body: Uint8Array }
  | { kind: "otlp"; codec: "proto" | "json"; gzip: boolean; body: Uint8Array }
  | { kind: "ingest"; request: IngestRequest; body: Uint8Array }
);

/** A push for storage: one push, or an aggregate. */
export type RawPush = SentPush | Aggregate;

/** Outcome of one push, for the answer and the metrics. */
export interface PushOutcome {
  profiles: number;
  compressedBytes: number;
  decompressedBytes: number;
  samples: number;
  discarded: {
    reason: DiscardReason;
    profiles: number;
    bytes: number;
    /** usage groups of the profiles, as far as known */
    groups?: string[];
  }[];
  error: CinderblockError | undefined;
  /**
   * group -> uncompressed bytes; absent: all bytes of the tenant are in `other`. Clients may choose the names
   */
  groups?: Map<string, number>;
  /** a part of the push belongs to a usage group over its limit, and was accepted as trickle */
  trickled?: boolean;
}

/**
 * An outcome in its form between threads and processes. `error` refuses the push permanently: bad input, or a
 * limit of the tenant that the answering process decides. A process without room throws `no-room` instead of
 * answering.
 */
export type PushAnswer = Omit<PushOutcome, "error" | "groups"> & {
  error: ErrorRecord | undefined;
  /** `groups` as pairs, which messages between processes can encode */
  groupBytes?: [group: string, bytes: number][];
  /** for an aggregate: the answer to each of its pushes */
  parts?: PushAnswer[];
};

/** Cached state of a label set as sent; `language` is set once a profile identifies it. */
interface SeriesContext {
  sent: Label[];
  spy: string;
  language: string;
  bytes: Uint8Array;
  /** usage groups, with the limits that they were computed for */
  memberships?: { of: IngestLimits["usageGroups"]; list: Membership[] };
}

/** Final labels of a group: equal sets share one object, so that heads may use object identity as key. */
interface FinalLabels {
  labels: Labels;
  bytes: Uint8Array;
}

/**
 * Characters of a label set that may be cached, and bytes of all cached ones (docs/correctness.md, "Every
 * input has a budget").
 */
const MAX_CACHED_LABELS = 64 << 10,
  MAX_CACHE_BYTES = 16 << 20;
/** Copies of a label set in the cache: key, labels and bytes. */
const COPIES = 3;

/** Times of pprofs below this one count as missing: before 1970 or, as in v1, within it. */
const YEAR_NANOS = 31_536_000_000_000_000n;

const DROPPED: FinalLabels = { labels: [], bytes: new Uint8Array(0) };

function boundsOf(limits: IngestLimits): StackBounds {
  return { maxSamples: limits.maxProfileStacktraceSamples, maxBytes: limits.maxProfileSizeBytes };
}

/**
 * Processes pushes from bytes to series profiles: inflate, decode, limit, validate, normalize, split. One per
 * ingest thread.
 */
export class PushProcessor {
  private readonly kernel = new ProfileKernel();
  private readonly decoder = new PprofDecoder();
  private readonly hasher: Hasher;
  private readonly sink: ProfileSink;
  private readonly contexts = new Map<string, SeriesContext>();
  private readonly finals = new Map<string, FinalLabels>();
  private contextBytes = 0;
  private finalBytes = 0;
  private finalLimits: IngestLimits | undefined;
  private readonly key = new ByteWriter(512);
  private readonly scratch = new NormalizeScratch();
  private readonly gunzip = ReusedGunzip.create();
  /** usage groups of the current profile */
  private groups: string[] | undefined;
  private trickle = false;
  private cumulativeOnly = false;
  private annotations: Annotations = NO_ANNOTATIONS;

  constructor(hasher: Hasher, sink: ProfileSink) {
    this.hasher = hasher;
    this.sink = sink;
  }

  /**
   * Processes every profile of a push; a refused profile does not stop the others. Bad input is part of the
   * outcome.
   * @throws errors that do not refuse the push permanently, such as `no-room`: some of its profiles may be in
   * the sink by then, and a retry brings them again with the same IDs
   */
  process(tenant: string, push: SentPush, limits: IngestLimits, gate: RateGate, nowMs: number): PushOutcome {
    const out: PushOutcome = {
      profiles: 0,
      compressedBytes: 0,
      decompressedBytes: 0,
      samples: 0,
      discarded: [],
      error: undefined,
    };
    this.trickle = push.trickle ?? false;
    this.cumulativeOnly = limits.relabelRules.length === 0 && this.sink.cumulativeOnly?.() === true;
    // Profiles from other endpoints never become cumulative.
    if (this.cumulativeOnly && push.kind !== "push") return out;
    try {
      if (push.kind === "ingest") {
        this.ingest(tenant, push.request, push.body, limits, gate, nowMs, out);
        return out;
      }
      const body = push.gzip ? inflateBody(push.body, limits.ingestionBodyLimitBytes) : push.body;
      if (push.kind === "otlp") {
        this.otlp(tenant, body, push.codec, limits, gate, nowMs, out);
        return out;
      }
      const series = push.codec === "proto" ? decodePush(body) : decodePushJson(body);
      this.pushSeries(tenant, series, limits, gate, nowMs, out);
    } catch (err) {
      this.fail(out, err, push.body.length);
    }
    return out;
  }

  /** Approximate memory of the cached label sets. */
  get cachedLabelBytes(): number {
    return this.contextBytes + this.finalBytes;
  }

  private fail(out: PushOutcome, err: unknown, bytes: number): void {
    if (!(err instanceof CinderblockError) || !isRefusal(err.kind)) throw err;
    out.discarded.push({
      reason: err.reason ?? "unknown",
      profiles: 1,
      bytes,
      ...(this.groups ? { groups: this.groups } : {}),
    });
    this.groups = undefined;
    if (!out.error) out.error = err;
    else if (out.error.kind === err.kind)
      out.error = new CinderblockError(
        err.kind,
        `${out.error.message}\n${err.message}`.slice(0, 4096),
        err.reason ? { reason: err.reason } : {},
      );
  }

  private pushSeries(
    tenant: string,
    series: RawSeries[],
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    let total = 0,
      profiles = 0;
    for (const s of series)
      for (const p of s.profiles) {
        total += p.length;
        profiles++;
      }
    if (profiles === 0) throw new CinderblockError("invalid", "no profiles received");
    if (limits.ingestionBodyLimitBytes > 0 && total > limits.ingestionBodyLimitBytes) {
      throw new CinderblockError(
        "invalid",
        `request body is ${total} bytes; the limit is ${limits.ingestionBodyLimitBytes}`,
        { reason: "body_size_limit_exceeded" },
      );
    }
    for (const s of series) {
      if (this.cumulativeOnly && !mayBeCumulative(s.labels)) continue;
      for (const bytes of s.profiles) {
        try {
          out.compressedBytes += bytes.length;
          const context = this.context(s.labels);
          const tables = this.decode(bytes, limits, out);
          this.one(tenant, tables, context, limits, gate, nowMs, out);
        } catch (err) {
          this.fail(out, err, bytes.length);
        }
      }
    }
  }

  private decode(bytes: Uint8Array, limits: IngestLimits, out: PushOutcome): PprofTables {
    const plain = inflateProfile(bytes, limits.maxProfileSizeBytes, this.gunzip);
    out.decompressedBytes += plain.length;
    return this.decodePlain(plain);
  }

  private context(sent: readonly Label[]): SeriesContext {
    const key = labelsKey(sent);
    let context = this.contexts.get(key);
    if (!context) {
      const labels = withServiceName(sent);
      context = { sent: labels, spy: labelValue(sent, LABEL_SPY), language: "", bytes: labelBytes(labels) };
      // Labels precede all limit checks: long ones will be refused and must not stay in the cache.
      if (key.length > MAX_CACHED_LABELS) return context;
      if (this.contexts.size > 20_000 || this.contextBytes > MAX_CACHE_BYTES) {
        this.contexts.clear();
        this.contextBytes = 0;
      }
      this.contextBytes += COPIES * key.length;
      this.contexts.set(key, context);
    }
    return context;
  }

  private ingest(
    tenant: string,
    request: IngestRequest,
    body: Uint8Array,
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    out.compressedBytes += body.length;
    const { format } = request;
    if (format === "groups" || format === "lines" || format === "trie" || format === "tree") {
      const bounds = {
        maxNameLength: limits.maxProfileSymbolValueLength,
        maxChildren: limits.maxProfileStacktraceSamples,
      };
      const { stacks, uncounted } = readText(plainText(body, limits), format, bounds, boundsOf(limits));
      if (uncounted > 0) out.discarded.push({ reason: "malformed_profile", profiles: uncounted, bytes: 0 });
      // v1 reads the body before it validates the application's name.
      const { service, type } = textType(request.app);
      this.text(
        tenant,
        request,
        service,
        type,
        encodeText(stacks, type, request.sampleRate, request.fromNanos),
        limits,
        gate,
        nowMs,
        out,
      );
      return;
    }
    if (format === "speedscope") {
      this.speedscope(tenant, request, body, limits, gate, nowMs, out);
      return;
    }
    if (format === "jfr") {
      this.jfr(tenant, request, body, limits, gate, nowMs, out);
      return;
    }
    let bytes: Uint8Array | undefined = body;
    let config: ReadonlyMap<string, SampleTypeConfig> | undefined;
    if (request.format === "multipart")
      ({ profile: bytes, sampleTypes: config } = parsePprofForm(body, request.boundary));
    if (!bytes || bytes.length === 0) return;
    let tables: PprofTables;
    try {
      tables = this.decode(bytes, limits, out);
    } catch (err) {
      if (err instanceof CinderblockError && err.kind === "unknown")
        throw new CinderblockError("unknown", `parsing IngestInput-pprof failed ${err.message}`, {
          reason: "malformed_profile",
          cause: err,
        });
      throw err;
    }
    fixScripting(tables, request.spyName);
    if (request.spyName === "dotnetspy" || (request.spyName === "unknown" && config?.has("inuse-space")))
      fixDotnet(tables);
    // As in v1, the corrected types name the profile.
    const types: string[] = [];
    for (let i = 0; i < tables.sampleTypes; i++) types.push(stringAt(tables, tables.typeType.data[i]!));
    if (tables.timeNanos < YEAR_NANOS) tables.timeNanos = request.fromNanos;
    const labels = [
      ...request.tags,
      ...this.common(request),
      { name: LABEL_NAME, value: pprofName(types, config) },
      ...(hasTag(request, LABEL_SERVICE_NAME) ? [] : [{ name: LABEL_SERVICE_NAME, value: request.app }]),
    ];
    this.one(tenant, tables, this.context(labels), limits, gate, nowMs, out);
  }

  /** Processes a profile that was built from text, with the labels of its application's name. */
  private text(
    tenant: string,
    request: IngestRequest,
    service: string,
    type: TextType,
    bytes: Uint8Array,
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
    more: readonly Label[] = [],
  ): void {
    if (request.tags.some((t) => t.name === "profile_id" && t.value !== "")) return;
    out.decompressedBytes += bytes.length;
    const labels = [
      ...request.tags.filter((t) => !more.some((l) => l.name === t.name)),
      ...this.common(request),
      { name: LABEL_NAME, value: type.name },
      ...named(request, service),
      ...more,
    ];
    this.one(tenant, this.decodePlain(bytes), this.context(labels), limits, gate, nowMs, out);
  }

  private common(request: IngestRequest): Label[] {
    return [
      { name: LABEL_DELTA, value: "false" },
      { name: LABEL_SPY, value: request.spyName },
    ];
  }

  private decodePlain(bytes: Uint8Array): PprofTables {
    return this.kernel.decode(bytes) ?? this.decoder.decode(bytes);
  }

  private otlp(
    tenant: string,
    body: Uint8Array,
    codec: "proto" | "json",
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    out.compressedBytes += body.length;
    for (const { labels, bytes, unnamed } of otlpToPprofs(
      readOtlp(body, codec),
      BigInt(nowMs) * 1_000_000n,
    )) {
      out.decompressedBytes += bytes.length;
      try {
        if (unnamed !== undefined)
          throw new CinderblockError("invalid", unnamed, { reason: "invalid_labels" });
        this.one(tenant, this.decodePlain(bytes), this.context(labels), limits, gate, nowMs, out);
      } catch (err) {
        this.fail(out, err, bytes.length);
      }
    }
  }

  private speedscope(
    tenant: string,
    request: IngestRequest,
    body: Uint8Array,
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    // Unit and name distinguish several profiles of one file.
    const appOf = (unit: string, many: boolean): string => (many ? `${request.app}.${unit}` : request.app);
    const profiles = readSpeedscope(
      plainText(body, limits),
      (unit, many) => {
        const { times, by } = textScale(
          speedscopeType(appOf(unit, many)).type,
          speedscopeRate(unit, request.sampleRate),
        );
        return (speedscopeFactor(unit)! * Number(times)) / Number(by);
      },
      boundsOf(limits),
    );
    for (const p of profiles) {
      if (p.stacks.isEmpty) continue;
      const app = appOf(p.unit, profiles.length > 1),
        { service, type } = speedscopeType(app),
        rate = speedscopeRate(p.unit, request.sampleRate);
      this.text(
        tenant,
        request,
        service,
        type,
        encodeText(p.stacks, type, rate, request.fromNanos, UNSCALED),
        limits,
        gate,
        nowMs,
        out,
        [{ name: "profile_name", value: p.name }],
      );
    }
  }

  private jfr(
    tenant: string,
    request: IngestRequest,
    body: Uint8Array,
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    if (body.length === 0) return;
    let recording: Uint8Array | undefined = body,
      contexts: Uint8Array | undefined;
    if (request.boundary !== "") {
      const parts = parseMultipart(body, request.boundary);
      recording = parts.get("jfr");
      contexts = parts.get("labels");
      if (!recording)
        throw new CinderblockError(
          "unknown",
          "parsing IngestInput-pprof failed jfr: the form has no part jfr",
          { reason: "malformed_profile" },
        );
    }
    const bound = limits.ingestionBodyLimitBytes > 0 ? limits.ingestionBodyLimitBytes : 1 << 30;
    const inflate = (bytes: Uint8Array): Uint8Array => (isGzip(bytes) ? inflateProfile(bytes, bound) : bytes);
    const { profiles, event } = jfrToPprofs(
      inflate(recording),
      contexts ? readJfrLabels(inflate(contexts)) : NO_JFR_LABELS,
      request.sampleRate,
      request.fromNanos,
      request.durationNanos,
    );
    for (const p of profiles) {
      out.decompressedBytes += p.bytes.length;
      const labels = [
        ...request.tags,
        ...this.common(request),
        { name: LABEL_NAME, value: p.name },
        { name: "jfr_event", value: event },
        ...(request.app === "" ? [] : named(request, request.app)),
      ];
      try {
        this.one(tenant, this.decodePlain(p.bytes), this.context(labels), limits, gate, nowMs, out);
      } catch (err) {
        this.fail(out, err, p.bytes.length);
      }
    }
  }

  private one(
    tenant: string,
    tables: PprofTables,
    context: SeriesContext,
    limits: IngestLimits,
    gate: RateGate,
    nowMs: number,
    out: PushOutcome,
  ): void {
    const { sent } = context;
    this.groups = undefined;
    this.annotations =
      this.trickle && limits.ingestionLimit?.reached
        ? [throttledAnnotation(limits.ingestionLimit, "", limits.ingestionLimit.periodLimitMb)]
        : NO_ANNOTATIONS;
    let cost = tables.bytes.length;
    for (const l of sent) cost += utf8Length(l.name) + utf8Length(l.value);
    if (
      !gate.tryConsume(
        cost,
        limits.ingestionRateBytes,
        limits.ingestionBurstBytes,
        BigInt(nowMs) * 1_000_000n,
      )
    ) {
      throw new CinderblockError(
        "limit",
        `push rate limit (${mib(limits.ingestionRateBytes)}) exceeded while adding ${cost} bytes; the burst is ${mib(limits.ingestionBurstBytes)}`,
        { reason: "rate_limited" },
      );
    }
    const bodyBytes = tables.bytes;
    let stripped = false;
    if (limits.usageGroups?.length > 0 && this.sampledOut(context, bodyBytes, limits, out)) {
      if (!limits.keepStripped) return;
      stripped = true;
    }
    validateProfile(tables, sent, limits, nowMs);
    out.samples += tables.samples;
    const { checksOnly } = this.sink;
    let go = false,
      merged = false;
    if (!checksOnly) {
      if (context.language === "" || context.language === "unknown")
        context.language = detectLanguage(tables, context.spy);
      go = context.language === "go";
      if (go) merged = fixGoGenerics(tables);
      injectMappingVersions(tables, sent);
    }
    if (limits.sampleTypeRelabelRules.length > 0)
      dropSampleTypes(tables, sent, limits.sampleTypeRelabelRules);
    const profile = normalizeProfile(
      this.kernel,
      tables,
      limits.maxProfileStacktraceDepth,
      BigInt(nowMs) * 1_000_000n,
      this.scratch,
    );
    if (go) repairTruncatedStacks(profile, merged);
    const lost = lostSamples(profile);
    if (lost > 0) out.discarded.push({ reason: "malformed_profile", profiles: lost, bytes: 0 });
    out.profiles++;
    if (profile.kept === 0) return;
    const series = limitSessions([...sent], limits.maxSessionsPerSeries);
    const { groups, ids } = splitByLabels(
      profile,
      stripped
        ? sortLabels([
            ...series.filter((l) => l.name !== LABEL_SAMPLED),
            { name: LABEL_SAMPLED, value: "true" },
          ])
        : series,
    );
    const bySet = new Map<FinalLabels, { labels: Label[]; samples: Uint32Array }[]>();
    for (const g of groups) {
      const final = this.finalLabels(g.labels, limits);
      if (final === DROPPED) {
        out.discarded.push({ reason: "dropped_by_relabel_rules", profiles: 1, bytes: bodyBytes.length });
        continue;
      }
      const same = bySet.get(final);
      if (same) same.push(g);
      else bySet.set(final, [g]);
    }
    if (bySet.size === 0) return;
    // All samples of a profile share the hash of its bytes: 64 bits of content, and 128 bits of identity
    // together with the labels.
    const bodyHash = checksOnly ? 0n : this.hasher.h64(bodyBytes);
    this.sink.append(tenant, {
      profile,
      ids: stripped ? NO_IDS : ids,
      annotations: this.annotations,
      ...(stripped ? { stripped } : {}),
      groups: [...bySet].map(([final, same]) => ({
        labels: final.labels,
        samples: mergeGroups(same.map((g) => ({ ...g, labels: final.labels as Label[] })))[0]!.samples,
        id: checksOnly
          ? NO_ID
          : this.profileId(tenant, context.bytes, final.bytes, profile.timeNanos, bodyHash),
      })),
    });
  }

  /**
   * Counts a profile for its usage groups, and decides whether a sampling rule drops it. The decision depends
   * only on the profile's bytes and the limits: replicas, retries and log readers agree.
   */
  private sampledOut(
    context: SeriesContext,
    body: Uint8Array,
    limits: IngestLimits,
    out: PushOutcome,
  ): boolean {
    const { usageGroups } = limits,
      counts = (out.groups ??= new Map<string, number>());
    if (context.memberships?.of !== usageGroups)
      context.memberships = { of: usageGroups, list: membershipsOf(usageGroups, context.sent) };
    const memberships = context.memberships.list;
    this.groups = memberships.length > 0 ? memberships.map((m) => m.name) : [OTHER_GROUP];
    for (const name of this.groups) counts.set(name, (counts.get(name) ?? 0) + body.length);
    this.checkGroups(memberships, limits, out);
    const rule = limits.sampling.length > 0 ? samplingOf(memberships, limits.sampling) : undefined;
    if (!rule) return false;
    if (Number(this.hasher.h64(body) >> 11n) / 2 ** 53 < rule.probability) {
      this.annotations = [...this.annotations, sampled(rule)];
      return false;
    }
    out.discarded.push({
      reason: "dropped_by_sampling_rules",
      profiles: 1,
      bytes: body.length,
      groups: this.groups,
    });
    return true;
  }

  /**
   * Refuses profiles of a usage group over its limit, except the trickle. Pushes in log records were accepted
   * at the distributor, so only a trickle's record carries the limit.
   * @throws `limit`
   */
  private checkGroups(memberships: readonly Membership[], limits: IngestLimits, out: PushOutcome): void {
    const limit = limits.ingestionLimit;
    if (!limit || limit.groupsOverLimit.length === 0) return;
    for (const m of memberships) {
      const over =
        limit.groupsOverLimit.find((g) => g.name === m.name) ??
        limit.groupsOverLimit.find((g) => g.name === m.group);
      if (!over) continue;
      if (!this.trickle) throw overLimitError(`the limit of usage group ${m.name} is reached`);
      out.trickled = true;
      this.annotations = [...this.annotations, throttledAnnotation(limit, m.name, over.periodLimitMb)];
      return;
    }
  }

  /** Final labels of a group; DROPPED if a rule drops the series. */
  private finalLabels(labels: Label[], limits: IngestLimits): FinalLabels {
    if (this.finalLimits !== limits || this.finals.size > 50_000 || this.finalBytes > MAX_CACHE_BYTES) {
      this.finals.clear();
      this.finalBytes = 0;
      this.finalLimits = limits;
    }
    const key = labelsKey(labels);
    let known = this.finals.get(key);
    if (!known) {
      const relabelled = applyRelabelRules(labels, limits);
      if (!relabelled) {
        if (key.length <= MAX_CACHED_LABELS) {
          this.finalBytes += COPIES * key.length;
          this.finals.set(key, DROPPED);
        }
        return DROPPED;
      }
      const valid = validateLabels(relabelled, limits);
      const ordered = limits.enforceLabelsOrder
        ? sortLabels([
            ...valid.filter((l) => l.name !== LABEL_ORDER),
            { name: LABEL_ORDER, value: "enforced" },
          ])
        : valid;
      // Rules may turn two label sets into equal ones, which must share one object too.
      const finalKey = `=${labelsKey(ordered)}`;
      known = this.finals.get(finalKey) ?? { labels: ordered, bytes: labelBytes(ordered) };
      // Equal sets share one object whatever their size, because heads compare them by identity.
      this.finalBytes += COPIES * (finalKey.length + key.length);
      this.finals.set(finalKey, known);
      this.finals.set(key, known);
    }
    return known;
  }

  /**
   * 128 bits over tenant, labels as sent, time, uncompressed bytes and final labels: a retry gets the same
   * ID.
   */
  private profileId(
    tenant: string,
    sent: Uint8Array,
    final: Uint8Array,
    timeNanos: bigint,
    body: bigint,
  ): Uint8Array {
    const k = this.key;
    k.reset();
    k.u64le(body);
    k.u64le(timeNanos);
    k.str(tenant);
    k.bytes(sent);
    k.u8(255);
    k.bytes(final);
    return hash128(this.hasher, k.finish());
  }
}

/** Service and type of a speedscope profile. An unknown type is a property of the file: 422, as in v1. */
function speedscopeType(app: string): ReturnType<typeof textType> {
  try {
    return textType(app);
  } catch (err) {
    throw new CinderblockError("unknown", messageOf(err), { reason: "malformed_profile", cause: err });
  }
}

/** Body of a text format: no text begins as gzip does, so a gzipped one is inflated whether it is declared or not. */
function plainText(body: Uint8Array, limits: IngestLimits): Uint8Array {
  return isGzip(body) ? inflateBody(body, limits.ingestionBodyLimitBytes) : body;
}

/** Number of samples with a value that are not stored: a value is negative, or a location unknown. */
function lostSamples({ tables, keep, kept }: NormalizedProfile): number {
  if (kept === tables.samples) return 0;
  const first = tables.sampleValues.data,
    { words } = tables.value;
  let lost = 0;
  for (let i = 0; i < tables.samples; i++) {
    if (keep[i] === 1) continue;
    let any = 0;
    for (let k = 2 * first[i]!; k < 2 * first[i + 1]!; k++) any |= words[k]!;
    if (any !== 0) lost++;
  }
  return lost;
}

const NO_ID = new Uint8Array(0);
const NO_IDS: SampleIds = { spans: undefined, traces: undefined };

function sampled(rule: { probability: number; by: string }): Annotation {
  return {
    key: ANNOTATION_SAMPLED,
    value: JSON.stringify({ body: { source: { usageGroup: rule.by, probability: rule.probability } } }),
  };
}

/** Clears the values of sample types that the rules drop: a type without values is not stored. */
function dropSampleTypes(t: PprofTables, sent: Labels, rules: readonly RelabelRule[]): void {
  for (let k = 0; k < t.sampleTypes; k++) {
    const own: Label[] = [
      { name: "__type__", value: stringAt(t, t.typeType.data[k]!) },
      { name: "__unit__", value: stringAt(t, t.typeUnit.data[k]!) },
    ];
    if (
      isSampleTypeKept([...sent.filter((l) => l.name !== "__type__" && l.name !== "__unit__"), ...own], rules)
    )
      continue;
    for (let i = 0; i < t.samples; i++) {
      const at = t.sampleValues.data[i]! + k;
      if (at < t.sampleValues.data[i + 1]!) t.value.data[at] = 0n;
    }
  }
}

function labelBytes(labels: Labels): Uint8Array {
  const out = new ByteWriter(256);
  for (const l of labels) {
    out.str(l.name);
    out.str(l.value);
  }
  return out.copy();
}

const hasTag = (request: IngestRequest, name: string): boolean => request.tags.some((t) => t.name === name);

/**
 * Labels from the application's name, without the type of a text. A tag `service_name` names the service, also
 * an empty one, which is refused; the application is then the label `app_name`, unless a tag has this name.
 */
function named(request: IngestRequest, service: string): Label[] {
  if (!hasTag(request, LABEL_SERVICE_NAME)) return [{ name: LABEL_SERVICE_NAME, value: service }];
  return hasTag(request, "app_name") ? [] : [{ name: "app_name", value: service }];
}

function mib(bytes: number): string {
  return `${(bytes / 1048576).toFixed(1)} MiB`;
}

/** Renames functions of scripting languages to `<filename> <function>`. */
function fixScripting(t: PprofTables, spy: string): void {
  if (spy !== "pyspy" && spy !== "rbspy" && spy !== "scripting") return;
  const start = t.strings;
  const texts = new Map<number, string>();
  const seen = new Map<string, number>();
  for (let i = 0; i < t.functions; i++) {
    const file = stringAt(t, t.funcFilename.data[i]!);
    if (spy === "pyspy" && file.startsWith("/")) continue;
    const text = `${file} ${stringAt(t, t.funcName.data[i]!)}`;
    let at = seen.get(text);
    if (at === undefined) {
      at = start + seen.size;
      seen.set(text, at);
      t.stringStart.push(0);
      t.stringEnd.push(0);
      texts.set(at, text);
    }
    t.funcName.data[i] = at;
  }
  replaceStrings(t, texts);
}

/**
 * Replaces `-` in sample types by `_`. Where no function has an ID and there are as many functions as
 * locations, each function gets the ID of the location in its place, as in v1.
 */
function fixDotnet(t: PprofTables): void {
  const texts = new Map<number, string>();
  for (let i = 0; i < t.sampleTypes; i++) {
    const at = t.typeType.data[i]!;
    const text = stringAt(t, at);
    if (text.includes("-")) texts.set(at, text.replaceAll("-", "_"));
  }
  replaceStrings(t, texts);
  if (t.functions !== t.locations) return;
  for (let i = 0; i < t.functions; i++) if ((t.funcIdLo.data[i]! | t.funcIdHi.data[i]!) !== 0) return;
  for (let i = 0; i < t.functions; i++) {
    t.funcIdLo.data[i] = t.locIdLo.data[i]!;
    t.funcIdHi.data[i] = t.locIdHi.data[i]!;
  }
}

/** Stores the source repository of a program in the build ID of its mappings, as v1 does. */
function injectMappingVersions(t: PprofTables, labels: Labels): void {
  const repository = labelValue(labels, "service_repository"),
    ref = labelValue(labels, "service_git_ref"),
    root = labelValue(labels, "service_root_path");
  if (repository === "" && ref === "" && root === "") return;
  const texts = new Map<number, string>();
  for (let i = 0; i < t.mappings; i++) {
    const json = JSON.stringify({
      ...(repository === "" ? {} : { repository }),
      ...(ref === "" ? {} : { git_ref: ref }),
      ...(t.mappingBuildId.data[i] === 0 ? {} : { build_id: stringAt(t, t.mappingBuildId.data[i]!) }),
      ...(root === "" ? {} : { root_path: root }),
    });
    texts.set(t.strings, json);
    t.mappingBuildId.data[i] = t.stringStart.push(0);
    t.stringEnd.push(0);
  }
  replaceStrings(t, texts);
}
