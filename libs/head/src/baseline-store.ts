import { ByteWriter } from "@cinderblock/bytes";
import type { PushOrigin } from "@cinderblock/ingest";
import { LABEL_SERVICE_NAME, type Labels, labelValue } from "@cinderblock/model";
import { type Baseline, Baselines, type BaselineUpdate } from "./baselines.ts";
import { encodeBaselineRecord, encodeForgottenRecord } from "./baseline-records.ts";

/** Maximum stacks of one snapshot record: about a megabyte. */
const RECORD_STACKS = 65_536;
/** Estimated bytes of a stack in a snapshot (its hash and a typical value), and of a series. */
const STACK_BYTES = 13,
  SERIES_BYTES = 300;

/** Destination of baseline records. */
export interface BaselineLog {
  append(record: Uint8Array): unknown;
}

/** Series of a service that have a baseline in one Kafka partition. */
export interface BaselineService {
  tenant: string;
  /** service that placed the pushes in a Kafka partition; without a partition, the service of the series */
  service: string;
  kafkaPartition?: number;
}

/**
 * Baselines of all tenants of one thread, and their log records (docs/correctness.md, "Cumulative
 * baselines").
 */
export class GrowthBaselines {
  private readonly tenants = new Map<string, Baselines>();
  private readonly record = new ByteWriter(1 << 12);
  private readonly log: BaselineLog;
  /**
   * route that places the current push on this thread; stored with each baseline, so that a change of the
   * thread count finds it
   */
  route: string | undefined;
  /** Kafka partition of the current push, and whether its growth counts there; undefined: a direct push */
  origin: PushOrigin | undefined;

  constructor(log: BaselineLog) {
    this.log = log;
  }

  /** Baselines of a tenant. They log their updates with the placement route of the current push. */
  forTenant(tenant: string): Baselines {
    let b = this.tenants.get(tenant);
    if (!b) this.tenants.set(tenant, (b = new Baselines()));
    b.route = this.route;
    b.origin = this.origin;
    return b;
  }

  /** Loads the baselines that a replay found. */
  load(tenants: ReadonlyMap<string, Baselines>): void {
    for (const [tenant, b] of tenants) this.tenants.set(tenant, b);
  }

  /** Logs the baseline updates of the last profile. */
  logPending(tenant: string): void {
    const b = this.tenants.get(tenant);
    if (!b) return;
    const kafkaPartition = b.origin?.kafkaPartition;
    if (b.pending.length > 0) {
      this.write(tenant, b.pending, b.route, kafkaPartition);
      b.pending = [];
    }
    if (b.pendingForgotten.length > 0) {
      this.writeForgotten(tenant, b.pendingForgotten, kafkaPartition);
      b.pendingForgotten = [];
    }
  }

  private write(
    tenant: string,
    updates: readonly BaselineUpdate[],
    route: string | undefined,
    kafkaPartition: number | undefined,
  ): void {
    this.record.reset();
    encodeBaselineRecord(tenant, updates, route, this.record, kafkaPartition);
    this.log.append(this.record.finish());
  }

  private writeForgotten(
    tenant: string,
    series: readonly Labels[],
    kafkaPartition: number | undefined,
  ): void {
    this.record.reset();
    encodeForgottenRecord(tenant, series, this.record, kafkaPartition);
    this.log.append(this.record.finish());
  }

  /**
   * Logs a complete baseline, which makes all earlier records of the series unnecessary. A baseline with many
   * stacks takes several records; the first record marks its beginning.
   */
  private writeWhole(tenant: string, key: string, b: Baseline): void {
    const { labels, lastTime: timeNanos, route, kafkaPartition } = b,
      value = b.value.view();
    for (let at = 0, first = true; first || at < b.lo.length; at += RECORD_STACKS, first = false) {
      const end = Math.min(b.lo.length, at + RECORD_STACKS);
      const update: BaselineUpdate = {
        key,
        labels,
        timeNanos,
        reset: first,
        lo: Uint32Array.from(b.lo.slice(at, end)),
        hi: Uint32Array.from(b.hi.slice(at, end)),
        value: value.slice(at, end),
      };
      this.write(tenant, [update], route, kafkaPartition);
    }
  }

