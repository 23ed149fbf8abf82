import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError, toErrorRecord } from "@cinderblock/errors";
import {
  ActiveSeries,
  type Aggregate,
  aggregateOf,
  answerOfParts,
  type PushAnswer,
  pushesOf,
  type RawPush,
  refusedProfiles,
  type SentPush,
  serviceOf,
  tooManySeries,
} from "@cinderblock/ingest";
import type { PartitionedLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodePushRecord } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";
import type { PartitionWatch } from "./partition-watch.ts";
import type { Validator } from "./validator.ts";

export interface KafkaWriteConfig {
  timeoutMs: number;
  maxRecordBytes: number;
}

/** Writes pushes to the partitioned log; one is taken when the log has it on all replicas in sync. */
export class KafkaWritePath implements WritePath {
  private readonly config: KafkaWriteConfig;
  private readonly log: PartitionedLog;
  private readonly validator: Validator;
  private readonly watch: PartitionWatch;
  private readonly base: Base;
  private readonly active = new ActiveSeries();
  private readonly maxSeries: (tenant: string) => number;
  private readonly plain = new WeakMap<IngestLimits, IngestLimits>();

  /** @param maxSeries active series that a tenant may have; 0: no limit */
  constructor(
    config: KafkaWriteConfig,
    log: PartitionedLog,
    validator: Validator,
    watch: PartitionWatch,
    maxSeries: (tenant: string) => number,
    base: Base,
  ) {
    this.maxSeries = maxSeries;
    this.config = config;
    this.log = log;
    this.validator = validator;
    this.watch = watch;
    this.base = base;
  }

  /** The log takes everything: the distributor has to say when its readers fall too far behind. */
  refuse(): void {
    this.watch.refuse();
  }

