import { loadHasher } from "@cinderblock/bytes";
import { answerOf, labelHashes, PushProcessor, RateGate } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import { ownData, serveWorker, SharedPagesReader } from "@cinderblock/threads";
import type { Validation, ValidateCall, ValidateWorkerData } from "./validator.ts";

/** A worker thread that does to a push what an ingester will do, and keeps nothing: what it takes, every ingester takes. */
const settingsOf = new Map<string, { limits: IngestLimits; gate: RateGate }>();
const bodies = new SharedPagesReader(ownData<ValidateWorkerData>().bodies);
let accepted = 0;
let series: bigint[] = [],
  types: number[] = [];
const hasher = await loadHasher(),
  seriesHash = labelHashes(hasher);
const processor = new PushProcessor(hasher, {
  checksOnly: true,
  append(_tenant, p) {
    accepted++;
    for (const { labels } of p.groups) {
      series.push(seriesHash(labels));
      types.push(p.profile.tables.sampleTypes);
    }
  },
});

serveWorker({
  check({ tenant, push, at, length, nowMs, settings }: ValidateCall): Validation {
    if (settings) settingsOf.set(tenant, { limits: settings.limits, gate: new RateGate(settings.gate) });
    const { limits, gate } = settingsOf.get(tenant)!;
    accepted = 0;
    series = [];
    types = [];
    const out = processor.process(
      tenant,
      at === undefined ? push : { ...push, body: bodies.read(at, length!) },
      limits,
      gate,
      nowMs,
    );
    return {
      accepted,
      series: BigUint64Array.from(series),
      types: Uint8Array.from(types),
      answer: answerOf(out),
    };
  },
});
