import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { type PushAnswer, type RawPush, serviceOf } from "@cinderblock/ingest";
import type { RingSnapshot } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { PushTarget } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";

export interface RingWriteConfig {
  replicationFactor: number;
  zoneAware: boolean;
  timeoutMs: number;
  /** ingesters that a tenant's writes stay in; 0: all. Reads ask everyone (correctness rule 16) */
  shardSize: (tenant: string) => number;
}

/** Writes to the ingesters that the ring names; a push is taken when a quorum of them has it on disk. */
export class RingWritePath implements WritePath {
  private readonly config: RingWriteConfig;
  private readonly ring: () => RingSnapshot;
  private readonly target: (address: string) => PushTarget;
  private readonly base: Base;

  constructor(config: RingWriteConfig, ring: () => RingSnapshot, target: (address: string) => PushTarget, base: Base) {
    this.config = config;
    this.ring = ring;
    this.target = target;
    this.base = base;
  }

  /** Ingesters push back themselves. */
  refuse(): void { if (this.ring().active.length === 0) throw new CinderblockError("unavailable", "no ingester of the ring takes writes now"); }

  async push(tenant: string, service: string, push: RawPush): Promise<PushAnswer> {
    const placed = service === "" ? serviceOf(push) : service;
    // One service's series together, so that their symbols are; what names none goes where its bytes say, a retry to the same place.
    const token = fnv1a(placed === "" ? push.body : Buffer.from(`${tenant}/${placed}`));
    const { replicationFactor, zoneAware } = this.config, shardSize = this.config.shardSize(tenant);
    const ring = shardSize > 0 ? this.ring().shard(tenant, Math.max(shardSize, replicationFactor)) : this.ring();
    const { members, maxErrors } = ring.write(token, replicationFactor, zoneAware);
    return new Promise<PushAnswer>((resolve, reject) => {
      const errors: unknown[] = [];
      let answered = 0, settled = false;
      for (const m of members) {
        this.target(m.address).push(tenant, placed, push, this.config.timeoutMs).then((answer) => {
          answered++;
          if (settled || answered < members.length - maxErrors) return;
          settled = true;
          resolve(answer);
        }, (err: unknown) => {
          errors.push(err);
          this.base.metrics.counter("pyroscope_distributor_ingester_append_failures_total", "Pushes that an ingester did not take.", ["ingester"]).inc({ ingester: m.id });
          if (settled || errors.length <= maxErrors) return;
          settled = true;
          // Backpressure of one replica is what the agent should hear: it comes back later, to all of them.
          reject((errors.find((e) => kindOf(e) === "limit") ?? err) as Error);
        });
      }
    });
  }
}
