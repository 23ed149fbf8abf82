import type { Server } from "../server.ts";
import { settle } from "../wait.ts";
import { ACKNOWLEDGED, checkAnswer, type MustHave, type Violation } from "./checker.ts";
import { TYPES } from "./clients.ts";
import type { Answer, History, Kind } from "./history.ts";

/** The range of a history's profiles. */
export interface Range {
  readonly startMs: number;
  readonly endMs: number;
}

const STRONG = { "x-read-consistency": "strong" };

/** Queries a frontend for the stacks of all profiles. Rejects if there is no answer. */
export async function ask(
  frontend: Server,
  kind: Kind,
  strong: boolean,
  range: Range,
  ms = 10_000,
): Promise<Answer & { text: string }> {
  const askedMs = Date.now();
  const r = await fetch(`${frontend.url}/querier.v1.QuerierService/SelectMergeStacktraces`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(strong ? STRONG : {}) },
    body: JSON.stringify({
      profileTypeID: TYPES[kind],
      labelSelector: "{}",
      start: String(range.startMs),
      end: String(range.endMs),
      maxNodes: 1_000_000,
    }),
    signal: AbortSignal.timeout(ms),
  });
  const text = await r.text();
  return {
    kind,
    strong,
    askedMs,
    answeredMs: Date.now(),
    status: r.status,
    partial: r.headers.get("x-cinderblock-partial") ?? "",
    values: r.status === 200 ? innermost(JSON.parse(text) as Graph) : new Map(),
    by: `port ${frontend.port}`,
    text,
  };
}

interface Graph {
  flamegraph?: { names: string[]; levels: { values: string[] }[] };
}
/** Innermost frame -> self value. */
function innermost({ flamegraph }: Graph): Map<string, number> {
  const own = new Map<string, number>();
  for (const { values } of flamegraph?.levels ?? [])
    for (let i = 0; i < values.length; i += 4) {
      const self = Number(values[i + 2]);
      if (self === 0) continue;
      const name = flamegraph!.names[Number(values[i + 3])]!;
      own.set(name, (own.get(name) ?? 0) + self);
    }
  return own;
}

/** Total by the other read path: from profile totals, without stacks. */
export async function totalOf(frontend: Server, kind: Kind, range: Range): Promise<number> {
  const sums = await frontend.sums([], TYPES[kind], range.startMs, range.endMs);
  return [...sums.values()].reduce((n, v) => n + v, 0);
}

export interface AskerOptions {
  readonly range: Range;
  readonly pauseMs: number;
  /** rule for the pushes that a default read must include */
  readonly defaults: MustHave;
}

/**
 * Age of records that a default read with Kafka must have, unless the answer is partial. An ingester looks at the
 * end of a partition at least every 15 s and is late 15 s after an end that it has not reached; the rest is for
 * the answer itself (`apps/ingester/src/owned-partition.ts`).
 */
const LATE_MS = 35_000;

/** Rule for default reads: with Kafka they may lag, up to the bound that makes them partial. */
export function defaultReads(kafka: boolean): MustHave {
  return kafka ? (acknowledgedMs, a) => acknowledgedMs < a.askedMs - LATE_MS : ACKNOWLEDGED;
}

/** Sends strong and default queries of both kinds throughout, and checks each answer against the history. */
export class Asker {
  readonly violations: Violation[] = [];
  asked = 0;
  whole = 0;
  partial = 0;
  failed = 0;
  slowestMs = 0;
  /** reason -> number of answers that failed or were partial for it */
  readonly reasons = new Map<string, number>();
  private asking = true;
  private readonly loops: Promise<void>[];
  private readonly frontends: () => readonly Server[];
  private readonly history: History;
  private readonly options: AskerOptions;

  constructor(frontends: () => readonly Server[], history: History, options: AskerOptions) {
    this.frontends = frontends;
    this.history = history;
    this.options = options;
    this.loops = [this.loop(true), this.loop(false)];
  }

  async stop(): Promise<void> {
    this.asking = false;
    await Promise.all(this.loops);
  }

  private async loop(strong: boolean): Promise<void> {
    for (let n = 0; this.asking; n++) {
      await this.one(n, strong);
      await settle(this.options.pauseMs);
    }
  }

  private async one(n: number, strong: boolean): Promise<void> {
    const all = this.frontends(),
      kind = n % 3 === 2 ? "heap" : "cpu",
      from = Date.now();
    // Like a load balancer: skip a frontend that accepts no connection.
    let a: Awaited<ReturnType<typeof ask>> | undefined;
    for (let i = 0; i < all.length && !a; i++)
      a = await ask(all[(n + i) % all.length]!, kind, strong, this.options.range).catch(() => undefined);
    this.asked++;
    this.slowestMs = Math.max(this.slowestMs, Date.now() - from);
    if (!a || a.status !== 200) {
      this.failed++;
      this.count(a ? `${a.status} ${a.text.slice(0, 160)}` : "no answer");
      return;
    }
    if (a.partial === "") this.whole++;
    else {
      this.partial++;
      this.count(`partial: ${a.partial}`);
    }
    const found = checkAnswer(this.history, a, strong ? ACKNOWLEDGED : this.options.defaults);
    this.violations.push(...found);
    if (found.length > 0)
      this.history.note(
        `${found.length} profiles are ${found[0]!.what} in an answer, the first is ${found[0]!.id}`,
      );
  }

  private count(reason: string): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }
}
