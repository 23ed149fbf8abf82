import type { PushAnswer, SentPush } from "@cinderblock/ingest";
import type { Service } from "@cinderblock/service";
import type { IngestLimits } from "@cinderblock/tenant";
import type { Base } from "@cinderblock/telemetry";
import { SharedPages, WorkerClient } from "@cinderblock/threads";

/** Start data of a worker: the shared memory of the bodies. */
export interface ValidateWorkerData {
  bodies: SharedArrayBuffer;
}
/** Shared memory for bodies in flight; for a large body, or one without room, a copy is transferred. */
const BODIES_BYTES = 8 << 20;
const NO_BODY = new Uint8Array(0);

/** `settings` are present in a tenant's first push to a worker, and after they changed. */
export interface ValidateCall {
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

/**
 * Threads that check pushes before they are written to the log: an acknowledged push is never refused later.
 */
export class Validator implements Service {
  readonly name = "validators";
  private readonly workers: WorkerClient[] = [];
  private readonly sent = new Map<WorkerClient, Map<string, IngestLimits>>();
  private readonly gates = new Map<string, SharedArrayBuffer>();
  private readonly script: URL;
  private readonly count: number;
  private readonly base: Base;
  private stopping = false;
  private readonly bodies = new SharedPages(BODIES_BYTES);

  constructor(script: URL, count: number, base: Base) {
    this.script = script;
    this.count = count;
    this.base = base;
  }

  async start(): Promise<void> {
    for (let i = 0; i < this.count; i++) {
      const begin = (): WorkerClient => {
        const w = new WorkerClient(
          () => undefined,
          (reason) => {
            if (this.stopping) return;
            this.base.log.error({ worker: i, reason }, "validate worker died, restarting it");
            this.workers[i] = begin();
          },
        );
        w.start(
          this.script,
          { bodies: this.bodies.buffer } satisfies ValidateWorkerData,
          `validate-${i}`,
          {},
        );
        return w;
      };
      this.workers.push(begin());
    }
    // Load the code now, so that the first pushes do not wait.
    await Promise.all(this.workers.map((w) => w.call("ready", undefined)));
  }

  /** Checks a push; its body stays with the caller. */
  async check(tenant: string, push: SentPush, limits: IngestLimits, nowMs: number): Promise<Validation> {
    const worker = this.workers.reduce((a, b) => (b.inFlight < a.inFlight ? b : a));
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
        return await worker.call<Validation>("check", {
          tenant,
          push: { ...push, body: NO_BODY },
          at,
          length: push.body.length,
          nowMs,
          ...settings,
        } satisfies ValidateCall);
      } finally {
        this.bodies.release(at);
      }
    }
    // Transfer a copy: structured clone would copy the whole buffer behind a view.
    const body = new Uint8Array(push.body);
    return worker.call<Validation>(
      "check",
      { tenant, push: { ...push, body }, nowMs, ...settings } satisfies ValidateCall,
      [body.buffer],
    );
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.workers.map((w) => w.stop()));
  }
}
