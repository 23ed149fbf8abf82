import { CinderblockError, fromErrorRecord } from "@cinderblock/errors";
import {
  IngestionGate,
  OTHER_GROUP,
  type PushAnswer,
  type RawPush,
  type SentPush,
} from "@cinderblock/ingest";
import type { Limits, TenantLimits } from "@cinderblock/tenant";
import type { BodyBudget, BodyTicket } from "@cinderblock/rpc";
import type { Base } from "@cinderblock/telemetry";
import { Aggregation } from "./aggregation.ts";
import { sizeBuckets } from "@cinderblock/telemetry";
import { UsageGroupNames } from "./usage-group-names.ts";

/** Destination of pushes: local shards, or ingesters over the network. Resolves when a push is durable. */
export interface WritePath {
  /** `service` places the push; the write path takes over the body's buffer */
  push(tenant: string, service: string, push: RawPush, limits: Limits): Promise<PushAnswer>;
  /** throws when no push can be accepted now: memory, disk, or the backlog of the bucket */
  refuse(): void;
}

/** Metrics for a tenant's pushes of one type. `other` counts all bytes of a tenant without usage groups. */
interface Children {
  profiles: { inc(n: number): void };
  sizes: { observe(n: number): void }[];
  groups: { inc(labels: Record<string, string>, n: number): void };
  other: { inc(n: number): void };
}

/** Maximum bytes of an aggregate. */
const AGGREGATE_BYTES = 4 << 20;

/** Counts pushes and sends them to the write path; the budget of bodies bounds the pushes in flight. */
export class Distributor {
  private readonly gate = new IngestionGate();
  private readonly path: Aggregation;
  private readonly limits: TenantLimits;
  private readonly bodies: BodyBudget;
  private readonly base: Base;
  private readonly groupNames: UsageGroupNames;

  /** @param maxPushBytes maximum size of an aggregate */
  constructor(
    path: WritePath,
    limits: TenantLimits,
    bodies: BodyBudget,
    base: Base,
    maxUsageGroupNames: number,
    maxPushBytes = AGGREGATE_BYTES,
  ) {
    this.groupNames = new UsageGroupNames(maxUsageGroupNames, base);
    this.path = new Aggregation(
      path,
      { maxBytes: Math.min(AGGREGATE_BYTES, maxPushBytes), maxHeldBytes: bodies.limitBytes / 2 },
      base,
    );
    this.limits = limits;
    this.bodies = bodies;
    this.base = base;
    base.metrics.gauge(
      "cinderblock_distributor_inflight_bytes",
      "Reserved memory for push bodies that are being read or processed.",
      [],
      (g) => {
        g.set(bodies.heldBytes);
      },
    );
  }

  /** Writes all held pushes and stops holding; called before a stop. */
  drain(): Promise<void> {
    return this.path.drain();
  }

  bodyLimit(tenant: string): number {
    return this.limits.forTenant(tenant).ingestionBodyLimitBytes;
  }

  /** Throws when the write path accepts no push now. */
  admit(): void {
    this.path.refuse();
  }

  /** @param ticket the body's reservation in the budget; absent: reserved here */
  async push(
    tenant: string,
    service: string,
    push: SentPush,
    type: string,
    ticket?: BodyTicket,
  ): Promise<void> {
    const bytes = push.body.length,
      limits = this.limits.forTenant(tenant);
    let trickle = false;
    try {
      trickle = this.gate.check(tenant, limits.ingestionLimit, this.base.now());
    } catch (err) {
      this.discard([{ reason: "ingest_limit_reached", profiles: 1, bytes }], tenant);
      throw err;
    }
    let held: BodyTicket;
    try {
      this.admit();
      held = ticket?.retain() ?? this.bodies.reserve(bytes);
    } catch (err) {
      this.discard([{ reason: "rate_limited", profiles: 1, bytes }], tenant);
      throw err;
    }
    let answered = false;
    try {
      const answer = await this.base.tracer.span("distributor.push", { tenant, bytes }, () =>
        this.path.push(tenant, service, trickle ? { ...push, trickle } : push, limits),
      );
      answered = true;
      if (answer.trickled && !limits.ingestionLimit!.reached)
        this.gate.use(tenant, limits.ingestionLimit!, this.base.now());
      this.count(tenant, type, answer);
      if (answer.error) throw fromErrorRecord(answer.error);
    } catch (err) {
      // An error for the whole push comes without an answer, and so without counts.
      if (!answered && err instanceof CinderblockError && err.reason !== undefined)
        this.discard([{ reason: err.reason, profiles: 1, bytes }], tenant);
      throw err;
    } finally {
      held.release();
    }
  }

