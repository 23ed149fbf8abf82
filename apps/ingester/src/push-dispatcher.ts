import { CinderblockError } from "@cinderblock/errors";
import type { PushAnswer, PushOrigin, RawPush } from "@cinderblock/ingest";
import { checkTenantId, type IngestLimits } from "@cinderblock/tenant";
import { SharedPages, Transfer, type WorkerClient, type WorkerPool } from "@cinderblock/threads";
import { shardOf } from "./log-shards.ts";
import type { IngestWorkerMethods, IngestWorkerNotices, PushCall } from "./protocol.ts";

/** Shared memory for bodies in flight to workers; a large body, or one without room, is transferred. */
const BODIES_BYTES = 8 << 20;
const NO_BODY = new Uint8Array(0);

/** Parameters of a push beside its body. */
export interface DispatchOptions {
  /** time of the push as its distributor decided; absent: now */
  nowMs?: number;
  /** only update the baselines of cumulative series: other ingesters store the push */
  learn?: true;
  /** Kafka partition of the push */
  origin?: PushOrigin;
}

/**
 * Sends each push to the ingest thread of its service. A thread receives the limits of a tenant with the
 * first push after they changed. A body goes through shared memory, or is transferred when it does not fit.
 */
export class PushDispatcher {
  /** memory of the bodies in flight; every ingest thread maps it */
  readonly bodies = new SharedPages(BODIES_BYTES);
  private readonly shards: WorkerPool<IngestWorkerMethods, IngestWorkerNotices>;
  /** tenant -> counters that all ingest threads share: rate gate and active series */
  private readonly shared = new Map<string, { gate: SharedArrayBuffer; series: SharedArrayBuffer }>();
  /** worker -> tenant -> limits that this worker has received */
  private readonly sent = new Map<
    WorkerClient<IngestWorkerMethods, IngestWorkerNotices>,
    Map<string, IngestLimits>
  >();

  constructor(shards: WorkerPool<IngestWorkerMethods, IngestWorkerNotices>) {
    this.shards = shards;
  }

  /**
   * Resolves when the push is on disk. A body that owns its whole buffer may be transferred.
   * @throws `unavailable` before the ingest threads start: the port listens earlier
   */
  async push(
    tenant: string,
    service: string,
    push: RawPush,
    limits: IngestLimits,
    how: DispatchOptions,
  ): Promise<PushAnswer> {
    let shared = this.shared.get(tenant);
    if (!shared)
      this.shared.set(
        checkTenantId(tenant),
        (shared = { gate: new SharedArrayBuffer(8), series: new SharedArrayBuffer(4) }),
      );
    const { threads } = this.shards;
    if (threads.length === 0) throw new CinderblockError("unavailable", "the ingester is starting");
    const worker = threads[shardOf(service, threads.length)]!;
    let known = this.sent.get(worker);
    if (!known) this.sent.set(worker, (known = new Map()));
    const fresh = known.get(tenant) !== limits;
    if (fresh) known.set(tenant, limits);
    const { body } = push;
    const at = this.bodies.put(body);
    const call: PushCall = {
      tenant,
      route: service,
      push: at === undefined ? push : { ...push, body: NO_BODY },
      at,
      length: body.length,
      ...how,
      ...(fresh ? { settings: { limits, ...shared } } : {}),
    };
    if (at !== undefined) {
      try {
        return await worker.call.push(call);
      } finally {
        this.bodies.release(at);
      }
    }
    // Copy a view, which stays with its owner: structured clone would copy the whole buffer behind it.
    const own =
      body.buffer instanceof ArrayBuffer && body.buffer.byteLength === body.byteLength
        ? (body as Uint8Array<ArrayBuffer>)
        : new Uint8Array(body);
    return worker.call.push(
      new Transfer({ ...call, push: { ...push, body: own } }, own.length > 0 ? [own.buffer] : []),
    );
  }
}
