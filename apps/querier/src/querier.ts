import { CinderblockError } from "@cinderblock/errors";
import { type BlockInfo, type Exclusions, findDuplicates, type JobResult, type LabelAnswer, type PartialResult, type QueryJob, selectorOf, type SelectRequest, type SeriesRanges, type SourceClient, type SourceQuery } from "@cinderblock/query";
import type { Base } from "@cinderblock/telemetry";
import { planBlocks } from "./plan.ts";

/** Chosen blocks by the client that answers for them. */
type Plan = Map<SourceClient, BlockInfo[]>;

/** Plans which head or block answers for what, asks each once, and hands back what is to be merged. */
export class Querier {
  private readonly ingesters: readonly SourceClient[];
  private readonly stores: readonly SourceClient[];
  private readonly base: Base;
  constructor(ingesters: readonly SourceClient[], stores: readonly SourceClient[], base: Base) {
    this.ingesters = ingesters;
    this.stores = stores;
    this.base = base;
  }

  async run(tenant: string, job: QueryJob): Promise<JobResult> {
    switch (job.kind) {
      case "select": return this.select(tenant, job.query);
      case "labels": return this.labels(tenant, job.ask);
      case "blocks": {
        const all = async (clients: readonly SourceClient[]): Promise<BlockInfo[]> => (await Promise.all(clients.map((c) => c.blocks(tenant, job.startMs, job.endMs)))).flat();
        const [recent, stored] = await Promise.all([all(this.ingesters), all(this.stores)]);
        return { kind: "blocks", recent, stored, warnings: [] };
      }
    }
  }

  /** Everyone who may hold data is asked over the full range; a block that several have is read from the bucket. */
  private async plan(tenant: string, startMs: number, endMs: number): Promise<{ plan: Plan; warnings: string[] }> {
    const clients = [...this.stores, ...this.ingesters];
    const lists = await Promise.all(clients.map((c) => c.blocks(tenant, 0, Number.MAX_SAFE_INTEGER)));
    const owner = new Map<string, SourceClient>();
    const candidates: BlockInfo[] = [];
    clients.forEach((c, i) => { for (const b of lists[i]!) if (!owner.has(b.ulid)) { owner.set(b.ulid, c); candidates.push(b); } });
    const { chosen, warnings } = planBlocks(candidates, startMs, endMs);
    const plan: Plan = new Map();
    for (const b of chosen) {
      const c = owner.get(b.ulid)!;
      const list = plan.get(c);
      if (list) list.push(b); else plan.set(c, [b]);
    }
    return { plan, warnings };
  }

  private async select(tenant: string, query: SourceQuery): Promise<JobResult> {
    const { select } = query;
    selectorOf(select); // a selector that cannot be parsed is told even where there is nothing to ask
    const { plan, warnings } = await this.plan(tenant, select.startMs, select.endMs);
    const exclude = await this.duplicates(tenant, plan, select);
    const parts: PartialResult[] = [];
    const alone = plan.size === 1 && [...plan.values()][0]!.length === 1;
    const asked: SourceQuery = query.kind === "tree" && alone ? { ...query, alone } : query;
    await Promise.all([...plan].map(async ([client, blocks]) => {
      const answer = await client.execute(tenant, blocks.map((b) => b.ulid), asked, exclude);
      if (answer.result) parts.push(answer.result);
      for (const ulid of answer.missing) await this.elsewhere(tenant, client, ulid, query, exclude, parts, warnings);
    }));
    return { kind: "select", parts, warnings };
  }

  /** A planned block that one client lacks is asked of the others; if none has it, the answer says so. */
  private async elsewhere(tenant: string, not: SourceClient, ulid: string, query: SourceQuery, exclude: Exclusions, parts: PartialResult[], warnings: string[]): Promise<void> {
    for (const c of [...this.stores, ...this.ingesters]) {
      if (c === not) continue;
      const answer = await c.execute(tenant, [ulid], query, exclude);
      if (answer.result) parts.push(answer.result);
      if (answer.missing.length === 0) return;
    }
    this.base.log.warn({ tenant, blockId: ulid }, "a planned block is not there");
    this.base.metrics.counter("cinderblock_querier_missing_blocks_total", "Planned blocks that nobody had.").inc();
    warnings.push(`block ${ulid} is missing`);
  }

