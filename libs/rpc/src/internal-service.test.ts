import { create, toBinary } from "@bufbuild/protobuf";
import { InternalIngesterService as IngesterService, PushRecordRequestSchema } from "@cinderblock/api";
import { CinderblockError, CorruptError, kindOf } from "@cinderblock/errors";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { BodyBudget } from "./body-budget.ts";
import { InternalClient, UnknownMethodError } from "./internal-client.ts";
import { InternalGate, TokenSet } from "./internal-gate.ts";
import { type InternalHandlers, internalService } from "./internal-service.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

const TOKEN = "token-of-the-cluster",
  BLOCK = "01M8EKZW7M023ZEFRNNKY74X0A";
const lines: string[] = [];
const base = {
  log: createLogger({ level: "warn", format: "json" }, (l) => lines.push(l)),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
const tokens = new TokenSet([TOKEN]);
const credentials = {
  current: () => tokens.current,
  accepts: (token: string) => tokens.accepts(token),
  refresh: () => Promise.resolve(),
};

type Handlers = InternalHandlers<typeof IngesterService>;
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  lines.length = 0;
});
/** A server of the service, and a client that calls it. */
async function serve(handlers: Partial<Handlers>) {
  const unused = (): Promise<never> => Promise.reject(new Error("not part of the test"));
  const server = new ApiServer(
    testServer({
      protocol: "internal",
      internalBodies: { budget: new BodyBudget(1 << 20), limitBytes: 1 << 20 },
    }),
    [internalService(IngesterService, { pushRecord: unused, listActiveSeries: unused, ...handlers })],
    { ...base, metrics: new Metrics() },
    new InternalGate(credentials, base),
    "internal server",
  );
  await server.start();
  const traffic = { sentBytes: 0, receivedBytes: 0 },
    client = new InternalClient(credentials, traffic),
    address = `127.0.0.1:${server.port}`;
  stops.push(
    () => client.close(),
    () => server.stop(),
  );
  return { address, client, traffic, ingester: client.of(IngesterService, address) };
}
const failing = (err: unknown): Partial<Handlers> => ({
  pushRecord: () => Promise.reject(err as Error),
});

describe("a service between processes", () => {
  it("passes messages with bytes both ways, and counts their bytes", async () => {
    const record = Uint8Array.from({ length: 100_000 }, (_, i) => i);
    let seen: Uint8Array | undefined;
    const { ingester, traffic } = await serve({
      pushRecord: (request) => {
        seen = request.record;
        return Promise.resolve({ outcome: { profiles: 3, samples: 7n } });
      },
    });
    const { outcome } = await ingester.pushRecord({ record }, { timeoutMs: 5000 });
    expect(outcome).toMatchObject({ profiles: 3, samples: 7n });
    expect(Buffer.compare(seen!, record)).toBe(0);
    expect(traffic).toEqual({ sentBytes: 100_004, receivedBytes: 6 });
  });

  it("passes an error's kind, reason and detail, and keeps the stack in the log", async () => {
    const damaged = new CorruptError("index.tsdb", 17, "expected a magic", { detail: { block: BLOCK } });
    const { ingester } = await serve(failing(damaged));
    await expect(ingester.pushRecord({}, { timeoutMs: 5000 })).rejects.toMatchObject({
      kind: "corrupt",
      message: "index.tsdb: at byte 17: expected a magic",
      detail: { block: BLOCK, file: "index.tsdb", offset: 17 },
    });
    const limit = new CinderblockError("limit", "too many", {
      reason: "series_limit",
      detail: { limit: 3, hard: true },
    });
    const second = await serve(failing(limit));
    await expect(second.ingester.pushRecord({}, { timeoutMs: 5000 })).rejects.toMatchObject({
      kind: "limit",
      reason: "series_limit",
      detail: { limit: 3, hard: true },
    });
    const third = await serve(failing(new TypeError("a bug")));
    const bug = await third.ingester.pushRecord({}, { timeoutMs: 5000 }).catch((err: unknown) => err);
    expect(kindOf(bug)).toBe("internal");
    expect((bug as Error).stack).not.toContain("internal-service.test.ts:5");
    expect(lines.some((l) => l.includes("internal-service.test.ts"))).toBe(true);
  });

  it("refuses a malformed message as invalid", async () => {
    const { address } = await serve({});
    for (const body of [
      Buffer.of(0xff),
      Buffer.from(
        toBinary(PushRecordRequestSchema, create(PushRecordRequestSchema, { record: new Uint8Array(9) })),
      ).subarray(0, 5),
    ]) {
      const r = await fetch(`http://${address}/cinderblock.internal.v1.IngesterService/PushRecord`, {
        method: "POST",
        headers: { "content-type": "application/proto", authorization: `Bearer ${TOKEN}` },
        body,
      });
      expect([r.status, ((await r.json()) as { code: string }).code]).toEqual([400, "invalid_argument"]);
    }
  });

  it("aborts the method when the deadline passes and when the caller leaves", async () => {
    const ended: string[] = [];
    const { ingester } = await serve({
      pushRecord: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            ended.push("aborted");
            reject(new CinderblockError("deadline", "context deadline exceeded"));
          });
        }),
    });
    const late = await ingester.pushRecord({}, { timeoutMs: 50 }).catch((err: unknown) => err);
    expect(["deadline", "unavailable"]).toContain(kindOf(late));
    const leaves = new AbortController(),
      call = ingester.pushRecord({}, { timeoutMs: 60_000, signal: leaves.signal });
    setImmediate(() => leaves.abort());
    expect(kindOf(await call.catch((err: unknown) => err))).toBe("canceled");
    for (const end = Date.now() + 5000; ended.length < 2 && Date.now() < end; )
      await new Promise((resolve) => setImmediate(resolve));
    expect(ended.length).toBeGreaterThan(0);
  });

  it("is unknown in a process that does not serve it", async () => {
    const server = new ApiServer(
      testServer({ protocol: "internal" }),
      [],
      { ...base, metrics: new Metrics() },
      new InternalGate(credentials, base),
    );
    await server.start();
    const client = new InternalClient(credentials);
    stops.push(
      () => client.close(),
      () => server.stop(),
    );
    const ask = client
      .of(IngesterService, `127.0.0.1:${server.port}`)
      .listActiveSeries({}, { timeoutMs: 5000 });
    await expect(ask).rejects.toBeInstanceOf(UnknownMethodError);
  });
});
