import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { ActiveSeries, type PushAnswer, type RawPush, serviceOf, tooManySeries } from "@cinderblock/ingest";
import type { PartitionedLog } from "@cinderblock/kafka";
import { placementToken } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodePushRecord } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";
import type { PartitionWatch } from "./partition-watch.ts";
import type { Validator } from "./validator.ts";

export interface KafkaWriteConfig { timeoutMs: number; maxRecordBytes: number }

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
  constructor(config: KafkaWriteConfig, log: PartitionedLog, validator: Validator, watch: PartitionWatch, maxSeries: (tenant: string) => number, base: Base) {
    this.maxSeries = maxSeries;
    this.config = config;
    this.log = log;
    this.validator = validator;
    this.watch = watch;
    this.base = base;
  }

  /** The log takes everything: the distributor has to say when its readers fall too far behind. */
  refuse(): void { this.watch.refuse(); }

  async push(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<PushAnswer> {
    const placed = service === "" ? serviceOf(push) : service;
    const atMs = this.base.now();
    const { answer, accepted, series, types } = await this.validator.check(tenant, push, limits, atMs);
    if (accepted === 0) return answer;
    this.limitSeries(tenant, series, types, atMs);
    const record = encodePushRecord({ tenant, service: placed, atMs, limits: push.trickle ? { ...this.decided(limits), ingestionLimit: limits.ingestionLimit } : this.decided(limits), push });
    if (record.length > this.config.maxRecordBytes) {
      throw new CinderblockError("invalid", `the push is a record of ${record.length} bytes; the limit is ${this.config.maxRecordBytes} (-kafka.max-record-bytes)`, { reason: "body_size_limit_exceeded" });
    }
    // Records of one service go to one partition, and a retry to the same.
    const partition = (placed === "" ? fnv1a(push.body) : placementToken(tenant, placed)) % this.log.partitions;
    await this.log.produce(partition, record, this.config.timeoutMs);
    this.base.metrics.counter("cinderblock_distributor_records_produced_total", "Records written to the partitioned log.", ["partition"]).inc({ partition: String(partition) });
    return answer;
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
      if (refused || !this.active.admit(tenant, s, types[i]!, max, nowMs, () => known)) throw tooManySeries(Math.max(this.active.count(tenant), owners?.size ?? 0), max);
    });
  }

  /** What a reader has to apply: rates and numbers of series were decided before the push was acknowledged. */
  private decided(limits: IngestLimits): IngestLimits {
    let p = this.plain.get(limits);
    if (!p) {
      const { ingestionBodyLimitBytes, maxLabelNameLength, maxLabelValueLength, maxLabelNamesPerSeries, maxSessionsPerSeries, enforceLabelsOrder, disableLabelSanitization, maxProfileSizeBytes, maxProfileStacktraceSamples, maxProfileStacktraceSampleLabels, maxProfileStacktraceDepth, maxProfileSymbolValueLength, rejectOlderThanMs, rejectNewerThanMs, relabelDefaultRules, relabelRules, sampleTypeRelabelRules, usageGroups, sampling, keepStripped } = limits;
      this.plain.set(limits, (p = { ingestionRateBytes: 0, ingestionBurstBytes: 0, maxSeriesPerTenant: 0, ingestionBodyLimitBytes, maxLabelNameLength, maxLabelValueLength, maxLabelNamesPerSeries, maxSessionsPerSeries, enforceLabelsOrder, disableLabelSanitization, maxProfileSizeBytes, maxProfileStacktraceSamples, maxProfileStacktraceSampleLabels, maxProfileStacktraceDepth, maxProfileSymbolValueLength, rejectOlderThanMs, rejectNewerThanMs, relabelDefaultRules, relabelRules, sampleTypeRelabelRules, usageGroups, sampling, keepStripped, ingestionLimit: undefined }));
    }
    return p;
  }
}
