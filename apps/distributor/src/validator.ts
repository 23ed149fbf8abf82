import type { PushAnswer, SentPush } from "@cinderblock/ingest";
import type { Service } from "@cinderblock/service";
import type { IngestLimits } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";
import { SharedPages, Transfer, type WorkerClient, WorkerPool } from "@cinderblock/threads";

/** Start data of a worker: the shared memory of the bodies. */
export interface ValidateWorkerData {
  bodies: SharedArrayBuffer;
}
/** Shared memory for bodies in flight; for a large body, or one without room, a copy is transferred. */
const BODIES_BYTES = 8 << 20;
const NO_BODY = new Uint8Array(0);

/** `settings` are present in a tenant's first push to a worker, and after they changed. */
interface ValidateCall {
  tenant: string;
  push: SentPush;
  /** offset and length of the body in the shared memory; then `push.body` is empty */
  at?: number;
  length?: number;
  nowMs: number;
  settings?: { limits: IngestLimits; gate: SharedArrayBuffer };
}
/** The answer to a push, and the number of accepted profiles. */
export interface Validation {
  answer: PushAnswer;
  accepted: number;
  /** hashes of the label sets, and the number of sample types of each */
  series: BigUint64Array;
  types: Uint8Array;
}

/** Methods of a validation worker. */
export interface ValidateWorkerMethods {
  /** answers when the worker's code is loaded */
  ready(): void;
  check(call: ValidateCall): Validation;
}

/** Maximum wait for pushes in flight at the stop. */
const DRAIN_MS = 1000;

/**
 * Threads that check pushes before they are written to the log: an acknowledged push is never refused later.
 */
export class Validator implements Service {
  readonly name = "validators";
  private readonly pool: WorkerPool<ValidateWorkerMethods>;
  private readonly sent = new Map<WorkerClient<ValidateWorkerMethods>, Map<string, IngestLimits>>();
  private readonly gates = new Map<string, SharedArrayBuffer>();
  private readonly bodies = new SharedPages(BODIES_BYTES);

  constructor(script: URL, count: number, base: Base) {
    const data = (): ValidateWorkerData => ({ bodies: this.bodies.buffer });
    this.pool = new WorkerPool<ValidateWorkerMethods>({ name: "validate", script, count, data }, base);
  }

  async start(): Promise<void> {
    this.pool.start();
    // Load the code now, so that the first pushes do not wait.
    await this.pool.each((call) => call.ready());
  }

  /** Checks a push; its body stays with the caller. */
  async check(tenant: string, push: SentPush, limits: IngestLimits, nowMs: number): Promise<Validation> {
    const worker = this.pool.idlest();
    let gate = this.gates.get(tenant);
    if (!gate) this.gates.set(tenant, (gate = new SharedArrayBuffer(8)));
    let known = this.sent.get(worker);
    if (!known) this.sent.set(worker, (known = new Map()));
    const fresh = known.get(tenant) !== limits;
    if (fresh) known.set(tenant, limits);
    const settings = fresh ? { settings: { limits, gate } } : {},
      at = this.bodies.put(push.body);
    if (at !== undefined) {
      try {
        return await worker.call.check({
          tenant,
          push: { ...push, body: NO_BODY },
          at,
          length: push.body.length,
          nowMs,
          ...settings,
        });
      } finally {
        this.bodies.release(at);
      }
    }
    // Transfer a copy: structured clone would copy the whole buffer behind a view.
    const body = new Uint8Array(push.body);
    return worker.call.check(
      new Transfer({ tenant, push: { ...push, body }, nowMs, ...settings }, [body.buffer]),
    );
  }

  stop(): Promise<void> {
    return this.pool.stop(DRAIN_MS);
  }
}