  async push(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<PushAnswer> {
    const atMs = this.base.now();
    if (push.kind === "aggregate") return this.aggregate(tenant, service, push, limits, atMs);
    const { answer, accepted } = await this.check(tenant, push, limits, atMs);
    if (accepted)
      await this.write(
        tenant,
        service === "" ? serviceOf(push) : service,
        push,
        limits,
        atMs,
        refusedProfiles(answer),
      );
    return answer;
  }

  /** Each push is checked by itself; the record holds those that something is to be kept of. */
  private async aggregate(
    tenant: string,
    service: string,
    all: Aggregate,
    limits: IngestLimits,
    atMs: number,
  ): Promise<PushAnswer> {
    const pushes = pushesOf(all);
    const checked = await Promise.all(
      pushes.map((push) =>
        this.check(tenant, push, limits, atMs).catch((err: unknown) => ({
          answer: refused(err, push),
          accepted: false,
        })),
      ),
    );
    const kept = pushes.filter((_, i) => checked[i]!.accepted);
    const told = checked.filter((c) => c.accepted).reduce((n, c) => n + refusedProfiles(c.answer), 0);
    if (kept.length > 0)
      await this.write(
        tenant,
        service,
        kept.length === pushes.length ? all : kept.length === 1 ? kept[0]! : aggregateOf(all.windowMs, kept),
        limits,
        atMs,
        told,
      );
    return answerOfParts(checked.map((c) => c.answer));
  }

  /** Whether anything of a push is to be kept. Throws when it would begin a series that is too many. */
  private async check(
    tenant: string,
    push: SentPush,
    limits: IngestLimits,
    atMs: number,
  ): Promise<{ answer: PushAnswer; accepted: boolean }> {
    const { answer, accepted, series, types } = await this.validator.check(tenant, push, limits, atMs);
    if (accepted > 0) this.limitSeries(tenant, series, types, atMs);
    return { answer, accepted: accepted > 0 };
  }

  private async write(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    atMs: number,
    refused: number,
  ): Promise<void> {
    const record = encodePushRecord({
      tenant,
      service,
      atMs,
      limits: push.trickle
        ? { ...this.decided(limits), ingestionLimit: limits.ingestionLimit }
        : this.decided(limits),
      push,
      refused,
    });
    if (record.length > this.config.maxRecordBytes) {
      throw new CinderblockError(
        "invalid",
        `the push is a record of ${record.length} bytes; the limit is ${this.config.maxRecordBytes} (-kafka.max-record-bytes)`,
        { reason: "body_size_limit_exceeded" },
      );
    }
    // Records of one service go to one partition, and a retry to the same.
    const { partitions } = this.watch;
    if (partitions === 0) this.watch.refuse();
    const partition = (service === "" ? fnv1a(push.body) : placementToken(tenant, service)) % partitions;
    this.watch.admit(partition);
    await this.log.produce(partition, record, this.config.timeoutMs);
    this.base.metrics
      .counter("cinderblock_distributor_records_produced_total", "Records written to the partitioned log.", [
        "partition",
      ])
      .inc({ partition: String(partition) });
  }

  /**
   * Refuses new series of a tenant that has as many as it may, counted by this distributor and by the owners of the
   * partitions, who tell every two seconds: each distributor may let through what comes within that time.
   */
  private limitSeries(tenant: string, series: BigUint64Array, types: Uint8Array, nowMs: number): void {
    const max = this.maxSeries(tenant);
    if (max === 0) return;
    const owners = this.watch.seriesOf(tenant);
    const full = owners !== undefined && owners.size >= max;
    series.forEach((s, i) => {
      const known = owners?.has(s) ?? false;
      const refused = full && !known && !this.active.has(tenant, s);
      if (refused || !this.active.admit(tenant, s, types[i]!, max, nowMs, () => known))
        throw tooManySeries(Math.max(this.active.count(tenant), owners?.size ?? 0), max);
    });
  }

  /** What a reader has to apply: rates and numbers of series were decided before the push was acknowledged. */
  private decided(limits: IngestLimits): IngestLimits {
    let p = this.plain.get(limits);
    if (!p) {
      const {
        ingestionBodyLimitBytes,
        maxLabelNameLength,
        maxLabelValueLength,
        maxLabelNamesPerSeries,
        maxSessionsPerSeries,
        enforceLabelsOrder,
        disableLabelSanitization,
        maxProfileSizeBytes,
        maxProfileStacktraceSamples,
        maxProfileStacktraceSampleLabels,
        maxProfileStacktraceDepth,
        maxProfileSymbolValueLength,
        rejectOlderThanMs,
        rejectNewerThanMs,
        relabelDefaultRules,
        relabelRules,
        sampleTypeRelabelRules,
        usageGroups,
        sampling,
        keepStripped,
      } = limits;
      this.plain.set(
        limits,
        (p = {
          ingestionRateBytes: 0,
          ingestionBurstBytes: 0,
          maxSeriesPerTenant: 0,
          ingestionBodyLimitBytes,
          maxLabelNameLength,
          maxLabelValueLength,
          maxLabelNamesPerSeries,
          maxSessionsPerSeries,
          enforceLabelsOrder,
          disableLabelSanitization,
          maxProfileSizeBytes,
          maxProfileStacktraceSamples,
          maxProfileStacktraceSampleLabels,
          maxProfileStacktraceDepth,
          maxProfileSymbolValueLength,
          rejectOlderThanMs,
          rejectNewerThanMs,
          relabelDefaultRules,
          relabelRules,
          sampleTypeRelabelRules,
          usageGroups,
          sampling,
          keepStripped,
          ingestionLimit: undefined,
        }),
      );
    }
    return p;
  }
}

/** What a push of an aggregate is answered that could not be checked, or was refused. */
function refused(err: unknown, push: SentPush): PushAnswer {
  const error = toErrorRecord(err);
  return {
    profiles: 0,
    compressedBytes: 0,
    decompressedBytes: 0,
    samples: 0,
    discarded: [
      {
        reason: (err instanceof CinderblockError ? err.reason : undefined) ?? "unknown",
        profiles: 1,
        bytes: push.body.length,
      },
    ],
    error,
  };
}
