import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  CanServeRequestSchema,
  EnqueueRequestSchema,
  ExecuteRequestSchema,
  LabelsRequestSchema,
  ListBlocksRequestSchema,
  PushRecordRequestSchema,
  RegisterBlockRequestSchema,
  RowKeysRequestSchema,
  RowTimesRequestSchema,
  SeriesRangesRequestSchema,
} from "@cinderblock/api";
import type { IngestLimits } from "@cinderblock/tenant";
import { kindOf } from "@cinderblock/errors";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { isTenantId } from "@cinderblock/tenant";
import {
  type LocalScheduler,
  encodePushRecord,
  ingesterHandlers,
  serveScheduler,
  sourceHandlers,
  type StoreContract,
  storeHandlers,
} from "./index.ts";

const base = {
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => 0,
};
const ULID = "01M8EKZW7M023ZEFRNNKY74X0A",
  signal = new AbortController().signal;

/** Arguments of all calls that reach a component. */
const asked: unknown[][] = [];
const note = (...args: unknown[]): Promise<never> => {
  asked.push(args);
  return Promise.resolve([] as never);
};
const store: StoreContract = {
  name: "s",
  blocks: note,
  execute: note,
  ranges: note,
  times: note,
  keys: note,
  labels: note,
  registerBlock: note,
  canServe: note,
};
const scheduler: LocalScheduler = {
  enqueue: note,
  next: () => Promise.resolve(undefined),
  recordHeartbeat: () => undefined,
  dropQuerier: () => undefined,
};
const served = serveScheduler(scheduler, base);
afterAll(() => served.stop());

const PUSH = { kind: "push", codec: "proto", gzip: false, body: new Uint8Array(1) } as const;
const pushes = ingesterHandlers(
  ({ tenant, service, push }) => note(tenant, service, push),
  () => Promise.resolve([]),
);
/** The record of a push; invalid bytes if the tenant cannot be encoded. */
function recordOf(tenant: string): Uint8Array {
  try {
    return encodePushRecord({
      tenant,
      service: "shop",
      atMs: 1,
      limits: {} as IngestLimits,
      push: PUSH,
    });
  } catch {
    return new Uint8Array(9);
  }
}
const sources = sourceHandlers(store),
  stores = storeHandlers(store);
const select = { profileTypeId: "p" };
const query = { kind: { case: "tree" as const, value: { select } } };
/** Every method with a tenant, called with a tenant and a block, and valid otherwise. */
const NAMED: [string, (tenant: string, block: string) => Promise<unknown>][] = [
  [
    "listBlocks",
    (tenant) => sources.listBlocks(create(ListBlocksRequestSchema, { tenant, endMs: 1 }), signal),
  ],
  [
    "execute",
    (tenant, u) => sources.execute(create(ExecuteRequestSchema, { tenant, ulids: [u], query }), signal),
  ],
  [
    "seriesRanges",
    (tenant, u) =>
      sources.seriesRanges(create(SeriesRangesRequestSchema, { tenant, ulids: [u], select }), signal),
  ],
  [
    "rowTimes",
    (tenant, u) => sources.rowTimes(create(RowTimesRequestSchema, { tenant, ulids: [u], select }), signal),
  ],
  [
    "rowKeys",
    (tenant, u) => sources.rowKeys(create(RowKeysRequestSchema, { tenant, ulids: [u], select }), signal),
  ],
  [
    "labels",
    (tenant, u) =>
      sources.labels(
        create(LabelsRequestSchema, { tenant, ulids: [u], ask: { kind: { case: "names", value: {} } } }),
        signal,
      ),
  ],
  [
    "registerBlock",
    (tenant, ulid) => stores.registerBlock(create(RegisterBlockRequestSchema, { tenant, ulid }), signal),
  ],
  ["canServe", (tenant, ulid) => stores.canServe(create(CanServeRequestSchema, { tenant, ulid }), signal)],
  [
    "enqueue",
    (tenant) =>
      served.handlers.enqueue(
        create(EnqueueRequestSchema, { tenant, job: { kind: { case: "blocks", value: {} } } }),
        signal,
      ),
  ],
];
/** Methods without a tenant, and `pushRecord`, whose record names it. */
const UNNAMED = ["ping", "next", "heartbeat", "done", "listActiveSeries", "pushRecord"];
const WITHOUT_BLOCK = ["listBlocks", "enqueue"];

const hostile = fc.oneof(
  fc.constantFrom("..", "../../outside", "/etc", "a/b", "a|b", "", ".", "a\0b"),
  fc.array(fc.constantFrom("..", "/", "\\", "a", "\0", "."), { maxLength: 8 }).map((p) => p.join("")),
  fc.string({ unit: "binary", maxLength: 8 }),
);

describe("methods for other processes", () => {
  beforeEach(() => {
    asked.length = 0;
  });

  it("are all tested here", () => {
    const all = [pushes, sources, stores, served.handlers].flatMap((m) => Object.keys(m));
    expect(all.sort()).toEqual([...NAMED.map(([n]) => n), ...UNNAMED].sort());
  });

  it.each(NAMED)("%s accepts a tenant ID and ULIDs, and refuses other arguments", async (name, run) => {
    // The double answers every question with an empty list.
    await run("team-1", ULID).catch(() => undefined);
    expect(asked).toHaveLength(1);
    expect(asked[0]![0]).toBe("team-1");
    asked.length = 0;
    const refused = async (call: Promise<unknown>): Promise<void> =>
      expect(kindOf(await call.catch((err: unknown) => err))).toBe("invalid");
    await fc.assert(
      fc.asyncProperty(hostile, async (value) => {
        if (isTenantId(value)) return;
        await refused(run(value, ULID));
        if (!WITHOUT_BLOCK.includes(name)) await refused(run("team-1", value));
      }),
      { numRuns: 300 },
    );
    expect(asked).toEqual([]);
  });

  it("pushRecord accepts a tenant ID, and refuses other tenants", async () => {
    const push = (tenant: string): Promise<unknown> =>
      pushes.pushRecord(create(PushRecordRequestSchema, { record: recordOf(tenant) }), signal);
    await push("team-1").catch(() => undefined);
    expect(asked.map(([tenant]) => tenant)).toEqual(["team-1"]);
    asked.length = 0;
    await fc.assert(
      fc.asyncProperty(hostile, async (tenant) => {
        if (isTenantId(tenant)) return;
        expect(kindOf(await push(tenant).catch((err: unknown) => err))).toBe("invalid");
      }),
      { numRuns: 300 },
    );
    expect(asked).toEqual([]);
  });
});
