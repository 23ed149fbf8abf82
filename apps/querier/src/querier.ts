import { fnv1a } from "@cinderblock/bytes";
import { blockOf, CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import {
  type BlockInfo,
  type ExecuteAnswer,
  type Exclusions,
  type JobResult,
  joinLabelAnswers,
  type LabelRequest,
  type PartialResult,
  type QueryJob,
  selectorOf,
  type SelectRequest,
  type SourceClient,
  type SourceQuery,
  type Deadline,
  withoutColumns,
} from "@cinderblock/query";
import type { Base } from "@cinderblock/telemetry";
import { computeExclusions, type QueryPlan } from "./comparison.ts";
import { digestOf, planBlocks } from "./plan.ts";

const UNNAMED =
  "debug files of native frames are still being fetched: the response lacks their function names, repeat the query";

/** The tenant of a query, and how long its caller waits. */
interface QueryContext extends Deadline {
  tenant: string;
  /** for a strong read: the end offsets to cover, and partition -> ingesters that have read up to its end */
  strong?: { ends: readonly number[]; topicId: string; reached: readonly (readonly string[])[] };
}

/** The clients that may hold data at this moment. */
export interface SourceClients {
  ingesters: () => readonly SourceClient[];
  stores: () => readonly SourceClient[];
  /** reasons why the lists of clients may be incomplete; "": complete. Absent: always complete */
  unknown?: () => { ingesters: string; stores: string };
  /** whether the answering ingesters hold all data of `silent` others; Infinity: an unknown number */
  coveredBy: (answering: readonly string[], silent: number) => Promise<boolean>;
  /** a sentence on partitions that the answering ingesters have not read; "": none. Absent: no log */
  unread?: (answering: readonly string[]) => Promise<string>;
  /**
   * resolves when the ingesters have read their partitions up to `ends`: partition -> names of those
   * ingesters; rejects with `unavailable` at the deadline
   */
  reach: (ends: readonly number[], deadlineMs: number, topicId: string) => Promise<string[][]>;
  /** refreshes rings and roster */
  refresh: () => Promise<void>;
}

/** A client did not answer; the query is replanned without it. */
class SourceUnavailable extends Error {
  readonly client: SourceClient;
  constructor(client: SourceClient, cause: unknown) {
    super(`${client.name} did not respond`, { cause });
    this.client = client;
  }
}

/** No client has a planned block, which was deleted after the lists. The query is replanned. */
class BlocksGone extends Error {
  constructor(ulids: readonly string[]) {
    super(`blocks vanished: ${ulids.join(", ")}`);
  }
}

/** Exclusions of a plan: clients that stopped responding, and damaged blocks with the reason. */
interface PlanExclusions {
  clients: Set<string>;
  damaged: Map<string, string>;
}

/** Time without an answer after which a client is pinged; timeout of a ping, which a live client meets. */
const PULSE_MS = 700,
  PING_MS = 1000;
/** Ping timeout for a client that was stalled before; it is pinged at once. */
const STALLED_PING_MS = 250;

/** Maximum number of damaged blocks that one query leaves out. */
const MAX_DAMAGED = 16;

/** Maximum number of plans for a query whose blocks vanish; the last answer reports the missing blocks. */
const MAX_PLANS = 3;

/** Plans which head or block answers for which rows, asks each source once, returns partial results. */
export class Querier {
  private readonly sources: SourceClients;
  private readonly base: Base;
  private readonly missing: { inc(): void };
  private readonly damaged: { inc(): void };
  private readonly uncovered: { inc(labels: { reason: string }, n?: number): void };
  /** names of clients that were stalled when they were last asked */
  private readonly stalledClients = new Set<string>();
  constructor(sources: SourceClients, base: Base) {
    this.sources = sources;
    this.base = base;
    this.missing = base.metrics.counter(
      "cinderblock_querier_missing_blocks_total",
      "Planned blocks that no source could serve.",
    );
    this.uncovered = base.metrics.counter(
      "cinderblock_querier_uncovered_plans_total",
      "Query plans with partial results because data may be missing: an ingester did not respond and no other has its data, the roster of ingesters is unknown, no store-gateway is in the ring, or no ingester reads a partition of the log.",
      ["reason"],
    );
    for (const reason of ["ingester", "roster", "store-gateway", "partition"])
      this.uncovered.inc({ reason }, 0);
    this.damaged = base.metrics.counter(
      "cinderblock_querier_damaged_blocks_total",
      "Queries that skipped a damaged block, counted per block.",
    );
  }

  async run(tenant: string, job: QueryJob, deadlineMs: number, signal: AbortSignal): Promise<JobResult> {
    const q: QueryContext = { tenant, deadlineMs, signal };
    if (job.ends) {
      const { ends, topicId = "" } = job;
      q.strong = { ends, topicId, reached: await this.sources.reach(ends, deadlineMs, topicId) };
    }
    switch (job.kind) {
      case "select":
        return this.select(q, job.query);
      case "labels":
        return this.labels(q, job.ask, job.columns === true);
      case "digests": {
        const { candidates, stored, warnings } = await this.candidates(q, {
          clients: new Set(),
          damaged: new Map(),
        });
        return {
          kind: "digests",
          digests: job.ranges.map((r) =>
            warnings.length > 0 ? "" : digestOf(candidates, stored, r.startMs, r.endMs),
          ),
          warnings,
        };
      }
      case "blocks": {
        const { lists, warnings } = await this.lists(q, job.startMs, job.endMs, new Set());
        const of = (clients: readonly SourceClient[]): BlockInfo[] => [
          ...new Map(clients.flatMap((c) => lists.get(c) ?? []).map((x) => [x.ulid, x])).values(),
        ];
        const recent = of(this.sources.ingesters()),
          stored = of(this.sources.stores());
        const { chosen } = planBlocks(
          [...new Map([...recent, ...stored].map((b) => [b.ulid, b])).values()],
          job.startMs,
          job.endMs,
        );
        return { kind: "blocks", recent, stored, chosen: chosen.map((b) => b.ulid), warnings };
      }
    }
  }

  /**
   * Lists the blocks and heads of every client that may hold data. Store-gateways know all blocks of the
   * bucket, so one of them is enough. An ingester that does not answer makes the result partial unless the
   * others hold all of its data.
   */
  private async lists(
    q: QueryContext,
    startMs: number,
    endMs: number,
    without: ReadonlySet<string>,
  ): Promise<{ lists: Map<SourceClient, BlockInfo[]>; warnings: string[] }> {
    const ingesters = this.sources.ingesters(),
      stores = this.sources.stores();
    const lists = new Map<SourceClient, BlockInfo[]>();
    const silent: { client: SourceClient; err: unknown }[] = [];
    await Promise.all(
      [...stores, ...ingesters].map(async (c) => {
        if (without.has(c.name)) {
          silent.push({ client: c, err: new CinderblockError("unavailable", `${c.name} did not respond`) });
          return;
        }
        try {
          lists.set(c, await this.withLivenessProbe(c, c.blocks(q.tenant, startMs, endMs, q)));
        } catch (err) {
          if (!isGone(err)) throw err;
          silent.push({ client: c, err });
        }
      }),
    );
    if (silent.length > 0) {
      // A client without an answer may have left the ring. Its data is then in the bucket: list again.
      await this.sources.refresh();
      const now = new Set([...this.sources.ingesters(), ...this.sources.stores()].map((c) => c.name));
      for (const name of this.stalledClients) if (!now.has(name)) this.stalledClients.delete(name);
      if (silent.some((x) => !now.has(x.client.name))) return this.lists(q, startMs, endMs, without);
    }
    if (stores.length > 0 && !stores.some((c) => lists.has(c)))
      throw silent.find((x) => stores.includes(x.client))!.err;
    const gone = silent.filter((x) => ingesters.includes(x.client));
    if (gone.length > 0 && gone.length === ingesters.length) throw gone[0]!.err;
    // For strong reads, the querier already knows which ingesters have caught up: `strongLists` checks their
    // answers.
    const unknown = this.sources.unknown?.() ?? { ingesters: "", stores: "" };
    const covered =
      (gone.length === 0 && unknown.ingesters === "") ||
      q.strong !== undefined ||
      (await this.sources.coveredBy(
        ingesters.filter((c) => lists.has(c)).map((c) => c.name),
        unknown.ingesters === "" ? gone.length : Infinity,
      ));
    if (!covered && gone.length > 0) this.uncovered.inc({ reason: "ingester" });
    if (!covered && unknown.ingesters !== "") this.uncovered.inc({ reason: "roster" });
    if (unknown.stores !== "") this.uncovered.inc({ reason: "store-gateway" });
    const warnings = [
      ...(unknown.stores === "" ? [] : [unknown.stores]),
      ...(covered || unknown.ingesters === "" ? [] : [unknown.ingesters]),
      ...(covered ? [] : gone.map((x) => `ingester ${x.client.name} did not respond`)),
    ];
    // All ingesters may answer while a partition has no reader. A strong read has checked each partition.
    if (gone.length === 0 && !q.strong && this.sources.unread) {
      const unread = await this.sources.unread(ingesters.map((c) => c.name));
      if (unread !== "") {
        this.uncovered.inc({ reason: "partition" });
        warnings.push(unread);
      }
    }
    for (const x of silent)
      this.base.log.warn({ source: x.client.name, err: x.err }, "source did not respond, skipping it");
    return { lists, warnings };
  }

  /** Lists sources for a strong read; waits for another ingester if a caught-up ingester is gone. */
  private async strongLists(q: QueryContext, without: ReadonlySet<string>): ReturnType<Querier["lists"]> {
    for (;;) {
      const found = await this.lists(q, 0, Number.MAX_SAFE_INTEGER, without),
        { strong } = q;
      const answered = new Set([...found.lists.keys()].map((c) => c.name));
      if (
        !strong ||
        strong.ends.every((end, p) => end === 0 || strong.reached[p]!.some((name) => answered.has(name)))
      )
        return found;
      strong.reached = await this.sources.reach(strong.ends, q.deadlineMs, strong.topicId);
      if (Date.now() > q.deadlineMs) throw new CinderblockError("deadline", "context deadline exceeded");
    }
  }

  /** Lists the blocks of all clients over all time; a block that several have is read from the bucket. */
  private async candidates(
    q: QueryContext,
    without: PlanExclusions,
  ): Promise<{
    candidates: BlockInfo[];
    owner: Map<string, SourceClient>;
    stored: (b: BlockInfo) => boolean;
    warnings: string[];
  }> {
    const { lists, warnings } = await this.strongLists(q, without.clients);
    const stores = this.sources.stores();
    const owner = new Map<string, SourceClient>();
    const candidates: BlockInfo[] = [];
    for (const c of [...stores, ...this.sources.ingesters()]) {
      for (const b of lists.get(c) ?? []) {
        if (without.damaged.has(b.ulid)) continue;
        const known = owner.get(b.ulid);
        if (!known) {
          owner.set(b.ulid, c);
          candidates.push(b);
        } else if (stores.includes(c) && rank(c, b.ulid) > rank(known, b.ulid)) owner.set(b.ulid, c);
      }
    }
    return { candidates, owner, stored: (b) => stores.includes(owner.get(b.ulid)!), warnings };
  }

  private async plan(
    q: QueryContext,
    startMs: number,
    endMs: number,
    without: PlanExclusions,
  ): Promise<{ plan: QueryPlan; warnings: string[]; digest: () => string }> {
    const { candidates, owner, stored, warnings } = await this.candidates(q, without);
    const { chosen, warnings: unplanned } = planBlocks(candidates, startMs, endMs);
    const plan: QueryPlan = new Map();
    for (const b of chosen) {
      const c = owner.get(b.ulid)!;
      const list = plan.get(c);
      if (list) list.push(b);
      else plan.set(c, [b]);
    }
    return {
      plan,
      digest: () => digestOf(candidates, stored, startMs, endMs),
      warnings: [
        ...warnings,
        ...unplanned,
        ...[...without.damaged].map(([ulid, why]) => `damaged block ${ulid} is skipped: ${why}`),
      ],
    };
  }

  /** Asks a planned client. @throws `Silent` without an answer: the next plan excludes the client */
  private async ask<T>(client: SourceClient, question: () => Promise<T>): Promise<T> {
    try {
      return await this.withLivenessProbe(client, question());
    } catch (err) {
      if (isGone(err)) throw new SourceUnavailable(client, err);
      throw err;
    }
  }

  /**
   * Waits for an answer while its client responds to pings: a stalled client would delay the query until its
   * deadline. Detecting a stalled client takes a few seconds the first time, and half a second for each query
   * until it recovers.
   */
  private async withLivenessProbe<T>(client: SourceClient, answer: Promise<T>): Promise<T> {
    if (!client.ping) return answer;
    const { stalledClients } = this,
      { name } = client,
      wasStalled = stalledClients.has(name);
    let timer: NodeJS.Timeout | undefined;
    let missed = 0;
    const dead = new Promise<never>((_, reject) => {
      const onPingFailure = (err: unknown): void => {
        if (timer === undefined || ++missed < 2) return; // the client has answered, or gets a second ping
        stalledClients.add(name);
        reject(new CinderblockError("unavailable", `${name} is stalled: ${messageOf(err)}`));
      };
      const look = (): void => {
        client.ping!(wasStalled ? STALLED_PING_MS : PING_MS)
          .then(() => {
            missed = 0;
            stalledClients.delete(name);
          }, onPingFailure)
          .finally(() => {
            if (timer !== undefined) timer = setTimeout(look, missed > 0 ? 0 : PULSE_MS);
          });
      };
      timer = setTimeout(look, wasStalled ? 0 : PULSE_MS);
    });
    try {
      const given = await Promise.race([answer, dead]);
      stalledClients.delete(name);
      return given;
    } finally {
      clearTimeout(timer);
      timer = undefined;
      answer.catch(() => {
        /* given up, or already thrown */
      });
    }
  }

  /** Plans and runs `work`; replans when a client stops responding, or a block vanishes or is damaged. */
  private async replanOnFailure<T>(
    work: (without: PlanExclusions, lastPlan: boolean) => Promise<T>,
  ): Promise<T> {
    const without: PlanExclusions = { clients: new Set(), damaged: new Map() };
    for (let plans = 1; ; ) {
      try {
        return await work(without, plans >= MAX_PLANS);
      } catch (err) {
        if (err instanceof BlocksGone) {
          plans++;
          this.base.log.info({ reason: err.message }, "replanning query: blocks vanished");
          continue;
        }
        if (kindOf(err) === "corrupt") {
          const ulid = blockOf(err);
          if (ulid === undefined || without.damaged.has(ulid) || without.damaged.size >= MAX_DAMAGED)
            throw err;
          this.base.log.error({ blockId: ulid, err }, "replanning query: block is damaged");
          this.damaged.inc();
          without.damaged.set(ulid, messageOf(err));
          continue;
        }
        if (!(err instanceof SourceUnavailable)) throw err;
        if (without.clients.size >= 3) throw err.cause;
        this.base.log.warn(
          { source: err.client.name, err: err.cause },
          "replanning query: source stopped responding",
        );
        without.clients.add(err.client.name);
      }
    }
  }

  private select(q: QueryContext, query: SourceQuery): Promise<JobResult> {
    selectorOf(query.select); // report an invalid selector even without a source to ask
    return this.replanOnFailure((without, lastPlan) => this.selectOnce(q, query, without, lastPlan));
  }

  private async selectOnce(
    q: QueryContext,
    query: SourceQuery,
    without: PlanExclusions,
    lastPlan: boolean,
  ): Promise<JobResult> {
    const { select } = query;
    const { plan, warnings, digest } = await this.plan(q, select.startMs, select.endMs, without);
    const parts: PartialResult[] = [],
      gone: string[] = [];
    const exclude = await this.exclusions(q, plan, select, gone, lastPlan);
    const alone = plan.size === 1 && [...plan.values()][0]!.length === 1;
    const asked: SourceQuery = query.kind === "tree" && alone ? { ...query, alone } : query;
    await Promise.all(
      [...plan].map(async ([client, blocks]) => {
        const answer = await this.ask(client, () =>
          client.execute(
            q.tenant,
            blocks.map((b) => b.ulid),
            asked,
            exclude,
            q,
          ),
        );
        this.collectResult(q.tenant, answer, parts, warnings);
        for (const ulid of answer.missing)
          if (!(await this.askOtherSources(q, client, ulid, query, exclude, parts, warnings)))
            gone.push(ulid);
      }),
    );
    this.reportMissing(q.tenant, gone, lastPlan, warnings);
    return { kind: "select", parts, warnings, digest: warnings.length > 0 ? "" : digest() };
  }

  private collectResult(
    tenant: string,
    { result, unnamed }: ExecuteAnswer,
    parts: PartialResult[],
    warnings: string[],
  ): void {
    if (result) parts.push(result);
    // An answer with a warning is not cached, so a later query gets the missing function names.
    if (unnamed === undefined || warnings.includes(UNNAMED)) return;
    warnings.push(UNNAMED);
    this.base.log.warn({ tenant, reason: unnamed }, "native frames returned without function names");
  }

  /** Handles blocks that no client has: replans, or adds a warning to the answer of the last plan. */
  private reportMissing(
    tenant: string,
    gone: readonly string[],
    lastPlan: boolean,
    warnings: string[],
  ): void {
    if (gone.length === 0) return;
    if (!lastPlan) throw new BlocksGone(gone);
    for (const ulid of gone) {
      this.base.log.warn({ tenant, blockId: ulid }, "planned block is missing, the result is partial");
      this.missing.inc();
      warnings.push(`block ${ulid} is missing`);
    }
  }

  /** Asks the other clients for a planned block that one client lacks. False: no client has the block. */
  private async askOtherSources(
    q: QueryContext,
    not: SourceClient,
    ulid: string,
    query: SourceQuery,
    exclude: Exclusions,
    parts: PartialResult[],
    warnings: string[],
  ): Promise<boolean> {
    for (const c of [...this.sources.stores(), ...this.sources.ingesters()]) {
      if (c === not) continue;
      const answer = await this.ask(c, () => c.execute(q.tenant, [ulid], query, exclude, q));
      this.collectResult(q.tenant, answer, parts, warnings);
      if (answer.missing.length === 0) return true;
    }
    return false;
  }

  /**
   * Compares the rows of a plan. A source without row keys is not queried: the query is replanned, and the
   * last plan answers without that source, with a warning.
   */
  private exclusions(
    q: QueryContext,
    plan: QueryPlan,
    select: SelectRequest,
    gone: string[],
    lastPlan: boolean,
  ): Promise<Exclusions> {
    return computeExclusions(plan, {
      ...q,
      select,
      ask: (client, question) => this.ask(client, question),
      lost: (ulids) => {
        if (!lastPlan) throw new BlocksGone(ulids);
        gone.push(...ulids);
      },
    });
  }

  private labels(q: QueryContext, question: LabelRequest, columns: boolean): Promise<JobResult> {
    const { query } = question,
      ask: LabelRequest = question.kind === "series" ? { ...question, columns: true } : question;
    const ranged = query.startMs > 0 && query.endMs > 0;
    return this.replanOnFailure(async (without, lastPlan) => {
      const { plan, warnings } = await this.plan(
        q,
        ranged ? query.startMs : 0,
        ranged ? query.endMs : Number.MAX_SAFE_INTEGER,
        without,
      );
      const answers = await Promise.all(
        [...plan].map(([client, blocks]) =>
          this.ask(client, () =>
            client.labels(
              q.tenant,
              blocks.map((b) => b.ulid),
              ask,
              q,
            ),
          ),
        ),
      );
      const joined = joinLabelAnswers(answers);
      this.reportMissing(
        q.tenant,
        answers.flatMap((a) => a.missing),
        lastPlan,
        warnings,
      );
      return { kind: "labels", answer: columns ? joined : withoutColumns(joined), warnings };
    });
  }
}

function isGone(err: unknown): boolean {
  return kindOf(err) === "unavailable";
}

/** Ranks store-gateways for a block: stable, even, and few blocks move when a gateway comes or leaves. */
function rank(client: SourceClient, ulid: string): number {
  return fnv1a(Buffer.from(`${ulid} ${client.name}`));
}
