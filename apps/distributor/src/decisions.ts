import { CinderblockError, toErrorRecord } from "@cinderblock/errors";
import {
  ActiveSeries,
  type Aggregate,
  aggregateOf,
  sumPushAnswers,
  type PushAnswer,
  pushesOf,
  type RawPush,
  refusedProfiles,
  type SentPush,
  serviceOf,
  seriesLimitError,
} from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import type { PushRecord } from "@cinderblock/transport";
import type { Validation } from "./validator.ts";

/** The decision on one push. */
export interface Decision {
  /** the sender's answer: after the record is stored, or at once without a record */
  answer: PushAnswer;
  /** the profiles to store; undefined: the push has none */
  record: PushRecord | undefined;
  /** the sender's answer when a quorum of replicas refused more than the decision */
  contradicted: (reply: PushAnswer) => PushAnswer;
}

export interface Decider {
  decide(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<Decision>;
}

export interface DecisionParts {
  validator: {
    check: (tenant: string, push: SentPush, limits: IngestLimits, nowMs: number) => Promise<Validation>;
  };
  /** active series that a tenant may have; 0: no limit */
  maxSeries: (tenant: string) => number;
  /** a tenant's active series on all ingesters; undefined before the first report of an ingester */
  seriesOf: (tenant: string) => ReadonlySet<bigint> | undefined;
  /** number of active distributors; each allows its share of a rate */
  distributors: () => number;
  now: () => number;
}

/**
 * Decides everything about a push that depends on a clock, a limit or other pushes: its rate, its series, its
 * time. The record carries the decision, so that replicas never differ because of a limit
 * (docs/correctness.md, "No late refusal"; docs/adr/0035-decide-limits-in-the-distributor.md).
 */
export class Decisions implements Decider {
  private readonly active = new ActiveSeries();
  private readonly plain = new WeakMap<IngestLimits, IngestLimits>();
  private readonly shares = new WeakMap<IngestLimits, { of: number; limits: IngestLimits }>();
  private readonly parts: DecisionParts;

  constructor(parts: DecisionParts) {
    this.parts = parts;
  }

