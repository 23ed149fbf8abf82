import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadHasher } from "@cinderblock/bytes";
import type { BlockMeta } from "@cinderblock/block-meta";
import { BlockReader, type ProfileSource } from "@cinderblock/block";
import { PushProcessor, RateGate } from "@cinderblock/ingest";
import type { IngestLimits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { executeOn, finalTree, type PartialTree } from "@cinderblock/query";
import { tinyPprof } from "@cinderblock/testkit";
import { HeadShard, OWN_LOG_ONLY, type ReplayPlan, type ShardOptions } from "./index.ts";

/** Time of the first profile in tests, and two durations, in nanoseconds. */
export const T0 = 1_795_409_460_000_000_000n,
  SECOND = 1_000_000_000n,
  HOUR = 3600n * SECOND;

/** A shard of heads over a folder, with helpers that push and query. */
export class Instance {
  blocks: BlockMeta[] = [];
  /** tenant of pushes and queries */
  tenant = "t";
  options: Partial<ShardOptions> = {};
  shard!: HeadShard;
  private processor!: PushProcessor;
  private learner!: PushProcessor;
  readonly dir: string;
  readonly shardNo: number;
  constructor(dir: string, shardNo = 0) {
    this.dir = dir;
    this.shardNo = shardNo;
  }

  async start(plan: Partial<ReplayPlan> = {}) {
    const hasher = await loadHasher();
    this.shard = new HeadShard(hasher, {
      shard: this.shardNo,
      dataPath: this.dir,
      windowNanos: HOUR,
      headBytes: 1 << 30,
      logBytes: 1 << 30,
      segmentBytes: 1 << 20,
      idleMs: 0,
      sync: true,
      onFailure: (err) => {
        throw err;
      },
      onBlock: (_t, m) => this.blocks.push(m),
      now: () => Date.now(),
      ...this.options,
    });
    const report = this.shard.replay({ ...OWN_LOG_ONLY, ...plan });
    this.shard.resume();
    this.processor = new PushProcessor(hasher, this.shard);
    this.learner = new PushProcessor(hasher, {
      cumulativeOnly: () => true,
      append: (tenant, p) => {
        this.shard.updateBaselines(tenant, p);
      },
    });
    return report;
  }

  learn(labels: Record<string, string>, p: Parameters<typeof tinyPprof>[0]): Promise<void> {
    return this.push(labels, p, this.learner);
  }
  async push(
    labels: Record<string, string>,
    p: Parameters<typeof tinyPprof>[0],
    processor = this.processor,
    limits: Partial<IngestLimits> = {},
  ): Promise<void> {
    this.take(labels, p, processor, limits);
    await this.shard.commit();
  }

  /** Appends pushes as one aggregate. */
  async pushTogether(
    windowNanos: bigint,
    pushes: readonly (readonly [
      Record<string, string>,
      Parameters<typeof tinyPprof>[0],
      Partial<IngestLimits>?,
    ])[],
  ): Promise<void> {
    this.shard.aggregate("t", windowNanos, () => {
      for (const [labels, p, limits] of pushes)
        this.take(labels, p, this.processor, { maxSessionsPerSeries: 8, ...limits });
    });
    await this.shard.commit();
  }

  private take(
    labels: Record<string, string>,
    p: Parameters<typeof tinyPprof>[0],
    processor: PushProcessor,
    limits: Partial<IngestLimits>,
  ): void {
    const body = Buffer.from(
      JSON.stringify({
        series: [
          {
            labels: Object.entries({ service_name: "shop", ...labels }).map(([name, value]) => ({
              name,
              value,
            })),
            samples: [{ rawProfile: Buffer.from(tinyPprof(p)).toString("base64") }],
          },
        ],
      }),
    );
    const out = processor.process(
      this.tenant,
      { kind: "push", codec: "json", gzip: false, body, trickle: true },
      { ...TEST_LIMITS, ...limits },
      new RateGate(new SharedArrayBuffer(8)),
      Date.now(),
    );
    if (out.error) throw out.error;
  }

  async sources(): Promise<ProfileSource[]> {
    const hasher = await loadHasher();
    const blocks = await Promise.all(
      this.blocks.map(async (m) => {
        const dir = join(this.dir, this.tenant, "local", m.ulid);
        const b = new BlockReader(
          m,
          {
            read: (f, o, n) =>
              Promise.resolve(
                new Uint8Array(readFileSync(join(dir, f)).subarray(o, n === undefined ? undefined : o + n)),
              ),
            size: (f) => Promise.resolve(readFileSync(join(dir, f)).length),
          },
          hasher,
        );
        await b.open();
        return b;
      }),
    );
    return [...this.shard.sources(this.tenant), ...blocks];
  }

  /** `path total self` of every node, sorted. */
  async tree(type = "process_cpu:cpu:nanoseconds:cpu:nanoseconds", selector = "{}"): Promise<string[]> {
    const result = await executeOn(
      await this.sources(),
      {
        kind: "tree",
        select: { profileTypeId: type, labelSelector: selector, startMs: 1, endMs: 2e12 },
        spans: [],
        maxNodes: 0,
      },
      {},
    );
    return result.kind === "tree" ? flat(result.tree) : [];
  }
}

/**
 * Nodes of a tree as lines `/path/of/frames total self`, in pre-order; the root as `/` only if it has values.
 */
export function flat(t: PartialTree): string[] {
  const f = finalTree(t, 0);
  const out: string[] = [];
  const walk = (node: number, path: string): void => {
    const name = Buffer.from(
      f.names.bytes.subarray(f.names.offset[f.name[node]!]!, f.names.offset[f.name[node]! + 1]!),
    ).toString();
    const own = node === 0 ? "" : `${path}/${name}`;
    if (node !== 0 || f.self[0]! > 0n) out.push(`${own || "/"} ${f.total[node]} ${f.self[node]}`);
    for (let k = f.childStart[node]!; k < f.childEnd[node]!; k++) walk(f.children[k]!, own);
  };
  walk(0, "");
  return out.sort();
}

/** Labels of a CPU profile. */
export const CPU = { __name__: "process_cpu" };
/** A CPU profile at `at` nanoseconds: `work` in main/work and `extra` in main itself. */
export const cpu = (at: bigint, work: number, extra = 1) => ({
  stacks: [
    { frames: ["main", "work"], values: [work] },
    { frames: ["main"], values: [extra] },
  ],
  timeNanos: at,
});
/** Labels of a memory profile. */
export const MEMORY = { __name__: "memory" };
/** A cumulative memory profile at `at` nanoseconds: bytes allocated in main/a and main/b. */
export const alloc = (at: bigint, a: number, b: number) => ({
  types: [["alloc_space", "bytes"]] as [string, string][],
  period: ["space", "bytes"] as [string, string],
  stacks: [
    { frames: ["main", "a"], values: [a] },
    { frames: ["main", "b"], values: [b] },
  ],
  timeNanos: at,
});
/** Profile type of `alloc`. */
export const ALLOC = "memory:alloc_space:bytes:space:bytes";
