import { Semaphore } from "@cinderblock/async";
import {
  type BlockMeta,
  type BucketIndex,
  decodeBucketIndex,
  decodeDeletionMark,
  decodeMeta,
  isUlid,
  ulidOfDeletionMark,
} from "@cinderblock/block-meta";
import { blocksPrefix, tenantsIn } from "@cinderblock/compact";
import { CinderblockError, kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";

export interface KnownBlocksConfig {
  metaConcurrency: number;
  ignoreDeletionMarksDelayMs: number;
  /** bucket index age from which it is reported as stale, in ms */
  maxStaleMs: number;
}

/** Maximum concurrent lists of tenants' blocks. */
const TENANTS_AT_ONCE = 8;
/** Pause after a failed list of a tenant's blocks; queries fail at once during the pause. */
const RETRY_MS = 2000;

/** Blocks of one tenant. */
interface TenantBlocks {
  metas: Map<string, BlockMeta>;
  /** ULID of a block -> its number in the order in which this process learned of blocks */
  learnt: Map<string, number>;
}

/**
 * Metas of the blocks in the bucket. Each sync lists the folders of a tenant's blocks, because the bucket
 * index may be one cleanup interval old: meanwhile an ingester may have uploaded blocks, left and been
 * forgotten. The index provides the deletion marks (docs/correctness.md, "Plans start from what must exist").
 */
export class KnownBlocks {
  private readonly byTenant = new Map<string, TenantBlocks>();
  /** number of blocks that this process has learned of */
  private registered = 0;
  /** tenants whose blocks were listed at least once */
  private readonly listed = new Set<string>();
  /** tenants that the last sync found in the bucket; undefined before the first sync */
  private tenantList: ReadonlySet<string> | undefined;
  private readonly failed = new Map<string, { atMs: number; err: unknown }>();
  private readonly running = new Map<string, Promise<void>>();
  /** tenants whose index was stale at the last read */
  private readonly stale = new Set<string>();
  /** damaged blocks already reported */
  private readonly reported = new Set<string>();
  /** called with blocks that are gone */
  onGone: (tenant: string, ulids: readonly string[]) => void = () => undefined;
  private readonly bucket: Bucket;
  private readonly config: KnownBlocksConfig;
  private readonly base: Base;
  private readonly fetches: Semaphore;
  private readonly damaged: { inc(n?: number): void };
  private readonly unindexed: { inc(n?: number): void };

  constructor(bucket: Bucket, config: KnownBlocksConfig, base: Base) {
    this.bucket = bucket;
    this.config = config;
    this.base = base;
    this.fetches = new Semaphore(config.metaConcurrency);
    this.damaged = base.metrics.counter(
      "cinderblock_store_gateway_damaged_blocks_total",
      "Damaged blocks excluded from queries.",
    );
    this.unindexed = base.metrics.counter(
      "cinderblock_store_gateway_unindexed_blocks_total",
      "Blocks found by listing the bucket before the bucket index contained them.",
    );
    this.unindexed.inc(0);
  }

  tenants(): string[] {
    return [...this.byTenant].filter(([, t]) => t.metas.size > 0).map(([tenant]) => tenant);
  }
  metasOf(tenant: string): BlockMeta[] {
    return [...(this.byTenant.get(tenant)?.metas.values() ?? [])];
  }
  get size(): number {
    let n = 0;
    for (const t of this.byTenant.values()) n += t.metas.size;
    return n;
  }
  private of(tenant: string): TenantBlocks {
    let t = this.byTenant.get(tenant);
    if (!t) this.byTenant.set(tenant, (t = { metas: new Map(), learnt: new Map() }));
    return t;
  }

  /**
   * Lists all tenants and the blocks of each. A failed tenant does not stop the others.
   * @throws if the tenants cannot be listed
   */
  async sync(): Promise<number> {
    const before = this.registered;
    const tenants = await tenantsIn(this.bucket);
    const slots = new Semaphore(TENANTS_AT_ONCE);
    await Promise.all(
      tenants.map((tenant) =>
        slots.run(async () => {
          try {
            await this.syncTenant(tenant);
          } catch (err) {
            this.base.log.warn(
              { tenant, err },
              "listing a tenant's blocks failed, keeping the last known blocks",
            );
          }
        }),
      ),
    );
    const there = (this.tenantList = new Set(tenants));
    for (const [tenant, t] of this.byTenant)
      if (!there.has(tenant) && ![...t.learnt.values()].some((n) => n > before)) {
        this.forget(tenant, [...t.metas.keys()]);
        this.byTenant.delete(tenant);
      }
    return tenants.length;
  }

  /**
   * Resolves once the blocks of a tenant are known; lists a tenant without a successful list so far.
   * @throws `unavailable` until then: an empty list would pass for an empty tenant
   */
  async blocksOf(tenant: string): Promise<void> {
    if (this.listed.has(tenant) || this.tenantList?.has(tenant) === false) return;
    const failed = this.failed.get(tenant);
    try {
      if (failed && this.base.now() - failed.atMs < RETRY_MS) throw failed.err;
      await this.syncTenant(tenant);
    } catch (err) {
      throw new CinderblockError("unavailable", `the blocks of tenant ${tenant} have not been listed yet`, {
        cause: err,
      });
    }
  }

  /** Lists the blocks of a tenant; a call during a list waits for the next one. */
  async syncTenant(tenant: string): Promise<void> {
    // the caller of the running list handles its failure
    await this.running.get(tenant)?.catch(() => undefined);
    const next = this.running.get(tenant) ?? this.list(tenant).finally(() => this.running.delete(tenant));
    this.running.set(tenant, next);
    try {
      await next;
      this.failed.delete(tenant);
    } catch (err) {
      this.failed.set(tenant, { atMs: this.base.now(), err });
      throw err;
    }
  }

  private async list(tenant: string): Promise<void> {
    const before = this.registered,
      prefix = blocksPrefix(tenant);
    const index = await this.readIndex(tenant);
    const ulids = (await this.bucket.list(prefix))
      .map((n) => n.slice(prefix.length).replace(/\/$/, ""))
      .filter(isUlid);
    const hidden = await this.hiddenOf(tenant, ulids, index);
    const t = this.of(tenant),
      next = new Map<string, BlockMeta>();
    await Promise.all(
      ulids
        .filter((u) => !hidden.has(u))
        .map((u) =>
          this.fetches.run(async () => {
            const meta = t.metas.get(u) ?? (await this.fetchMeta(tenant, u));
            if (meta) next.set(u, meta);
          }),
        ),
    );
    if (index) {
      const named = new Set(index.blocks.map((b) => b.ulid));
      this.unindexed.inc([...next.keys()].filter((u) => !named.has(u) && !t.metas.has(u)).length);
    }
    // Blocks that this process learned of during the list may be missing in it.
    for (const [ulid, n] of t.learnt) {
      const meta = t.metas.get(ulid);
      if (n <= before) t.learnt.delete(ulid);
      else if (meta) next.set(ulid, meta);
    }
    const gone = [...t.metas.keys()].filter((u) => !next.has(u));
    t.metas = next;
    this.listed.add(tenant);
    this.forget(tenant, gone);
  }

  private forget(tenant: string, ulids: readonly string[]): void {
    if (ulids.length > 0) this.onGone(tenant, ulids);
  }

  /** The bucket index; undefined if missing or damaged. */
  private async readIndex(tenant: string): Promise<BucketIndex | undefined> {
    try {
      const index = decodeBucketIndex(await this.bucket.get(`${blocksPrefix(tenant)}bucket-index.json.gz`));
      const ageMs = this.base.now() - index.updatedAtS * 1000,
        stale = ageMs >= this.config.maxStaleMs;
      this.base.metrics
        .gauge(
          "cinderblock_store_gateway_bucket_index_age_seconds",
          "Age of a tenant's bucket index at its last read.",
          ["user"],
        )
        .set({ user: tenant }, ageMs / 1000);
      if (stale && !this.stale.has(tenant))
        this.base.log.warn(
          { tenant, ageSeconds: Math.round(ageMs / 1000) },
          "bucket index is stale; check that a compactor runs",
        );
      if (stale) this.stale.add(tenant);
      else this.stale.delete(tenant);
      return index;
    } catch (err) {
      if (!(err instanceof CinderblockError) || err.kind === "unavailable") throw err;
      if (err.kind === "corrupt") this.base.log.warn({ tenant, err }, "bucket index is damaged");
      return undefined;
    }
  }

  /** Blocks with an old enough deletion mark. Reads marks of blocks outside the index from the bucket. */
  private async hiddenOf(
    tenant: string,
    ulids: readonly string[],
    index: BucketIndex | undefined,
  ): Promise<Set<string>> {
    const prefix = blocksPrefix(tenant),
      now = this.base.now();
    const hidden = new Set<string>(),
      hide = (ulid: string, markedS: number): void => {
        if (now - markedS * 1000 > this.config.ignoreDeletionMarksDelayMs) hidden.add(ulid);
      };
    const known = new Set(index?.blocks.map((b) => b.ulid));
    for (const m of index?.marks ?? []) {
      hide(m.ulid, m.deletionTimeS);
      known.add(m.ulid);
    }
    const others = new Set(ulids.filter((u) => !known.has(u)));
    if (others.size === 0) return hidden;
    for (const name of await this.bucket.list(`${prefix}markers/`)) {
      const ulid = ulidOfDeletionMark(name.slice(`${prefix}markers/`.length));
      if (ulid === undefined || !others.has(ulid)) continue;
      try {
        hide(
          ulid,
          decodeDeletionMark(await this.bucket.get(`${prefix}${ulid}/deletion-mark.json`)).deletionTimeS,
        );
      } catch (err) {
        if (kindOf(err) === "unavailable") throw err;
        // A mark counts only when both of its copies exist.
      }
    }
    return hidden;
  }

  private async fetchMeta(tenant: string, ulid: string): Promise<BlockMeta | undefined> {
    try {
      return decodeMeta(
        await this.bucket.get(`${blocksPrefix(tenant)}${ulid}/meta.json`),
        `${ulid}/meta.json`,
      );
    } catch (err) {
      if (kindOf(err) === "not-found") return undefined; // a partial block: its meta comes last
      if (kindOf(err) === "corrupt") {
        this.reportDamaged(tenant, ulid, err);
        return undefined;
      }
      throw err;
    }
  }

  /** Reports a damaged block once. */
  reportDamaged(tenant: string, key: string, err: unknown): void {
    if (this.reported.has(`${tenant}/${key}`)) return;
    this.reported.add(`${tenant}/${key}`);
    this.base.log.error({ tenant, blockId: key, err }, "block is damaged, excluding it from queries");
    this.damaged.inc();
  }

  /**
   * Adds one block at once: an ingester shipped it, or a plan names it.
   * @returns whether the bucket has it
   */
  async registerBlock(tenant: string, ulid: string): Promise<boolean> {
    if (this.byTenant.get(tenant)?.metas.has(ulid)) return true;
    const meta = await this.fetchMeta(tenant, ulid);
    if (!meta) return false;
    const t = this.of(tenant);
    t.metas.set(ulid, meta);
    t.learnt.set(ulid, ++this.registered);
    return true;
  }

  /** Drops blocks that are gone, and lists the tenant again, which finds the blocks that replaced them. */
  async dropVanished(tenant: string, gone: readonly string[]): Promise<void> {
    const t = this.byTenant.get(tenant);
    for (const u of gone) {
      t?.metas.delete(u);
      t?.learnt.delete(u);
    }
    await this.syncTenant(tenant);
  }
}
