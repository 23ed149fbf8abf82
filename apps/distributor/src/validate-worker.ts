import { loadHasher } from "@cinderblock/bytes";
import { toErrorRecord } from "@cinderblock/errors";
import { PushProcessor, RateGate } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import { serveWorker } from "@cinderblock/threads";
import type { Validation, ValidateCall } from "./validator.ts";

/** A worker thread that does to a push what an ingester will do, and keeps nothing: what it takes, every ingester takes. */
const settingsOf = new Map<string, { limits: IngestLimits; gate: RateGate }>();
let accepted = 0;
const processor = new PushProcessor(await loadHasher(), { append() { accepted++; } });

serveWorker({
  check({ tenant, push, nowMs, settings }: ValidateCall): Validation {
    if (settings) settingsOf.set(tenant, { limits: settings.limits, gate: new RateGate(settings.gate) });
    const { limits, gate } = settingsOf.get(tenant)!;
    accepted = 0;
    const out = processor.process(tenant, push, limits, gate, nowMs);
    return { accepted, answer: { ...out, error: out.error ? toErrorRecord(out.error) : undefined } };
  },
});