  async decide(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<Decision> {
    const atMs = this.parts.now();
    if (push.kind === "aggregate") return this.aggregate(tenant, service, push, limits, atMs);
    const { answer, accepted } = await this.check(tenant, push, limits, atMs);
    if (!accepted) return { answer, record: undefined, contradicted: (reply) => reply };
    const placed = service === "" ? serviceOf(push) : service;
    return {
      answer,
      record: this.record(tenant, placed, push, limits, atMs, refusedProfiles(answer)),
      contradicted: (reply) => reply,
    };
  }

  /** Checks each push of an aggregate separately; the record holds the pushes with a profile to keep. */
  private async aggregate(
    tenant: string,
    service: string,
    all: Aggregate,
    limits: IngestLimits,
    atMs: number,
  ): Promise<Decision> {
    const pushes = pushesOf(all);
    const checked = await Promise.all(
      pushes.map((push) =>
        this.check(tenant, push, limits, atMs).catch((err: unknown) => ({
          answer: refusal(err, push),
          accepted: false,
        })),
      ),
    );
    const kept = pushes.filter((_, i) => checked[i]!.accepted),
      answer = sumPushAnswers(checked.map((c) => c.answer)),
      contradicted = (reply: PushAnswer): PushAnswer => {
        const replies = [...(reply.parts ?? [reply])];
        return sumPushAnswers(checked.map((c) => (c.accepted ? (replies.shift() ?? reply) : c.answer)));
      };
    if (kept.length === 0) return { answer, record: undefined, contradicted };
    const told = checked.filter((c) => c.accepted).reduce((n, c) => n + refusedProfiles(c.answer), 0);
    const push =
      kept.length === pushes.length ? all : kept.length === 1 ? kept[0]! : aggregateOf(all.windowMs, kept);
    return { answer, record: this.record(tenant, service, push, limits, atMs, told), contradicted };
  }

  /**
   * Validates a push; `accepted`: at least one profile is kept.
   * @throws `limit` when a new series exceeds the limit
   */
  private async check(
    tenant: string,
    push: SentPush,
    limits: IngestLimits,
    atMs: number,
  ): Promise<{ answer: PushAnswer; accepted: boolean }> {
    const { answer, accepted, series, types } = await this.parts.validator.check(
      tenant,
      push,
      this.share(limits),
      atMs,
    );
    if (accepted > 0) this.limitSeries(tenant, series, types, atMs);
    return { answer, accepted: accepted > 0 };
  }

  private record(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    atMs: number,
    refused: number,
  ): PushRecord {
    const decided = this.decided(limits);
    return {
      tenant,
      service,
      atMs,
      limits: push.trickle ? { ...decided, ingestionLimit: limits.ingestionLimit } : decided,
      push,
      refused,
    };
  }

  /**
   * Refuses new series of a tenant at its limit, as counted by this distributor and by the ingesters. The
   * ingesters report every two seconds: each distributor may accept new series within that time.
   */
  private limitSeries(tenant: string, series: BigUint64Array, types: Uint8Array, nowMs: number): void {
    const max = this.parts.maxSeries(tenant);
    if (max === 0) return;
    const owners = this.parts.seriesOf(tenant);
    const full = owners !== undefined && owners.size >= max;
    series.forEach((s, i) => {
      const known = owners?.has(s) ?? false;
      const refused = full && !known && !this.active.has(tenant, s);
      if (refused || !this.active.admit(tenant, s, types[i]!, max, nowMs, () => known))
        throw seriesLimitError(Math.max(this.active.count(tenant), owners?.size ?? 0), max);
    });
  }

  /** Limits with this distributor's share of the rate; the same object while nothing changes. */
  private share(limits: IngestLimits): IngestLimits {
    const of = Math.max(1, this.parts.distributors());
    let known = this.shares.get(limits);
    if (known?.of !== of)
      this.shares.set(
        limits,
        (known = {
          of,
          limits: of === 1 ? limits : { ...limits, ingestionRateBytes: limits.ingestionRateBytes / of },
        }),
      );
    return known.limits;
  }

  /** Limits that ingesters still apply to a decided push: no rates and no numbers of series. */
  private decided(limits: IngestLimits): IngestLimits {
    let p = this.plain.get(limits);
    if (!p) this.plain.set(limits, (p = withoutDecided(limits)));
    return p;
  }
}

/** Lists each field, because a tenant's limits have more fields than an ingester needs. */
function withoutDecided(limits: IngestLimits): IngestLimits {
  return {
    ingestionRateBytes: 0,
    ingestionBurstBytes: 0,
    maxSeriesPerTenant: 0,
    ingestionBodyLimitBytes: limits.ingestionBodyLimitBytes,
    maxLabelNameLength: limits.maxLabelNameLength,
    maxLabelValueLength: limits.maxLabelValueLength,
    maxLabelNamesPerSeries: limits.maxLabelNamesPerSeries,
    maxSessionsPerSeries: limits.maxSessionsPerSeries,
    enforceLabelsOrder: limits.enforceLabelsOrder,
    disableLabelSanitization: limits.disableLabelSanitization,
    maxProfileSizeBytes: limits.maxProfileSizeBytes,
    maxProfileStacktraceSamples: limits.maxProfileStacktraceSamples,
    maxProfileStacktraceSampleLabels: limits.maxProfileStacktraceSampleLabels,
    maxProfileStacktraceDepth: limits.maxProfileStacktraceDepth,
    maxProfileSymbolValueLength: limits.maxProfileSymbolValueLength,
    rejectOlderThanMs: limits.rejectOlderThanMs,
    rejectNewerThanMs: limits.rejectNewerThanMs,
    relabelDefaultRules: limits.relabelDefaultRules,
    relabelRules: limits.relabelRules,
    sampleTypeRelabelRules: limits.sampleTypeRelabelRules,
    usageGroups: limits.usageGroups,
    sampling: limits.sampling,
    keepStripped: limits.keepStripped,
    ingestionLimit: undefined,
  };
}

/** The answer for a push of an aggregate that was refused or could not be checked. */
function refusal(err: unknown, push: SentPush): PushAnswer {
  const reason = (err instanceof CinderblockError ? err.reason : undefined) ?? "unknown";
  return {
    profiles: 0,
    compressedBytes: 0,
    decompressedBytes: 0,
    samples: 0,
    discarded: [{ reason, profiles: 1, bytes: push.body.length }],
    error: toErrorRecord(err),
  };
}
