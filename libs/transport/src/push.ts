import { InternalIngesterService } from "@cinderblock/api";
import { CinderblockError } from "@cinderblock/errors";
import type { PushAnswer } from "@cinderblock/ingest";
import { type Client, type InternalClient, type InternalHandlers } from "@cinderblock/rpc";
import { bytesOf, columnOf } from "./wire/columns.ts";
import { fromPushOutcome, toPushOutcome } from "./wire/push-outcome.ts";
import { type PushRecord, PushRecordDecoder } from "./record.ts";

/** Stores pushes whose limits are decided; resolves when they are durable. */
export interface PushTarget {
  /** @param record the encoded push, the same bytes for all replicas */
  store(push: PushRecord, record: Uint8Array, timeoutMs: number): Promise<PushAnswer>;
}

/** A tenant's active series on one ingest thread. */
export interface TenantSeries {
  tenant: string;
  /** fingerprints */
  series: BigUint64Array;
}

/** The service of an ingester for distributors. */
export function ingesterHandlers(
  store: (push: PushRecord) => Promise<PushAnswer>,
  activeSeries: () => Promise<TenantSeries[]>,
): InternalHandlers<typeof InternalIngesterService> {
  const decoder = new PushRecordDecoder();
  return {
    pushRecord: async ({ record }) => ({ outcome: toPushOutcome(await store(decoder.decode(record))) }),
    listActiveSeries: async () => ({
      tenants: (await activeSeries()).map(({ tenant, series }) => ({
        tenant,
        fingerprints: bytesOf(series),
      })),
    }),
  };
}

/** The write methods of an ingester in another process. */
export class RemotePush implements PushTarget {
  private readonly ingester: Client<typeof InternalIngesterService>;
  constructor(client: InternalClient, address: string) {
    this.ingester = client.of(InternalIngesterService, address);
  }
  async store(_push: PushRecord, record: Uint8Array, timeoutMs: number): Promise<PushAnswer> {
    const { outcome } = await this.ingester.pushRecord({ record }, { timeoutMs });
    if (!outcome) throw new CinderblockError("internal", "an ingester answered a push without its outcome");
    return fromPushOutcome(outcome);
  }
}

/** Asks an ingester in another process for the active series of all tenants. */
export async function activeSeriesOf(
  client: InternalClient,
  address: string,
  timeoutMs: number,
): Promise<TenantSeries[]> {
  const { tenants } = await client.of(InternalIngesterService, address).listActiveSeries({}, { timeoutMs });
  return tenants.map((t) => ({ tenant: t.tenant, series: columnOf(BigUint64Array, t.fingerprints) }));
}
