import { createLogger, Metrics, noTracer, startTracing } from "@cinderblock/telemetry";
import type { JobResult, QueryJob } from "@cinderblock/query";
import { startSpanCollector } from "@cinderblock/testkit";
import { QueryScheduler } from "./scheduler.ts";

const base = () => ({
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => Date.now(),
});
const job: QueryJob = { kind: "blocks", startMs: 0, endMs: 1 };
const result: JobResult = { kind: "blocks", recent: [], stored: [], warnings: [] };
const soon = (): number => Date.now() + 60_000;

const scheduler = (maxOutstanding: number, maxQueriers = 0): QueryScheduler =>
  new QueryScheduler({ maxOutstanding, maxQueriers: () => maxQueriers, querierForgetMs: 0 }, base());

describe("query scheduler", () => {
  it("serves tenants round-robin, for any queue lengths", async () => {
    const s = scheduler(100);
    const done = [
      s.enqueue("a", job, soon()),
      s.enqueue("a", job, soon()),
      s.enqueue("a", job, soon()),
      s.enqueue("b", job, soon()),
    ];
    const order: string[] = [];
    for (let i = 0; i < 4; i++) {
      const t = (await s.next("q"))!;
      order.push(t.tenant);
      t.done(result);
    }
    await Promise.all(done);
    expect(order).toEqual(["a", "b", "a", "a"]);
  });
  it("refuses a tenant whose queue is full, and no other tenant", async () => {
    const s = scheduler(1);
    const waiting = s.enqueue("a", job, soon());
    await expect(s.enqueue("a", job, soon())).rejects.toThrow(
      "too many outstanding requests: 1 are waiting; the limit is 1",
    );
    const other = s.enqueue("b", job, soon());
    for (let i = 0; i < 2; i++) (await s.next("q"))!.done(result);
    await Promise.all([waiting, other]);
  });
  it("skips expired and canceled queries without costing the tenant its turn", async () => {
    const s = scheduler(10);
    const abort = new AbortController();
    const late = s.enqueue("a", job, Date.now() - 1),
      gone = s.enqueue("a", job, soon(), abort.signal),
      good = s.enqueue("a", job, soon());
    const failures = Promise.all([
      expect(late).rejects.toThrow("deadline"),
      expect(gone).rejects.toThrow("canceled"),
    ]);
    abort.abort();
    (await s.next("q"))!.done(result);
    await expect(good).resolves.toBe(result);
    await failures;
  });
  it("fails queued queries and releases the queriers when it stops", async () => {
    const s = scheduler(10);
    const next = s.next("q1");
    await s.stop();
    expect(await next).toBeUndefined();
    await expect(s.enqueue("a", job, soon())).rejects.toThrow("shutting down");
  });
  it("gives a waiting tenant every second turn while another floods, for any number of sub-queries", async () => {
    const s = scheduler(100);
    const order: string[] = [];
    const parts = (query: string, n: number): Promise<unknown>[] =>
      Array.from({ length: n }, (_, part) => s.enqueue("flood", { ...job, of: { query, part } }, soon()));
    const all = [...parts("x", 40), ...parts("y", 40)];
    // While the flood is served, the other tenant runs three queries, one after the other.
    let asked = 0,
      waitedLongest = 0,
      waiting = 0;
    const ask = (): Promise<unknown> => {
      asked++;
      return s.enqueue("calm", job, soon());
    };
    let calm = ask();
    for (let i = 0; i < 83; i++) {
      const t = (await s.next("q"))!;
      order.push(t.tenant);
      t.done(result);
      if (t.tenant === "calm") {
        await calm;
        waitedLongest = Math.max(waitedLongest, waiting);
        waiting = 0;
        if (asked < 3) calm = ask();
      } else if (asked <= 3) waiting++;
    }
    await Promise.all(all);
    expect(order.filter((t) => t === "calm")).toHaveLength(3);
    expect(waitedLongest).toBeLessThanOrEqual(1); // at most one query of the flood between two of its own
  });
  it("counts sub-queries of one query once: later ones are never refused, another query is", async () => {
    const s = scheduler(2);
    const of = (query: string, part: number): QueryJob => ({ ...job, of: { query, part } });
    const waiting = [
      s.enqueue("a", of("x", 0), soon()),
      ...Array.from({ length: 20 }, (_, i) => s.enqueue("a", of("x", i + 1), soon())),
      s.enqueue("a", of("y", 0), soon()),
    ];
    await expect(s.enqueue("a", of("z", 0), soon())).rejects.toThrow(
      "too many outstanding requests: 2 are waiting; the limit is 2",
    );
    for (let i = 0; i < 22; i++) (await s.next("q"))!.done(result);
    await Promise.all(waiting);
  });
  it("keeps a tenant's queries on the same few queriers; another querier replaces a lost one", async () => {
    const s = scheduler(100, 2);
    const queriers = ["q0", "q1", "q2", "q3", "q4"],
      took = new Map<string, number>();
    const abort = new AbortController();
    const work = queriers.map(async (q) => {
      for (let t; (t = await s.next(q, abort.signal)); ) {
        took.set(q, (took.get(q) ?? 0) + 1);
        t.done(result);
      }
    });
    for (let i = 0; i < 50; i++) await s.enqueue("a", job, soon());
    const mine = [...took.keys()].sort();
    expect(mine).toHaveLength(2);
    for (let i = 0; i < 20; i++) await s.enqueue("a", job, soon());
    expect([...took.keys()].sort()).toEqual(mine);
    s.dropQuerier(mine[0]!);
    await Promise.all(Array.from({ length: 20 }, () => s.enqueue("a", job, soon())));
    expect([...took.keys()].length).toBeLessThanOrEqual(3);
    abort.abort();
    await Promise.all(work);
    const others = new Set<string>();
    for (const tenant of ["b", "c", "d", "e", "f", "g", "h", "i"])
      for (const q of queriers) {
        s.recordHeartbeat(q);
        if (s.serves(q, tenant)) others.add(q);
      }
    expect(others.size).toBe(5); // tenants are spread
  });
});

