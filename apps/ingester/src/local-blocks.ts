import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  type BlockMeta,
  decodeMeta,
  decodeShipper,
  encodeMeta,
  encodeShipper,
  isUlid,
} from "@cinderblock/block-meta";
import { isUnwritable, moveDirectorySync, replaceFileSync } from "@cinderblock/files";
import { removeUnfinished } from "@cinderblock/head";
import { kindOf, messageOf } from "@cinderblock/errors";
import type { BlockInfo } from "@cinderblock/query";
import type { Logger } from "@cinderblock/telemetry";
import { checkTenantId, isTenantId, pathBelow, tenantFolder } from "@cinderblock/tenant";

/** The fields of a meta that planning needs. */
export function blockInfo(m: BlockMeta): BlockInfo {
  return {
    ulid: m.ulid,
    minTimeMs: m.minTimeMs,
    maxTimeMs: m.maxTimeMs,
    level: m.compaction.level,
    sources: m.compaction.sources,
    parents: m.compaction.parents.map((p) => p.ulid),
    shardId: m.labels.__compactor_shard_id__ ?? "",
    hints: m.compaction.hints ?? [],
  };
}

/** Describes a damaged block to the planner. The block is planned, and a query of it fails as corrupt. */
export function damagedInfo({ ulid, minTimeMs, maxTimeMs }: DamagedBlock): BlockInfo {
  return { ulid, minTimeMs, maxTimeMs, level: 1, sources: [ulid], parents: [], shardId: "", hints: [] };
}

