import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type PushAnswer, type RawPush, serviceOf } from "@cinderblock/ingest";
import {
  type Member,
  type PlacementConfig,
  placementToken,
  replicasOf,
  type RingSnapshot,
} from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { PushTarget } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";
import { Quorum, type QuorumResult } from "./quorum.ts";

export interface RingWriteConfig extends PlacementConfig {
  timeoutMs: number;
}

/** Writes to the ingesters that the ring names; a push is taken when a quorum of them has it on disk. */
export class RingWritePath implements WritePath {
  private readonly config: RingWriteConfig;
  private readonly ring: () => RingSnapshot;
  private readonly target: (address: string) => PushTarget;
  private readonly failures: { inc(labels: { ingester: string }): void };

  constructor(
    config: RingWriteConfig,
    ring: () => RingSnapshot,
    target: (address: string) => PushTarget,
    base: Base,
  ) {
    this.config = config;
    this.ring = ring;
    this.target = target;
    this.failures = base.metrics.counter(
      "pyroscope_distributor_ingester_append_failures_total",
      "Pushes that an ingester did not take.",
      ["ingester"],
    );
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
      const quorum = new Quorum(members.length, members.length - maxErrors),
        waiting = new Set(members);
      /** Counts each replica once, whatever comes of it later. */
      const settle = (m: Member, reply: () => QuorumResult | undefined): void => {
        if (!waiting.delete(m)) return;
        const result = reply();
        if (waiting.size === 0) clearTimeout(timer);
        if (!result) return;
        if ("answer" in result) resolve(result.answer);
        else reject(result.error as Error);
      };
      const failed = (m: Member, err: unknown): QuorumResult | undefined => {
        this.countFailure(m);
        return quorum.failed(err);
      };
      const timer = setTimeout(() => {
        for (const m of [...waiting])
          settle(m, () =>
            failed(
              m,
              new CinderblockError(
                "unavailable",
                `ingester ${m.id} did not answer a push within ${this.config.timeoutMs} ms (-distributor.push.timeout)`,
              ),
            ),
          );
      }, this.config.timeoutMs);
      for (const m of members)
        this.target(m.address)
          .push(tenant, placed, push, this.config.timeoutMs)
          .then(
            (answer) => {
              settle(m, () => {
                const { result, failure } = quorum.answered(answer);
                if (failure) this.countFailure(m);
                return result;
              });
            },
            (err: unknown) => {
              settle(m, () => failed(m, err));
            },
          );
    });
  }

  private countFailure(m: Member): void {
    this.failures.inc({ ingester: m.id });
  }
}
