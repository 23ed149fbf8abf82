import { gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { type Labels } from "@cinderblock/model";
import { tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import type { IngestLimits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { type ProcessedProfile, PushProcessor, RateGate, type SentPush } from "./index.ts";

/** v1's defaults, with a rate that no test reaches and the ingestion window. */
export const LIMITS: IngestLimits = {
  ...TEST_LIMITS,
  ingestionRateBytes: 1e9,
  ingestionBurstBytes: 1e9,
  rejectOlderThanMs: 36e5,
  rejectNewerThanMs: 6e5,
};
/** Clock of the tests, in milliseconds. */
export const NOW = 1_795_409_460_000;
/** A push of one series with these labels and profiles, as JSON. */
export const json = (labels: Record<string, string>, ...profiles: Uint8Array[]): SentPush => ({
  kind: "push",
  codec: "json",
  gzip: false,
  body: Buffer.from(
    JSON.stringify({
      series: [
        {
          labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
          samples: profiles.map((p) => ({ rawProfile: Buffer.from(p).toString("base64") })),
        },
      ],
    }),
  ),
});
/** A gzipped pprof of the time of the tests. */
export const profile = (p: Partial<TinyProfile> = {}): Uint8Array =>
  gzipSync(
    tinyPprof({
      stacks: [{ frames: ["main", "work"], values: [5] }],
      timeNanos: BigInt(NOW) * 1_000_000n,
      ...p,
    }),
  );
/** Labels of a series. */
export const NAME = { __name__: "process_cpu", service_name: "shop" };

let groups: { labels: Labels; samples: number; id: string }[] = [];
const processor = loadHasher().then(
  (hasher) =>
    new PushProcessor(hasher, {
      append: (_t: string, p: ProcessedProfile) => {
        for (const g of p.groups)
          groups.push({ labels: g.labels, samples: g.samples.length, id: Buffer.from(g.id).toString("hex") });
      },
    }),
);

/** Processes a push; returns the stored series and the outcome. */
export async function run(push: SentPush, limits: Partial<IngestLimits> = {}) {
  groups = [];
  const outcome = (await processor).process(
    "t",
    push,
    { ...LIMITS, ...limits },
    new RateGate(new SharedArrayBuffer(8)),
    NOW,
  );
  return { groups, outcome };
}
