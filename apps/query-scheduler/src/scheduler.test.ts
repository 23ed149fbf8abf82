import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import type { JobResult, QueryJob } from "@cinderblock/query";
import { QueryScheduler } from "./scheduler.ts";

const base = () => ({ log: createLogger({ level: "silent", format: "logfmt" }), metrics: new Metrics(), tracer: noTracer, now: () => Date.now() });
const job: QueryJob = { kind: "blocks", startMs: 0, endMs: 1 };
const result: JobResult = { kind: "blocks", recent: [], stored: [], warnings: [] };
const soon = (): number => Date.now() + 60_000;

describe("query scheduler", () => {
  it("serves tenants in turn, whatever one of them has queued", async () => {
    const s = new QueryScheduler(100, base());
    const done = [s.enqueue("a", job, soon()), s.enqueue("a", job, soon()), s.enqueue("a", job, soon()), s.enqueue("b", job, soon())];
    const order: string[] = [];
    for (let i = 0; i < 4; i++) { const t = (await s.next("q"))!; order.push(t.tenant); t.done(result); }
    await Promise.all(done);
    expect(order).toEqual(["a", "b", "a", "a"]);
  });
  it("refuses a tenant whose queue is full, and nobody else", async () => {
    const s = new QueryScheduler(1, base());
    const waiting = s.enqueue("a", job, soon());
    await expect(s.enqueue("a", job, soon())).rejects.toThrow("too many outstanding requests: 1 are waiting; the limit is 1");
    const other = s.enqueue("b", job, soon());
    for (let i = 0; i < 2; i++) (await s.next("q"))!.done(result);
    await Promise.all([waiting, other]);
  });
  it("skips expired and cancelled queries without costing the tenant its turn", async () => {
    const s = new QueryScheduler(10, base());
    const abort = new AbortController();
    const late = s.enqueue("a", job, Date.now() - 1), gone = s.enqueue("a", job, soon(), abort.signal), good = s.enqueue("a", job, soon());
    const failures = Promise.all([expect(late).rejects.toThrow("deadline"), expect(gone).rejects.toThrow("canceled")]);
    abort.abort();
    (await s.next("q"))!.done(result);
    await expect(good).resolves.toBe(result);
    await failures;
  });
  it("fails what waits and frees the queriers when it stops", async () => {
    const s = new QueryScheduler(10, base());
    const next = s.next("q1");
    await s.stop();
    expect(await next).toBeUndefined();
    await expect(s.enqueue("a", job, soon())).rejects.toThrow("shutting down");
  });
});
