import { type BlockFiles, blockFilesIn, BlockReader } from "@cinderblock/block";
import { decodeMeta, isUlid } from "@cinderblock/block-meta";
import type { Hasher } from "@cinderblock/bytes";
import { CinderblockError, CorruptError, kindOf, withBlock } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { checkTenantId } from "@cinderblock/tenant";
import type { BlocksCall, BlockLocation } from "./protocol.ts";

/**
 * Files of a block whose meta was read. A missing file is damage as long as the meta exists; a deletion removes
 * the meta first.
 */
export function blockFilesOf(bucket: Bucket, path: string, ulid: string): BlockFiles {
  const files = blockFilesIn(bucket, path);
  const present = async <T>(relPath: string, work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (err) {
      if (kindOf(err) !== "not-found" || !(await bucket.exists(`${path}/meta.json`))) throw err;
      throw new CorruptError(
        `${ulid}/${relPath}`,
        0,
        "expected the file that the block's meta.json lists, found none",
        {
          cause: err,
        },
      );
    }
  };
  return {
    read: (relPath, offset, size) => present(relPath, files.read(relPath, offset, size)),
    size: (relPath) => present(relPath, files.size(relPath)),
  };
}

/** The blocks of a call that exist, and the ULIDs of the others. */
export interface FoundBlocks {
  blocks: BlockReader[];
  missing: string[];
}

/**
 * Open blocks of this worker, least recently used first. Blocks are closed when their memory exceeds the
 * budget.
 */
export class BlockSet {
  private readonly open = new Map<string, Promise<BlockReader>>();
  private readonly held = new Map<string, BlockReader>();
  private readonly usedMs = new Map<string, number>();
  private readonly buckets: Record<BlockLocation, Bucket>;
  private readonly hasher: Hasher;
  private readonly cacheBytes: number;

  constructor(buckets: Record<BlockLocation, Bucket>, hasher: Hasher, cacheBytes: number) {
    this.buckets = buckets;
    this.hasher = hasher;
    this.cacheBytes = cacheBytes;
  }

  /** Opens the blocks that exist; also returns the ULIDs that do not. */
  get(call: BlocksCall): Promise<FoundBlocks> {
    return this.find(call, async (block) => {
      await block.open();
      return block;
    });
  }

  /** Finds the blocks that exist, whose indexes may not be read yet. */
  getClosed(call: BlocksCall): Promise<FoundBlocks> {
    return this.find(call, (block) => block);
  }

  private async find(
    { root, tenant, ulids }: BlocksCall,
    ready: (block: BlockReader) => BlockReader | Promise<BlockReader>,
  ): Promise<FoundBlocks> {
    const missing: string[] = [];
    const found = await Promise.all(
      ulids.map(async (ulid) => {
        try {
          return await ready(await this.one(root, tenant, ulid));
        } catch (err) {
          this.forget({ root, tenant, ulids: [ulid] });
          if (err instanceof CinderblockError && err.kind === "not-found") {
            missing.push(ulid);
            return undefined;
          }
          throw err;
        }
      }),
    );
    return { blocks: found.filter((b) => b !== undefined), missing };
  }

  private async one(root: BlockLocation, tenant: string, ulid: string): Promise<BlockReader> {
    // Tenant and ULID become parts of a path below a folder that all tenants share.
    checkTenantId(tenant);
    if (!isUlid(ulid))
      throw new CinderblockError("invalid", `expected a block's ULID, found ${JSON.stringify(ulid)}`);
    const folder = root === "bucket" ? "phlaredb" : "local";
    const key = `${root}/${tenant}/${folder}/${ulid}`;
    let known = this.open.get(key);
    if (known)
      this.open.delete(key); // most recently used blocks are last
    else {
      known = this.read(root, `${tenant}/${folder}/${ulid}`, ulid).then((b) => {
        this.held.set(key, b);
        return b;
      });
      known.catch(() => this.close(key));
    }
    this.open.set(key, known);
    this.usedMs.set(key, Date.now());
    return known;
  }

  private async read(root: BlockLocation, path: string, ulid: string): Promise<BlockReader> {
    const bucket = this.buckets[root];
    return withBlock(ulid, async () => {
      const meta = decodeMeta(await bucket.get(`${path}/meta.json`), `${ulid}/meta.json`);
      return new BlockReader(meta, blockFilesOf(bucket, path, ulid), this.hasher);
    });
  }

  forget({ root, tenant, ulids }: BlocksCall): void {
    for (const ulid of ulids) {
      const key = `${root}/${tenant}/${root === "bucket" ? "phlaredb" : "local"}/${ulid}`;
      this.close(key);
    }
  }

  private close(key: string): void {
    this.open.delete(key);
    this.held.delete(key);
    this.usedMs.delete(key);
  }

  /** Closes blocks whose last use was before `beforeMs`. */
  closeIdle(beforeMs: number): void {
    for (const [key, at] of this.usedMs) if (at < beforeMs) this.close(key);
  }

  /** Closes the least recently used blocks until the rest fits; called between queries. */
  trim(): void {
    let bytes = 0;
    for (const b of this.held.values()) bytes += b.heldBytes;
    for (const key of this.open.keys()) {
      if (bytes <= this.cacheBytes) return;
      bytes -= this.held.get(key)?.heldBytes ?? 0;
      this.close(key);
    }
  }
}
