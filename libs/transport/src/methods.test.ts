import fc from "fast-check";
import type { IngestLimits } from "@cinderblock/tenant";
import { kindOf } from "@cinderblock/errors";
import type { InternalMethods } from "@cinderblock/rpc";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { isTenantId } from "@cinderblock/tenant";
import {
  type LocalScheduler,
  encodePushRecord,
  pushMethods,
  serveScheduler,
  sourceMethods,
  type StoreContract,
  storeMethods,
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
const pushes = pushMethods(
  ({ tenant, service, push }) => note(tenant, service, push) as Promise<never>,
  note,
);
/** The record of a push; invalid bytes if the tenant cannot be encoded. */
function recordOf(tenant: unknown): Uint8Array {
  try {
    return encodePushRecord({
      tenant: tenant as string,
      service: "shop",
      atMs: 1,
      limits: {} as IngestLimits,
      push: PUSH,
    });
  } catch {
    return new Uint8Array(9);
  }
}
/** Every method with a tenant argument, with valid other arguments. */
const NAMED: [string, InternalMethods, (tenant: unknown, block: unknown) => unknown[]][] = [
  ["push", pushes, (t) => [t, "shop", PUSH]],
  ["pushAggregate", pushes, (t) => [t, "shop", { ...PUSH, kind: "aggregate" }]],
  ["pushRecord", pushes, (t) => [recordOf(t)]],
  ["blocks", sourceMethods(store), (t) => [t, 0, 1]],
  ["execute", sourceMethods(store), (t, u) => [t, [u], { kind: "tree" }, {}, {}]],
  ["ranges", sourceMethods(store), (t, u) => [t, [u], {}]],
  ["times", sourceMethods(store), (t, u) => [t, [u], {}]],
  ["keys", sourceMethods(store), (t, u) => [t, [u], {}]],
  ["labels", sourceMethods(store), (t, u) => [t, [u], { kind: "names" }]],
  ["learn", storeMethods(store), (t, u) => [t, u]],
  ["answers", storeMethods(store), (t, u) => [t, u]],
  ["enqueue", served.methods, (t) => [t, { kind: "blocks", startMs: 0, endMs: 1 }, 1]],
];
const UNNAMED = ["ping", "next", "alive", "done"];

const hostile = fc.oneof(
  fc.constantFrom("..", "../../outside", "/etc", "a/b", "a|b", "", ".", "a\0b"),
  fc.array(fc.constantFrom("..", "/", "\\", "a", "\0", "."), { maxLength: 8 }).map((p) => p.join("")),
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.anything({ withBigInt: true, withTypedArray: true }),
);

describe("methods for other processes", () => {
  beforeEach(() => {
    asked.length = 0;
  });

  it("are all tested here", () => {
    const all = [pushes, storeMethods(store), served.methods].flatMap((m) => Object.keys(m));
    expect([...new Set(all)].sort()).toEqual([...new Set([...NAMED.map(([n]) => n), ...UNNAMED])].sort());
  });

  it.each(NAMED)(
    "%s accepts a tenant ID and ULIDs, and refuses other arguments",
    async (name, methods, args) => {
      await methods[name]!.run(args("team-1", ULID), signal);
      expect(asked).toHaveLength(1);
      expect(asked[0]![0]).toBe("team-1");
      asked.length = 0;
      const refused = async (list: unknown[]): Promise<void> => {
        const err: unknown = await methods[name]!.run(list, signal).then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(kindOf(err)).toBe("invalid");
      };
      await fc.assert(
        fc.asyncProperty(hostile, async (value) => {
          if (isTenantId(value)) return;
          await refused(args(value, ULID));
          if (args("team-1", "x").flat().includes("x")) await refused(args("team-1", value));
        }),
        { numRuns: 300 },
      );
      expect(asked).toEqual([]);
    },
  );
});
