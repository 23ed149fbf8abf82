import { fnv1a } from "@cinderblock/bytes";
import { type Component, COMPACTORS, STORES } from "@cinderblock/runtime";
import { createCompaction } from "./compaction.ts";
import { blockRangesOf, compactorSchema } from "./config.ts";

/** Compacts the blocks of its tenants, applies retention, keeps the bucket index. */
export const compactor: Component<typeof compactorSchema> = {
  name: "compactor",
  schema: compactorSchema,
  check: (config) => {
    blockRangesOf(config);
  },
  async wire(config, host) {
    const ring = host.ringView(COMPACTORS);
    host.ringView(STORES);
    const me = host.ringMember(COMPACTORS, 512);
    // Compactors of a tenant's shuffle shard: one of them owns the tenant, and one owns each job.
    const owns = (tenant: string, what: string): boolean => {
      const part = ring.snapshot.shuffleShard(
        tenant,
        host.resources.limits.forTenant(tenant).compactorShardSize,
      );
      return (
        part.active.length > 0 && part.writeReplicas(fnv1a(Buffer.from(what)), 1).members[0]?.id === host.id
      );
    };
    const ownership = {
      tenant: (tenant: string) => owns(tenant, tenant),
      job: (tenant: string, key: string) => owns(tenant, `${tenant}-${key}`),
    };
    const { cleaner, compactor } = createCompaction(
      config,
      host.resources,
      await host.resources.bucket(),
      ownership,
    );
    compactor.onCompacted = async (tenant, outputs) => {
      for (const o of outputs) await host.announceBlock(tenant, o.ulid);
    };
    host.addServices(
      me,
      { name: `${me.name}: ACTIVE`, start: () => me.setState("ACTIVE"), stop: () => Promise.resolve() },
      cleaner,
      ...(config.compactorEnabled ? [compactor] : []),
    );
  },
};