/** Cause why a folder is not a whole block; undefined for a whole one. */
function missingPart(folder: string): string | undefined {
  try {
    const meta = decodeMeta(readFileSync(join(folder, "meta.json")), `${folder}/meta.json`);
    if (meta.files.length === 0) return "its meta.json names no files";
    for (const f of meta.files) {
      const found = statSync(join(folder, f.relPath), { throwIfNoEntry: false });
      if (found?.size !== f.sizeBytes)
        return `${f.relPath} has ${found?.size ?? "no"} bytes of ${f.sizeBytes}`;
    }
    return undefined;
  } catch (err) {
    if (kindOf(err) !== "corrupt" && (err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
    return messageOf(err);
  }
}

function renamed(meta: BlockMeta, ulid: string): BlockMeta {
  const sources = meta.compaction.sources.map((s) => (s === meta.ulid ? ulid : s));
  return { ...meta, ulid, compaction: { ...meta.compaction, sources } };
}

/** A block that was never shipped and cannot be read; answers that cover its time lack its rows. */
export interface DamagedBlock {
  ulid: string;
  minTimeMs: number;
  maxTimeMs: number;
  reason: string;
}
/** File with the `DamagedBlock` of a quarantined, unshipped block. An operator removes its folder. */
const DAMAGE_NOTE = "unshipped.json";

interface TenantBlocks {
  metas: Map<string, BlockMeta>;
  uploaded: Set<string>;
  /** quarantined blocks that are not in the bucket */
  damaged: Map<string, DamagedBlock>;
}

/** The finished blocks under `<data>/<tenant>/local` and their upload state. Adopts v1's blocks unchanged. */
export class LocalBlocks {
  private readonly byTenant = new Map<string, TenantBlocks>();
  private readonly dataPath: string;
  private readonly log: Logger;
  /** folders in the heads of Pyroscope v1 that were not adopted */
  headsLeft = 0;
  /** called when a file about blocks could not be written because the disk is full */
  onUnwritable: (err: unknown) => void = () => undefined;
  constructor(dataPath: string, log: Logger) {
    this.dataPath = dataPath;
    this.log = log;
  }

  /**
   * Reads the blocks on disk; removes the remains of cuts that a crash interrupted (their log is replayed), and
   * adopts whole blocks in the heads of Pyroscope v1.
   */
  scan(): void {
    this.unshippedSum = undefined;
    this.headsLeft = 0;
    mkdirSync(this.dataPath, { recursive: true });
    for (const e of readdirSync(this.dataPath, { withFileTypes: true })) {
      if (!e.isDirectory() || !isTenantId(e.name)) continue;
      const dir = join(this.dataPath, e.name);
      const unfinished = removeUnfinished(dir);
      if (unfinished.length > 0)
        this.log.info({ tenant: e.name, blocks: unfinished.length }, "unfinished local blocks removed");
      this.adoptHeads(e.name, dir);
      this.scanQuarantine(e.name, join(dir, "quarantine"));
      const local = join(dir, "local");
      if (!existsSync(local)) continue;
      const t = this.of(e.name);
      if (existsSync(join(local, "shipper.json")))
        for (const u of decodeShipper(readFileSync(join(local, "shipper.json")))) t.uploaded.add(u);
      for (const u of readdirSync(local)) {
        if (!isUlid(u)) continue;
        try {
          const meta = decodeMeta(readFileSync(join(local, u, "meta.json")), `${u}/meta.json`);
          t.metas.set(u, meta.ulid === u ? meta : renamed(meta, u));
        } catch (err) {
          // Fail the start on any other error: it does not prove that the block is damaged, and the next
          // start tries again.
          if (kindOf(err) !== "corrupt" && (err as NodeJS.ErrnoException).code !== "ENOENT") throw err;
          this.quarantine(e.name, u, err);
        }
      }
    }
  }

  /**
   * Completes what Pyroscope v1 (or an earlier Cinderblock) did not: it writes a block below `head/` and renames
   * it, so a whole block there may be the only copy of acknowledged profiles. The rename also marks the head of
   * a log as finished, so that its data are not read twice. Other folders stay: v1 has no log, and removing
   * them is an operator's decision.
   */
  private adoptHeads(tenant: string, dir: string): void {
    const heads = join(dir, "head");
    if (!existsSync(heads)) return;
    for (const ulid of readdirSync(heads)) {
      const from = join(heads, ulid),
        missing = isUlid(ulid) ? missingPart(from) : "its name is not a ULID";
      if (missing === undefined && !existsSync(join(dir, "local", ulid))) {
        moveDirectorySync(from, join(dir, "local", ulid));
        this.log.warn({ tenant, blockId: ulid }, "block in the folder of a head adopted");
      } else {
        this.headsLeft++;
        this.log.warn(
          { tenant, path: from, reason: missing ?? "the block is among the local blocks" },
          "folder of a head left in place, remove it when its data are not needed",
        );
      }
    }
  }

  /** Whether any tenant has a folder of local blocks or heads; does not need `scan`. */
  hasFolders(): boolean {
    if (!existsSync(this.dataPath)) return false;
    return readdirSync(this.dataPath, { withFileTypes: true }).some(
      (e) =>
        e.isDirectory() &&
        isTenantId(e.name) &&
        ["local", "head"].some((f) => existsSync(join(this.dataPath, e.name, f))),
    );
  }

  private of(tenant: string): TenantBlocks {
    checkTenantId(tenant);
    let t = this.byTenant.get(tenant);
    if (!t) this.byTenant.set(tenant, (t = { metas: new Map(), uploaded: new Set(), damaged: new Map() }));
    return t;
  }

  private scanQuarantine(tenant: string, folder: string): void {
    if (!existsSync(folder)) return;
    for (const ulid of readdirSync(folder)) {
      const note = join(folder, ulid, DAMAGE_NOTE);
      if (!isUlid(ulid) || !existsSync(note)) continue;
      const block = JSON.parse(readFileSync(note, "utf8")) as DamagedBlock;
      this.of(tenant).damaged.set(ulid, block);
      this.log.error(
        { tenant, blockId: ulid, reason: block.reason },
        "quarantined block was never uploaded, responses over its time range are partial",
      );
    }
  }

  /** Quarantined blocks that were never shipped. */
  damagedBlocks(tenant: string): DamagedBlock[] {
    return [...(this.byTenant.get(tenant)?.damaged.values() ?? [])];
  }
  damagedOf(tenant: string, ulid: string): DamagedBlock | undefined {
    return this.byTenant.get(tenant)?.damaged.get(ulid);
  }
  allDamaged(): DamagedBlock[] {
    return [...this.byTenant.values()].flatMap((t) => [...t.damaged.values()]);
  }

  /**
   * Quarantines a block that cannot be read; the block is never deleted. A block that was never shipped stays
   * listed as damaged across restarts: every answer that covers its time is partial, and no offset is
   * committed past it.
   */
  quarantine(tenant: string, ulid: string, err: unknown): void {
    this.log.error({ tenant, blockId: ulid, err }, "damaged block quarantined");
    const from = this.path(tenant, ulid),
      to = pathBelow(tenantFolder(this.dataPath, tenant), "quarantine", ulid);
    const t = this.of(tenant),
      meta = t.metas.get(ulid);
    if (!t.uploaded.has(ulid) && (meta?.compaction.level ?? 1) <= 1) {
      const block = {
        ulid,
        minTimeMs: meta?.minTimeMs ?? 0,
        maxTimeMs: meta?.maxTimeMs ?? Number.MAX_SAFE_INTEGER,
        reason: messageOf(err),
      };
      t.damaged.set(ulid, block);
      // Without the note, the next start would forget the block: leave the block, to be found damaged again.
      if (this.kept(() => replaceFileSync(join(from, DAMAGE_NOTE), JSON.stringify(block))))
        this.kept(() => moveDirectorySync(from, to));
    } else this.kept(() => moveDirectorySync(from, to));
    t.metas.delete(ulid);
    this.unshippedSum = undefined;
  }

  /** Whether `write` succeeded. Reports a full disk; throws other errors. */
  private kept(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (err) {
      if (!isUnwritable(err)) throw err;
      this.onUnwritable(err);
      return false;
    }
  }

  add(tenant: string, meta: BlockMeta): void {
    this.of(tenant).metas.set(meta.ulid, meta);
    this.unshippedSum = undefined;
  }

  tenants(): string[] {
    return [...this.byTenant.keys()];
  }
  metas(tenant: string): BlockMeta[] {
    return [...(this.byTenant.get(tenant)?.metas.values() ?? [])];
  }
  has(tenant: string, ulid: string): boolean {
    return this.byTenant.get(tenant)?.metas.has(ulid) ?? false;
  }
  isUploaded(tenant: string, ulid: string): boolean {
    return this.byTenant.get(tenant)?.uploaded.has(ulid) ?? false;
  }

  unshippedBlocks(): { tenant: string; meta: BlockMeta }[] {
    const out: { tenant: string; meta: BlockMeta }[] = [];
    for (const [tenant, t] of this.byTenant)
      for (const meta of t.metas.values())
        if (!t.uploaded.has(meta.ulid) && meta.compaction.level <= 1) out.push({ tenant, meta });
    return out;
  }

  /** cached sum, computed on demand: each push reads it, and there may be thousands of blocks */
  private unshippedSum: number | undefined;

  /** Bytes of blocks that are not in the bucket yet. */
  unshippedBytes(): number {
    this.unshippedSum ??= this.unshippedBlocks().reduce(
      (n, { meta }) => n + meta.files.reduce((m, f) => m + f.sizeBytes, 0),
      0,
    );
    return this.unshippedSum;
  }

  shippedBlocks(): { tenant: string; meta: BlockMeta }[] {
    const out: { tenant: string; meta: BlockMeta }[] = [];
    for (const [tenant, t] of this.byTenant)
      for (const meta of t.metas.values()) if (t.uploaded.has(meta.ulid)) out.push({ tenant, meta });
    return out;
  }

  markUploaded(tenant: string, ulid: string): void {
    const t = this.of(tenant);
    t.uploaded.add(ulid);
    this.unshippedSum = undefined;
    // Write the list of uploaded blocks without the IDs of removed ones.
    const dir = pathBelow(tenantFolder(this.dataPath, tenant), "local");
    const text = encodeShipper([...t.uploaded].filter((u) => t.metas.has(u)).sort());
    // Without this file, the next start compares the block with the bucket and skips the upload.
    this.kept(() => replaceFileSync(join(dir, "shipper.json"), text));
  }

  remove(tenant: string, ulid: string): void {
    this.byTenant.get(tenant)?.metas.delete(ulid);
    this.unshippedSum = undefined;
    const folder = this.path(tenant, ulid);
    // The meta first: a reader takes a block with a meta and without another file for damaged.
    rmSync(join(folder, "meta.json"), { force: true });
    rmSync(folder, { recursive: true, force: true });
  }

  /** Deletes a damaged block of a deleted tenant. */
  removeDamaged(tenant: string, ulid: string): void {
    this.byTenant.get(tenant)?.damaged.delete(ulid);
    rmSync(pathBelow(tenantFolder(this.dataPath, tenant), "quarantine", ulid), {
      recursive: true,
      force: true,
    });
  }

  /** Changes the ID of a block, on disk too. @returns the new meta */
  rename(tenant: string, ulid: string, to: string): BlockMeta {
    const t = this.of(tenant),
      meta = renamed(t.metas.get(ulid)!, to);
    // A crash between the two steps leaves the new ID in the meta of the old folder: `scan` uses the folder's
    // name.
    replaceFileSync(join(this.path(tenant, ulid), "meta.json"), encodeMeta(meta));
    moveDirectorySync(this.path(tenant, ulid), this.path(tenant, to));
    t.metas.delete(ulid);
    t.metas.set(to, meta);
    this.unshippedSum = undefined;
    return meta;
  }

  /** The folder of a block. @throws `invalid` for a name that is not a tenant ID or not a file name */
  path(tenant: string, ulid: string): string {
    return pathBelow(tenantFolder(this.dataPath, tenant), "local", ulid);
  }

  oldest(): number {
    let t = Infinity;
    for (const { meta } of this.shippedBlocks()) t = Math.min(t, meta.minTimeMs);
    return t;
  }

  sizeOf(tenant: string, ulid: string): number {
    let n = 0;
    for (const f of readdirSync(this.path(tenant, ulid), { recursive: true, withFileTypes: true }))
      if (f.isFile()) n += statSync(join(f.parentPath, f.name)).size;
    return n;
  }
}
