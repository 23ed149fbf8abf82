import { fnv1a } from "@cinderblock/bytes";
import type { Member } from "./member.ts";
import type { ReplicationSet, RingSnapshot } from "./snapshot.ts";

export interface PlacementConfig {
  replicationFactor: number;
  zoneAware: boolean;
  /** ingesters that a tenant's writes stay in; 0: all. Reads ask everyone (docs/correctness.md, "Reads ask every holder") */
  shardSize: (tenant: string) => number;
}

/** Where a service of a tenant is written: its series together, so that their symbols are. */
export function placementToken(tenant: string, service: string): number {
  return fnv1a(Buffer.from(`${tenant}/${service}`));
}

/** The ingesters that a write goes to. Throws `unavailable` below a quorum. */
export function replicasOf(
  ring: RingSnapshot,
  tenant: string,
  token: number,
  config: PlacementConfig,
): ReplicationSet {
  const { replicationFactor, zoneAware } = config,
    size = config.shardSize(tenant);
  return (size > 0 ? ring.shard(tenant, Math.max(size, replicationFactor)) : ring).write(
    token,
    replicationFactor,
    zoneAware,
  );
}

/** Whether a member takes a service's writes. Undefined while too few members live to say. */
export function isReplica(
  ring: RingSnapshot,
  id: Member["id"],
  tenant: string,
  service: string,
  config: PlacementConfig,
): boolean | undefined {
  try {
    return replicasOf(ring, tenant, placementToken(tenant, service), config).members.some((m) => m.id === id);
  } catch {
    return undefined;
  } // nobody takes writes now
}