describe("a job's trace", () => {
  it("goes to the querier, and covers the wait; other jobs have none, with and without tracing", async () => {
    const collector = await startSpanCollector(),
      tracer = startTracing(collector.endpoint, "0"),
      request = tracer.request("query", {}, {}, true)!;
    const config = { maxOutstanding: 9, maxQueriers: () => 0, querierForgetMs: 0 };
    const [traced, untraced] = [new QueryScheduler(config, { ...base(), tracer }), scheduler(9)];
    const taken = async (s: QueryScheduler, within: boolean) => {
      const queue = (): Promise<JobResult> => s.enqueue("t", job, soon()),
        outcome = within ? request.run(queue) : queue();
      const next = (await s.next("q"))!;
      next.done(result);
      await outcome;
      return next;
    };
    const [first, ...others] = [
      await taken(traced, true),
      await taken(traced, false),
      await taken(untraced, true),
    ];
    expect(others.map((j) => "trace" in j || "left" in j)).toEqual([false, false]);
    // A job that leaves the queue in another way ends its wait as well.
    const stopped = request.run(() => traced.enqueue("t", job, soon()));
    const refused = expect(stopped).rejects.toThrow("shutting down");
    await traced.stop();
    await refused;
    request.end(200);
    await tracer.stop();
    const of = (name: string) => collector.spans.filter((s) => s.name === name),
      [query] = of("query");
    expect(first!.trace).toEqual({ traceparent: `00-${request.traceId}-${query!.spanId}-01` });
    expect(of("scheduler.wait").map((s) => s.parentSpanId)).toEqual([query!.spanId, query!.spanId]);
    await collector.stop();
  });
});