  /**
   * Logs every baseline, one after the other. A caller may commit between two of them, and pushes may arrive.
   * Series that begin in the meantime log themselves.
   */
  *snapshot(): Generator<void> {
    for (const [tenant, b] of this.tenants)
      for (const [key, series] of b.series) {
        this.writeWhole(tenant, key, series);
        yield;
      }
  }

  /** Approximate size of a snapshot in bytes. */
  get snapshotBytes(): number {
    let n = 0;
    for (const b of this.tenants.values()) n += b.stacks * STACK_BYTES + b.series.size * SERIES_BYTES;
    return n;
  }

  /** Adopts and logs the newest baselines from other threads' logs. @returns the number of adopted series */
  adopt(tenants: ReadonlyMap<string, Baselines>): number {
    let n = 0;
    for (const [tenant, others] of tenants) {
      const own = this.forTenant(tenant);
      for (const [key, b] of others.series) {
        if (!own.adopt(key, b)) continue;
        this.writeWhole(tenant, key, b);
        n++;
      }
    }
    return n;
  }

  /**
   * Drops baselines that belong to other threads; the next checkpoint removes them from the log.
   * @returns the number of dropped series
   */
  keepOnly(keeps: (route: string) => boolean): number {
    let n = 0;
    for (const b of this.tenants.values()) {
      const gone = [...b.series].filter(([, s]) => s.route !== undefined && !keeps(s.route));
      b.forget(gone.map(([key]) => key));
      n += gone.length;
    }
    return n;
  }

  /** Tenants, services and Kafka partitions that have a baseline. */
  servicesWithBaselines(): BaselineService[] {
    return [...this.tenants].flatMap(([tenant, b]) => {
      const found = new Map<string, BaselineService>();
      for (const s of b.series.values()) {
        const { kafkaPartition } = s,
          service = serviceOf(s);
        found.set(`${kafkaPartition ?? ""}/${service}`, {
          tenant,
          service,
          ...(kafkaPartition === undefined ? {} : { kafkaPartition }),
        });
      }
      return [...found.values()];
    });
  }

  /**
   * Forgets the baselines of services whose profiles another ingester or partition may have received, and logs
   * that.
   * @returns the number of forgotten series
   */
  forget(services: readonly BaselineService[]): number {
    let n = 0;
    for (const [tenant, b] of this.tenants) {
      const nameOf = (service: string, kafkaPartition: number | undefined): string =>
        `${kafkaPartition ?? ""}/${service}`;
      const names = new Set(
        services.filter((s) => s.tenant === tenant).map((s) => nameOf(s.service, s.kafkaPartition)),
      );
      const keys: string[] = [],
        byPartition = new Map<number | undefined, Labels[]>();
      for (const [key, s] of b.series) {
        if (!names.has(nameOf(serviceOf(s), s.kafkaPartition))) continue;
        keys.push(key);
        const list = byPartition.get(s.kafkaPartition);
        if (list) list.push(s.labels);
        else byPartition.set(s.kafkaPartition, [s.labels]);
      }
      b.forget(keys);
      n += keys.length;
      for (const [kafkaPartition, series] of byPartition) this.writeForgotten(tenant, series, kafkaPartition);
    }
    return n;
  }

  /** Number of cumulative profiles that only set a baseline. */
  get firstProfiles(): number {
    let n = 0;
    for (const b of this.tenants.values()) n += b.firstProfiles;
    return n;
  }
}

/**
 * Service of a baseline. Relabeling may rewrite the label after the placement, so a baseline of a Kafka partition
 * uses the service that placed its pushes.
 */
function serviceOf({ labels, route, kafkaPartition }: Baseline): string {
  return kafkaPartition !== undefined && route !== undefined ? route : labelValue(labels, LABEL_SERVICE_NAME);
}