  private readonly series = new Map<string, Children>();

  /** Metric children of a tenant and a type, looked up once. */
  private children(tenant: string, type: string): Children {
    const key = `${type}\u0000${tenant}`;
    let known = this.series.get(key);
    if (!known) {
      const { metrics } = this.base;
      const size = (name: string, help: string, buckets: number[]) =>
        metrics.histogram(name, help, ["type", "tenant"], buckets).labels({ type, tenant });
      const groups = metrics.counter(
        "pyroscope_usage_group_received_decompressed_total",
        "Received uncompressed profile bytes by usage group.",
        ["type", "tenant", "usage_group"],
      );
      known = {
        groups,
        other: groups.labels({ type, tenant, usage_group: OTHER_GROUP }),
        profiles: metrics
          .counter("pyroscope_distributor_profiles_received_total", "Profiles received.", ["tenant"])
          .labels({ tenant }),
        sizes: [
          size(
            "pyroscope_distributor_received_compressed_bytes",
            "Compressed size of received profiles.",
            sizeBuckets,
          ),
          size(
            "pyroscope_distributor_received_decompressed_bytes",
            "Uncompressed size of received profiles.",
            sizeBuckets,
          ),
          size(
            "pyroscope_distributor_received_samples",
            "Number of samples in received profiles.",
            [10, 100, 1000, 10000, 100000],
          ),
        ],
      };
      this.series.set(key, known);
    }
    return known;
  }

  private count(tenant: string, type: string, a: PushAnswer): void {
    const c = this.children(tenant, type);
    c.profiles.inc(a.profiles);
    c.sizes[0]!.observe(a.compressedBytes);
    c.sizes[1]!.observe(a.decompressedBytes);
    c.sizes[2]!.observe(a.samples);
    if (!a.groupBytes) c.other.inc(a.decompressedBytes);
    else
      for (const [group, bytes] of a.groupBytes)
        c.groups.inc({ type, tenant, usage_group: this.groupName(tenant, group) }, bytes);
    this.discard(a.discarded, tenant);
  }

  private groupName(tenant: string, group: string): string {
    return group === OTHER_GROUP
      ? group
      : this.groupNames.nameOf(tenant, group, this.limits.forTenant(tenant).usageGroups);
  }

  private discard(list: PushAnswer["discarded"], tenant: string): void {
    const { metrics } = this.base;
    for (const d of list) {
      metrics
        .counter("pyroscope_discarded_samples_total", "Discarded profiles by reason.", ["reason", "tenant"])
        .inc({ reason: d.reason, tenant }, d.profiles);
      metrics
        .counter("pyroscope_discarded_bytes_total", "Bytes of discarded profiles by reason.", [
          "reason",
          "tenant",
        ])
        .inc({ reason: d.reason, tenant }, d.bytes);
      for (const group of d.groups ?? [OTHER_GROUP])
        metrics
          .counter(
            "pyroscope_usage_group_discarded_bytes_total",
            "Bytes of discarded profiles by usage group.",
            ["reason", "tenant", "usage_group"],
          )
          .inc({ reason: d.reason, tenant, usage_group: this.groupName(tenant, group) }, d.bytes);
    }
  }
}
