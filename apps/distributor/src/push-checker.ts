import type { Hasher } from "@cinderblock/bytes";
import { toPushAnswer, labelHashes, PushProcessor, type RateGate, type SentPush } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import type { Validation } from "./validator.ts";

/**
 * Processes a push like an ingester, without storing: every ingester accepts the profiles that this accepts.
 */
export class PushChecker {
  private accepted = 0;
  private series: bigint[] = [];
  private types: number[] = [];
  private readonly processor: PushProcessor;

  constructor(hasher: Hasher) {
    const seriesHash = labelHashes(hasher);
    this.processor = new PushProcessor(hasher, {
      checksOnly: true,
      append: (_tenant, p) => {
        this.accepted++;
        for (const { labels } of p.groups) {
          this.series.push(seriesHash(labels));
          this.types.push(p.profile.tables.sampleTypes);
        }
      },
    });
  }

  check(tenant: string, push: SentPush, limits: IngestLimits, gate: RateGate, nowMs: number): Validation {
    this.accepted = 0;
    this.series = [];
    this.types = [];
    const out = this.processor.process(tenant, push, limits, gate, nowMs);
    return {
      accepted: this.accepted,
      series: BigUint64Array.from(this.series),
      types: Uint8Array.from(this.types),
      answer: toPushAnswer(out),
    };
  }
}
