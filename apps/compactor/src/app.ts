import { fnv1a } from "@cinderblock/bytes";
import { type Component, COMPACTORS, STORES } from "@cinderblock/runtime";
import { compaction } from "./compaction.ts";
import { blockRangesOf, compactorSchema } from "./config.ts";

/** Compacts the blocks of its tenants, applies retention, keeps the bucket index. */
export const compactor: Component<typeof compactorSchema> = {
  name: "compactor",
  schema: compactorSchema,
  check: (config) => { blockRangesOf(config); },
  async wire(config, process) {
    const ring = process.view(COMPACTORS);
    process.view(STORES);
    const me = process.member(COMPACTORS, 512);
    const owns = (tenant: string): boolean => { const { active } = ring.snapshot; return active.length > 0 && ring.snapshot.write(fnv1a(Buffer.from(tenant)), 1).members[0]?.id === process.id; };
    const { cleaner, compactor } = compaction(config, process.resources, await process.resources.bucket(), owns);
    compactor.onCompacted = async (tenant, outputs) => { for (const o of outputs) await process.tellStores(tenant, o.ulid); };
    process.add(me, { name: `${me.name}: ACTIVE`, start: () => me.set("ACTIVE"), stop: () => Promise.resolve() }, cleaner, ...(config.compactorEnabled ? [compactor] : []));
  },
};
