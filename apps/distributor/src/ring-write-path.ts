import { fnv1a } from "@cinderblock/bytes";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { PushAnswer, RawPush } from "@cinderblock/ingest";
import {
  type Member,
  type PlacementConfig,
  placementToken,
  replicasOf,
  type RingSnapshot,
} from "@cinderblock/ring";
import type { Base } from "@cinderblock/telemetry";
import type { IngestLimits } from "@cinderblock/tenant";
import { encodePushRecord, type PushRecord, type PushTarget } from "@cinderblock/transport";
import type { WritePath } from "./distributor.ts";
import type { Decider } from "./decisions.ts";
import { Quorum, type QuorumResult } from "./quorum.ts";

export interface RingWriteConfig extends PlacementConfig {
  timeoutMs: number;
}

/**
 * Writes to the ingesters of the ring; a push is acknowledged when a quorum has it on disk. Limits are
 * decided here: a replica that refuses an accepted push has failed (docs/correctness.md, "No late refusal").
 */
export class RingWritePath implements WritePath {
  private readonly config: RingWriteConfig;
  private readonly ring: () => RingSnapshot;
  private readonly target: (address: string) => PushTarget;
  private readonly decider: Decider;
  private readonly failures: { inc(labels: { ingester: string }): void };

  constructor(
    config: RingWriteConfig,
    ring: () => RingSnapshot,
    target: (address: string) => PushTarget,
    decider: Decider,
    base: Base,
  ) {
    this.decider = decider;
    this.config = config;
    this.ring = ring;
    this.target = target;
    this.failures = base.metrics.counter(
      "pyroscope_distributor_ingester_append_failures_total",
      "Pushes that an ingester refused or did not answer.",
      ["ingester"],
    );
  }

  /** Refuses only without an active ingester: ingesters apply backpressure themselves. */
  refuse(): void {
    if (this.ring().active.length === 0)
      throw new CinderblockError("unavailable", "no ingester in the ring accepts writes");
  }

  /** Reason why no push can reach a quorum of ingesters now, for /ready; "" if pushes can. */
  get obstacle(): string {
    const { replicationFactor, zoneAware } = this.config;
    try {
      // The number of replicas depends on members and zones alone: every token gets the same.
      this.ring().writeReplicas(0, replicationFactor, zoneAware);
      return "";
    } catch (err) {
      if (kindOf(err) !== "unavailable") throw err;
      return `too few ingesters are ACTIVE in the ring: ${messageOf(err)} (-distributor.replication-factor=${replicationFactor})`;
    }
  }

  async push(tenant: string, service: string, push: RawPush, limits: IngestLimits): Promise<PushAnswer> {
    const { answer, record, contradicted } = await this.decider.decide(tenant, service, push, limits);
    if (!record) return answer;
    const replied = await this.store(record);
    return replied.stored ? answer : contradicted(replied.answer);
  }

  private store(push: PushRecord): Promise<{ answer: PushAnswer; stored: boolean }> {
    const { tenant, service } = push,
      record = encodePushRecord(push);
    // A push without a service is placed by its bytes, so a retry goes to the same replicas.
    const { members, maxErrors } = replicasOf(
      this.ring(),
      tenant,
      service === "" ? fnv1a(push.push.body) : placementToken(tenant, service),
      this.config,
    );
    return new Promise((resolve, reject) => {
      const quorum = new Quorum(members.length, members.length - maxErrors, push.refused),
        waiting = new Set(members);
      /** Counts each replica once; ignores later replies. */
      const settle = (m: Member, reply: () => QuorumResult | undefined): void => {
        if (!waiting.delete(m)) return;
        const result = reply();
        if (waiting.size === 0) clearTimeout(timer);
        if (!result) return;
        if ("answer" in result) resolve(result);
        else reject(result.error as Error);
      };
      const failed = (m: Member, err: unknown): QuorumResult | undefined => {
        this.countFailure(m);
        return quorum.recordFailure(err);
      };
      const timer = setTimeout(() => {
        for (const m of [...waiting])
          settle(m, () =>
            failed(
              m,
              new CinderblockError(
                "unavailable",
                `ingester ${m.id} did not respond to a push within ${this.config.timeoutMs} ms (-distributor.push.timeout)`,
              ),
            ),
          );
      }, this.config.timeoutMs);
      for (const m of members)
        this.target(m.address)
          .store(push, record, this.config.timeoutMs)
          .then(
            (answer) => {
              settle(m, () => {
                const { result, failure } = quorum.recordAnswer(answer);
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
