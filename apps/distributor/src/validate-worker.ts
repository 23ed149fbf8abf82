import { loadHasher } from "@cinderblock/bytes";
import { RateGate } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import { startData, serveWorker, SharedPagesReader } from "@cinderblock/threads";
import { PushChecker } from "./push-checker.ts";
import type { ValidateWorkerData, ValidateWorkerMethods } from "./validator.ts";

/** A worker thread that checks pushes. */
const settingsOf = new Map<string, { limits: IngestLimits; gate: RateGate }>();
const bodies = new SharedPagesReader(startData<ValidateWorkerData>().bodies);
const checker = new PushChecker(await loadHasher());

serveWorker<ValidateWorkerMethods>({
  ready: () => undefined,
  check({ tenant, push, at, length, nowMs, settings }) {
    if (settings) settingsOf.set(tenant, { limits: settings.limits, gate: new RateGate(settings.gate) });
    const { limits, gate } = settingsOf.get(tenant)!;
    const whole = at === undefined ? push : { ...push, body: bodies.read(at, length!) };
    return checker.check(tenant, whole, limits, gate, nowMs);
  },
});
