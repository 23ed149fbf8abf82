import { fnv1a } from "@cinderblock/bytes";
import type { Member } from "./member.ts";
import type { ReplicationSet, RingSnapshot } from "./snapshot.ts";

/** Replication and shuffle sharding of writes. */
export interface PlacementConfig {
  replicationFactor: number;
  zoneAware: boolean;
  /**
   * number of ingesters that receive a tenant's writes; 0: all. Reads query all ingesters
   * (docs/correctness.md, "Reads ask every holder")
   */
  shardSize: (tenant: string) => number;
}

/** Token of a tenant's service: its series are written to the same ingesters, so that they share symbols. */
export function placementToken(tenant: string, service: string): number {
  return fnv1a(Buffer.from(`${tenant}/${service}`));
}

/** Ingesters that a write goes to. @throws `unavailable` below a quorum */
export function replicasOf(
  ring: RingSnapshot,
  tenant: string,
  token: number,
  config: PlacementConfig,
): ReplicationSet {
  const { replicationFactor, zoneAware } = config,
    size = config.shardSize(tenant);
  return (size > 0 ? ring.shuffleShard(tenant, Math.max(size, replicationFactor)) : ring).writeReplicas(
    token,
    replicationFactor,
    zoneAware,
  );
}

/** Whether a member receives a service's writes; undefined while too few members are live to decide. */
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
  } // too few members accept writes now
}
