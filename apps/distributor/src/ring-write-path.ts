import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import { type PushAnswer, type RawPush, serviceOf } from "@cinderblock/ingest";
import { type PlacementConfig, placementToken, replicasOf, type RingSnapshot } from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { PushTarget } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";

export interface RingWriteConfig extends PlacementConfig {
  timeoutMs: number;
}

/** Writes to the ingesters that the ring names; a push is taken when a quorum of them has it on disk. */
export class RingWritePath implements WritePath {
  private readonly config: RingWriteConfig;
  private readonly ring: () => RingSnapshot;
  private readonly target: (address: string) => PushTarget;
  private readonly base: Base;

  constructor(
    config: RingWriteConfig,
    ring: () => RingSnapshot,
    target: (address: string) => PushTarget,
    base: Base,
  ) {
    this.config = config;
    this.ring = ring;
    this.target = target;
    this.base = base;
  }

  /** Ingesters push back themselves. */
  refuse(): void {
    if (this.ring().active.length === 0)
      throw new CinderblockError("unavailable", "no ingester of the ring takes writes now");
  }

  async push(tenant: string, service: string, push: RawPush): Promise<PushAnswer> {
    const placed = service === "" ? serviceOf(push) : service;
    // What names no service goes where its bytes say, a retry to the same place.
    const { members, maxErrors } = replicasOf(
      this.ring(),
      tenant,
      placed === "" ? fnv1a(push.body) : placementToken(tenant, placed),
      this.config,
    );
    return new Promise<PushAnswer>((resolve, reject) => {
      const errors: unknown[] = [];
      let answered = 0,
        settled = false;
      for (const m of members) {
        this.target(m.address)
          .push(tenant, placed, push, this.config.timeoutMs)
          .then(
            (answer) => {
              answered++;
              if (settled || answered < members.length - maxErrors) return;
              settled = true;
              resolve(answer);
            },
            (err: unknown) => {
              errors.push(err);
              this.base.metrics
                .counter(
                  "pyroscope_distributor_ingester_append_failures_total",
                  "Pushes that an ingester did not take.",
                  ["ingester"],
                )
                .inc({ ingester: m.id });
              if (settled || errors.length <= maxErrors) return;
              settled = true;
              // Backpressure of one replica is what the agent should hear: it comes back later, to all of them.
              reject((errors.find((e) => kindOf(e) === "limit") ?? err) as Error);
            },
          );
      }
    });
  }
}
