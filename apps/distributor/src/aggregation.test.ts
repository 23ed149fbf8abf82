import { sleep } from "@cinderblock/async";
import { CinderblockError } from "@cinderblock/errors";
import { encodePush, type PushAnswer, pushesOf, type RawPush, type SentPush } from "@cinderblock/ingest";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import type { Limits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { startSpanCollector } from "@cinderblock/testkit";
import { Aggregation } from "./aggregation.ts";
import type { WritePath } from "./distributor.ts";

const LIMITS = { ...TEST_LIMITS, aggregationWindowMs: 15_000, aggregationPeriodMs: 200 } as Limits;

/** Records pushes; resolves on demand. */
class Path implements WritePath {
  readonly taken: {
    tenant: string;
    service: string;
    push: RawPush;
    answer: () => void;
    fail: (err: Error) => void;
  }[] = [];
  at: (push: RawPush) => boolean = () => true;
  push(tenant: string, service: string, push: RawPush): Promise<PushAnswer> {
    return new Promise((resolve, reject) => {
      const own = (bytes: number): PushAnswer => ({
        profiles: 1,
        compressedBytes: bytes,
        decompressedBytes: 0,
        samples: 0,
        discarded: [],
        error: undefined,
      });
      const answer = (): void => {
        resolve({
          ...own(push.body.length),
          ...(push.kind === "aggregate" ? { parts: pushesOf(push).map((p) => own(p.body.length)) } : {}),
        });
      };
      this.taken.push({ tenant, service, push, answer, fail: reject });
      if (this.at(push)) answer();
    });
  }
  refuse(): void {
    /* accepts every push */
  }
}

const push = (pods: string[], size = 10): SentPush => ({
  kind: "push",
  codec: "proto",
  gzip: false,
  body: encodePush(
    pods.map((pod) => ({
      labels: [
        { name: "service_name", value: "s" },
        { name: "pod", value: pod },
      ],
      profiles: [new Uint8Array(size)],
    })),
  ),
});
const sizes = (path: Path): number[] =>
  path.taken.map((t) => (t.push.kind === "aggregate" ? t.push.parts.length : 1));

function rig(config = { maxBytes: 1 << 20, maxHeldBytes: 10 << 20 }, tracer = startTracing("", "0")) {
  const path = new Path(),
    metrics = new Metrics(),
    aggregation = new Aggregation(path, config, {
      log: createLogger({ level: "fatal", format: "json" }),
      metrics,
      tracer,
      now: () => Date.now(),
    });
  const send = (pods: string[], size?: number, limits = LIMITS, tenant = "t") =>
    aggregation.push(tenant, "s", push(pods, size), limits);
  return { path, metrics, aggregation, send };
}

describe("aggregation", () => {
  it("forwards the first push of a series, and holds later ones of the period until the held write ends", async () => {
    const { path, send, metrics } = rig();
    await send(["a"]);
    expect(sizes(path)).toEqual([1]);
    path.at = () => false;
    let answered = 0;
    const held = [11, 12, 13].map((n) =>
      send(["a"], n).then((a) => {
        answered++;
        return a.compressedBytes;
      }),
    );
    await sleep(50);
    expect(sizes(path)).toEqual([1]);
    expect(await metrics.registry.metrics()).toMatch(
      /pyroscope_distributor_aggregation_active_aggregates 1\n/,
    );
    await sleep(250);
    expect(sizes(path)).toEqual([1, 3]);
    await sleep(50);
    expect(answered).toBe(0); // in flight, not durable yet
    path.taken[1]!.answer();
    // Each sender gets the answer for its own push.
    expect(await Promise.all(held)).toEqual([11, 12, 13].map((n) => push(["a"], n).body.length));
    expect(path.taken[1]).toMatchObject({
      tenant: "t",
      service: "s",
      push: { kind: "aggregate", windowMs: 15_000 },
    });
    expect(await metrics.registry.metrics()).toMatch(
      /pyroscope_distributor_aggregation_aggregated_pushes_total 3\n/,
    );
  });

  it("forwards pushes at the configured pace, of other series, of other tenants, and of tenants without aggregation", async () => {
    const { path, send } = rig();
    for (let i = 0; i < 2; i++) {
      await send(["a"]);
      await sleep(220);
    }
    await Promise.all([send(["b"]), send(["c"]), send(["b"], 10, LIMITS, "u")]);
    for (const off of [{ aggregationPeriodMs: 0 }, { aggregationWindowMs: 0 }])
      for (let i = 0; i < 3; i++) await send(["a"], 10, { ...LIMITS, ...off });
    expect(sizes(path)).toEqual(Array.from({ length: 11 }, () => 1));
  });

  it("forwards a single held push unchanged, and each series of a push separately", async () => {
    const { path, send } = rig();
    await send(["a"]);
    await send(["a"]);
    expect(path.taken.map((t) => t.push.kind)).toEqual(["push", "push"]);
    await send(["a"]);
    const both = send(["a", "b"], 100); // b is new and is written at once; a is held
    await sleep(20);
    expect(path.taken).toHaveLength(4);
    expect((await both).compressedBytes).toBe(push(["a"], 100).body.length + push(["b"], 100).body.length);
    expect(sizes(path)).toEqual([1, 1, 1, 1, 1]);
  });

  it("reports an error to all held pushes, and continues", async () => {
    const { path, send } = rig();
    await send(["a"]);
    path.at = () => false;
    const held = [1, 2].map(() =>
      send(["a"]).then(
        () => "taken",
        (err: unknown) => (err as CinderblockError).kind,
      ),
    );
    await sleep(250);
    path.taken[1]!.fail(new CinderblockError("unavailable", "no ingester"));
    expect(await Promise.all(held)).toEqual(["unavailable", "unavailable"]);
    path.at = () => true;
    expect((await send(["a"])).profiles).toBe(1);
    await expect(
      Promise.all([
        send(["z"]),
        ((path.at = () => false),
        send(["y", "x"]).then(
          () => "taken",
          () => "refused",
        )),
        (async () => {
          await sleep(20);
          for (const t of path.taken.slice(-2)) t.fail(new Error("gone"));
        })(),
      ]),
    ).resolves.toMatchObject([{}, "refused", undefined]);
  });

  it("limits held bytes per series and in total", async () => {
    const { path, send } = rig({ maxBytes: 10_000, maxHeldBytes: 25_000 });
    await send(["a"]);
    const all = [send(["a"], 4000), send(["a"], 4000), send(["a"], 4000)]; // the third exceeds the limit
    await sleep(20);
    expect(sizes(path)).toEqual([1, 2]);
    all.push(send(["a"], 11_000)); // larger than the limit: written alone
    await sleep(20);
    expect(sizes(path)).toEqual([1, 2, 1]);
    await Promise.all(all);
    expect(sizes(path)).toEqual([1, 2, 1, 1]);
    await Promise.all(["b", "c", "d"].map((pod) => send([pod])));
    for (const pod of ["b", "c", "d"]) all.push(send([pod], 9000)); // d makes 27,000 bytes: b is written
    await sleep(20);
    expect(path.taken.slice(7).map((t) => t.push.body.length > 9000)).toEqual([true]);
    await Promise.all(all);
  });

  it("writes the held pushes while draining, and holds none afterwards", async () => {
    const { path, send, aggregation } = rig();
    await send(["a"]);
    const held = [send(["a"]), send(["a"])];
    await aggregation.drain();
    expect(sizes(path)).toEqual([1, 2]);
    await Promise.all(held);
    await send(["a"]);
    expect(sizes(path)).toEqual([1, 2, 1]);
  });

  it("drops series without new pushes", async () => {
    const { send, metrics } = rig();
    for (let i = 0; i < 3000; i++) await send([`p${i}`]);
    await sleep(250);
    expect(await metrics.registry.metrics()).toMatch(/pyroscope_distributor_aggregation_active_series 0\n/);
  });
});

describe("spans of aggregates", () => {
  it("continue the first push's trace, and link to the other pushes", async () => {
    const collector = await startSpanCollector(),
      tracer = startTracing(collector.endpoint, "0"),
      { send, path } = rig(undefined, tracer);
    await send(["a"]);
    const requests = [0, 1, 2].map((i) => tracer.request(`push ${i}`, {}, {}, true)!);
    await Promise.all(requests.map((r) => r.run(() => send(["a"]).finally(() => r.end(200)))));
    expect(sizes(path)).toEqual([1, 3]);
    await tracer.stop();
    const of = (name: string) => collector.spans.find((s) => s.name === name)!;
    expect(of("distributor.aggregate")).toMatchObject({
      traceId: requests[0]!.traceId,
      parentSpanId: of("push 0").spanId,
      links: [of("push 1").spanId, of("push 2").spanId],
      attributes: { tenant: "t", pushes: 3 },
    });
    await collector.stop();
  });
});