  /** Rows that two sources share: only sources below level 2 whose series overlap in time are compared row by row. */
  private async duplicates(tenant: string, plan: Plan, select: SelectRequest): Promise<Exclusions> {
    const all = [...plan].flatMap(([client, blocks]) => blocks.map((b) => ({ client, b })));
    const suspects = all.filter((x) => all.some((y) => y !== x && (x.b.level < 2 || y.b.level < 2) && x.b.minTimeMs <= y.b.maxTimeMs && y.b.minTimeMs <= x.b.maxTimeMs));
    if (suspects.length < 2) return {};
    const byClient = new Map<SourceClient, string[]>();
    for (const { client, b } of suspects) byClient.set(client, [...(byClient.get(client) ?? []), b.ulid]);
    const ranges = (await Promise.all([...byClient].map(([c, ulids]) => c.ranges(tenant, ulids, select)))).flat();
    const overlapping = overlaps(ranges);
    if (overlapping.size === 0) return {};
    const keys = (await Promise.all([...byClient].map(([c, ulids]) => c.keys(tenant, ulids.filter((u) => overlapping.has(u)), select)))).flat();
    return findDuplicates(keys.sort((a, b) => (a.ulid < b.ulid ? -1 : 1)));
  }

  private async labels(tenant: string, ask: Extract<QueryJob, { kind: "labels" }>["ask"]): Promise<JobResult> {
    const { query } = ask;
    const ranged = query.startMs > 0 && query.endMs > 0;
    const { plan, warnings } = await this.plan(tenant, ranged ? query.startMs : 0, ranged ? query.endMs : Number.MAX_SAFE_INTEGER);
    const answers = await Promise.all([...plan].map(([client, blocks]) => client.labels(tenant, blocks.map((b) => b.ulid), ask)));
    const answer: LabelAnswer = { names: answers.flatMap((a) => a.names), sets: answers.flatMap((a) => a.sets) };
    for (const a of answers) for (const u of a.missing) warnings.push(`block ${u} is missing`);
    return { kind: "labels", answer, warnings };
  }
}

/** Sources of which some series overlaps in time with the same series of another source. */
export function overlaps(ranges: readonly SeriesRanges[]): Set<string> {
  const bySeries = new Map<bigint, { ulid: string; min: bigint; max: bigint }[]>();
  for (const r of ranges) {
    for (let i = 0; i < r.fingerprint.length; i++) {
      const entry = { ulid: r.ulid, min: r.min[i]!, max: r.max[i]! };
      const list = bySeries.get(r.fingerprint[i]!);
      if (list) list.push(entry); else bySeries.set(r.fingerprint[i]!, [entry]);
    }
  }
  const out = new Set<string>();
  for (const list of bySeries.values()) {
    for (const a of list) for (const b of list) if (a !== b && a.min <= b.max && b.min <= a.max) { out.add(a.ulid); out.add(b.ulid); }
  }
  return out;
}

/** What a querier worker loop needs from a scheduler. */
export interface JobSource {
  /** the next job, or undefined when the source closed */
  next(querierId: string): Promise<{ tenant: string; job: QueryJob; deadlineMs: number; done: (result: JobResult) => void; fail: (err: unknown) => void } | undefined>;
}

/** Pulls jobs and runs up to `concurrency` of them at once. */
export class QuerierLoop {
  readonly name = "querier";
  private loops: Promise<void>[] = [];
  private readonly querier: Querier;
  private readonly source: JobSource;
  private readonly concurrency: number;
  private readonly id: string;
  constructor(querier: Querier, source: JobSource, concurrency: number, id: string) {
    this.querier = querier;
    this.source = source;
    this.concurrency = concurrency;
    this.id = id;
  }

  start(): Promise<void> {
    for (let i = 0; i < this.concurrency; i++) this.loops.push(this.loop());
    return Promise.resolve();
  }

  private async loop(): Promise<void> {
    for (;;) {
      const next = await this.source.next(this.id);
      if (!next) return;
      try {
        const left = next.deadlineMs - Date.now();
        if (left <= 0) throw new CinderblockError("deadline", "context deadline exceeded");
        next.done(await withDeadline(this.querier.run(next.tenant, next.job), left));
      } catch (err) { next.fail(err); }
    }
  }

  async stop(): Promise<void> { await Promise.all(this.loops); }
}

function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => { timer = setTimeout(() => reject(new CinderblockError("deadline", "context deadline exceeded")), Math.min(ms, 0x7fffffff)); });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
