import fc from "fast-check";
import {
  CinderblockError,
  type ErrorRecord,
  fromErrorRecord,
  noRoom,
  toErrorRecord,
} from "@cinderblock/errors";
import {
  aggregateOf,
  sumPushAnswers,
  type PushAnswer,
  pushesOf,
  type RawPush,
  type SentPush,
} from "@cinderblock/ingest";
import { type Member, RingSnapshot } from "@cinderblock/ring";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import type { Decider } from "./decisions.ts";
import { RingWritePath } from "./ring-write-path.ts";

const TIMEOUT_MS = 5000;
const OK: PushAnswer = {
  profiles: 1,
  compressedBytes: 1,
  decompressedBytes: 1,
  samples: 1,
  discarded: [],
  error: undefined,
};
const refusing = (error: ErrorRecord): PushAnswer => ({
  ...OK,
  profiles: 0,
  discarded: [{ reason: error.reason ?? "unknown", profiles: 1, bytes: 1 }],
  error,
});
const BAD: ErrorRecord = { kind: "invalid", reason: "malformed_profile", message: "bad input" };
const FULL = noRoom("heads", "heads use 2 bytes; the limit is 1");
const GONE = new CinderblockError("unavailable", "connection reset");

/** Behaviors of a replica: whether it stores a push, and its reply. `undefined`: no reply. */
const REPLICA: Record<string, { stores: boolean; says: PushAnswer | CinderblockError | undefined }> = {
  stores: { stores: true, says: OK },
  "stores and its answer is lost": { stores: true, says: GONE },
  "stores and is silent": { stores: true, says: undefined },
  "refuses bad input": { stores: false, says: refusing(BAD) },
  "refuses bad input by an error": { stores: false, says: fromErrorRecord(BAD) },
  "has no room": { stores: false, says: FULL },
  "has no room, as an answer": { stores: false, says: refusing(toErrorRecord(FULL)) },
  "is over the rate": {
    stores: false,
    says: refusing({ kind: "limit", reason: "rate_limited", message: "rate" }),
  },
  "has too many series": {
    stores: false,
    says: refusing({ kind: "limit", reason: "series_limit", message: "series" }),
  },
  "refuses a usage group": {
    stores: false,
    says: refusing({ kind: "limit", reason: "ingest_limit_reached", message: "usage group" }),
  },
  "is gone": { stores: false, says: GONE },
  "has a bug": { stores: false, says: new CinderblockError("internal", "a bug") },
  "is silent": { stores: false, says: undefined },
};
type Behaviour = keyof typeof REPLICA;
const behaviour = fc.constantFrom<Behaviour>(...Object.keys(REPLICA));
const DETERMINISTIC = ["refuses bad input", "refuses bad input by an error", "refuses a usage group"];

const base = () => ({
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
});
const member = (i: number): Member => ({
  id: `m${i}`,
  address: `m${i}`,
  zone: "",
  state: "ACTIVE",
  tokens: [i * 1000],
  heartbeat: 1,
  registeredAtMs: 0,
});
const sent = (name: string): SentPush => ({
  kind: "push",
  codec: "proto",
  gzip: false,
  body: Buffer.from(name),
});

/** Accepts every push, so that the replicas decide. */
const UNDECIDED: Decider = {
  decide: (tenant, service, push, limits) =>
    Promise.resolve({
      answer: { ...OK, ...(push.kind === "aggregate" ? { parts: pushesOf(push).map(() => OK) } : {}) },
      record: { tenant, service, push, limits, atMs: 1, refused: 0 },
      contradicted: (reply) => reply,
    }),
};

/** Replicas that reply on demand. */
class Replicas {
  readonly ring: RingSnapshot;
  readonly path: RingWritePath;
  readonly metrics = new Metrics();
  private readonly replies = new Map<string, (says: PushAnswer | CinderblockError) => void>();
  constructor(factor: number, unhealthy: number) {
    this.ring = new RingSnapshot(
      Array.from({ length: factor }, (_, i) => member(i)),
      new Set(Array.from({ length: unhealthy }, (_, i) => `m${i}`)),
    );
    this.path = new RingWritePath(
      { replicationFactor: factor, zoneAware: false, timeoutMs: TIMEOUT_MS, shardSize: () => 0 },
      () => this.ring,
      (address) => ({
        store: () =>
          new Promise<PushAnswer>((resolve, reject) => {
            this.replies.set(address, (says) => {
              if (says instanceof CinderblockError) reject(says);
              else resolve(says);
            });
          }),
      }),
      UNDECIDED,
      { ...base(), metrics: this.metrics },
    );
  }
  /** Addresses that received the push. */
  get asked(): string[] {
    return [...this.replies.keys()];
  }
  reply(address: string, says: PushAnswer | CinderblockError): void {
    this.replies.get(address)!(says);
  }
}

/** Holds the result of a push once it is known. */
function watched(push: Promise<PushAnswer>): { result: PushAnswer | CinderblockError | undefined } {
  const seen: { result: PushAnswer | CinderblockError | undefined } = { result: undefined };
  push.then(
    (a) => {
      seen.result = a;
    },
    (err: unknown) => {
      seen.result = err as CinderblockError;
    },
  );
  return seen;
}
const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve();
};
const push = (r: Replicas, what: RawPush) => watched(r.path.push("t", "s", what, TEST_LIMITS));

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

describe("a push to the replicas of a ring", () => {
  it("is acknowledged when a quorum stored it, and not before", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }).chain((factor) =>
          fc.record({
            factor: fc.constant(factor),
            unhealthy: fc.integer({ min: 0, max: factor - Math.floor(factor / 2) - 1 }),
            order: fc.shuffledSubarray(
              Array.from({ length: factor }, (_, i) => i),
              { minLength: factor },
            ),
            does: fc.array(behaviour, { minLength: factor, maxLength: factor }),
          }),
        ),
        async ({ factor, unhealthy, order, does }) => {
          const quorum = Math.floor(factor / 2) + 1,
            r = new Replicas(factor, unhealthy),
            stored = new Set<string>();
          const seen = push(r, sent("p"));
          await settled();
          const asked = r.asked;
          expect(asked.length).toBe(factor - unhealthy);
          /** An acknowledged push is on a quorum of disks at that moment, whatever else is known. */
          const holds = (): void => {
            const { result } = seen;
            if (result && !(result instanceof CinderblockError) && !result.error)
              expect(stored.size).toBeGreaterThanOrEqual(quorum);
          };
          for (const at of order) {
            if (at >= asked.length) continue;
            const { stores, says } = REPLICA[does[at]!]!;
            if (stores) stored.add(asked[at]!);
            if (says) r.reply(asked[at]!, says);
            await settled();
            holds();
          }
          jest.advanceTimersByTime(TIMEOUT_MS);
          await settled();
          holds();
          expect(seen.result).toBeDefined();
          const did = does.slice(0, asked.length),
            acknowledged = !(seen.result instanceof CinderblockError) && !seen.result!.error;
          // A quorum of replicas that stored the push and replied is enough, whatever the others do.
          expect(acknowledged).toBe(did.filter((d) => d === "stores").length >= quorum);
          // A deterministic refusal also needs a quorum.
          if (!(seen.result instanceof CinderblockError) && seen.result!.error)
            expect(did.filter((d) => DETERMINISTIC.includes(d)).length).toBeGreaterThanOrEqual(quorum);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("acknowledges each push of an aggregate when a quorum stored that one", async () => {
    const PARTS = 3;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }).chain((factor) =>
          fc.array(
            fc.oneof(
              { weight: 3, arbitrary: fc.array(behaviour, { minLength: PARTS, maxLength: PARTS }) },
              {
                weight: 2,
                arbitrary: fc.constant(Array.from({ length: PARTS }, (): Behaviour => "stores")),
              },
              { weight: 1, arbitrary: fc.constant<Behaviour[]>(["stores", "refuses bad input", "stores"]) },
            ),
            { minLength: factor, maxLength: factor },
          ),
        ),
        async (replicas) => {
          const r = new Replicas(replicas.length, 0),
            quorum = Math.floor(replicas.length / 2) + 1;
          const seen = push(
            r,
            aggregateOf(
              1000,
              Array.from({ length: PARTS }, (_, i) => sent(`p${i}`)),
            ),
          );
          await settled();
          const holders = Array.from({ length: PARTS }, () => 0);
          r.asked.forEach((address, at) => {
            const parts = replicas[at]!.map((b) => REPLICA[b]!);
            parts.forEach((p, k) => {
              if (p.stores) holders[k]!++;
            });
            // An error, or a missing reply, applies to all parts.
            const failed = parts.find((p) => p.says instanceof CinderblockError || p.says === undefined);
            if (!failed) r.reply(address, sumPushAnswers(parts.map((p) => p.says as PushAnswer)));
            else if (failed.says) r.reply(address, failed.says as CinderblockError);
          });
          await settled();
          jest.advanceTimersByTime(TIMEOUT_MS);
          await settled();
          expect(seen.result).toBeDefined();
          if (seen.result instanceof CinderblockError) return;
          expect(seen.result!.parts!.length).toBe(PARTS);
          seen.result!.parts!.forEach((p, k) => {
            if (!p.error) expect(holders[k]).toBeGreaterThanOrEqual(quorum);
          });
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each<[string, Behaviour[], Partial<CinderblockError>]>([
    ["a lack of room", ["is gone", "has no room", "is silent"], { kind: "no-room" }],
    ["a rate", ["is gone", "is over the rate", "stores"], { kind: "limit", reason: "rate_limited" }],
    ["silence", ["is silent", "is silent", "stores"], { kind: "unavailable" }],
    [
      "replicas that contradict each other",
      ["stores", "refuses bad input", "is silent"],
      { kind: "unavailable" },
    ],
    ["bad input", ["refuses bad input by an error", "refuses bad input by an error", "stores"], BAD],
  ])("fails with an error that its sender can act on: %s", async (_, does, error) => {
    const r = new Replicas(3, 0),
      seen = push(r, sent("p"));
    await settled();
    r.asked.forEach((a, i) => {
      const { says } = REPLICA[does[i]!]!;
      if (says) r.reply(a, says);
    });
    await settled();
    jest.advanceTimersByTime(TIMEOUT_MS);
    await settled();
    expect(seen.result).toBeInstanceOf(CinderblockError);
    expect(seen.result).toMatchObject(error);
  });

  it("counts every replica that did not store the push", async () => {
    const r = new Replicas(3, 0);
    push(r, sent("p"));
    await settled();
    const does: Behaviour[] = ["stores", "is over the rate", "is silent"];
    r.asked.forEach((a, i) => {
      const { says } = REPLICA[does[i]!]!;
      if (says) r.reply(a, says);
    });
    await settled();
    jest.advanceTimersByTime(TIMEOUT_MS);
    const text = await r.metrics.registry.getSingleMetricAsString(
      "pyroscope_distributor_ingester_append_failures_total",
    );
    expect([...text.matchAll(/ingester="(\w+)"\} 1/g)].map((m) => m[1]).sort()).toEqual(
      [r.asked[1]!, r.asked[2]!].sort(),
    );
  });
});

describe("readiness of the write path", () => {
  const member = (id: string, zone: string, state: Member["state"] = "ACTIVE"): Member => ({
    id,
    address: `${id}:1`,
    zone,
    state,
    tokens: [id.charCodeAt(0) * 1000 + id.charCodeAt(1)],
    heartbeat: 1,
    registeredAtMs: 0,
  });
  const obstacle = (members: Member[], zoneAware = false, unhealthy: string[] = []): string =>
    new RingWritePath(
      { replicationFactor: 3, zoneAware, shardSize: () => 0, timeoutMs: TIMEOUT_MS },
      () => new RingSnapshot(members, new Set(unhealthy)),
      () => {
        throw new Error("no push is sent");
      },
      {} as Decider,
      {
        log: createLogger({ level: "silent", format: "logfmt" }),
        metrics: new Metrics(),
        tracer: startTracing("", "0"),
        now: () => 1,
      },
    ).obstacle;
  const three = [member("a0", "a"), member("b0", "b"), member("c0", "c")];

  it("needs a quorum of ACTIVE and healthy ingesters", () => {
    expect(obstacle([])).toMatch(/could only find 0/);
    expect(obstacle(three.slice(0, 1))).toBe(
      "too few ingesters are ACTIVE in the ring: at least 2 live replicas required, could only find 1 (-distributor.replication-factor=3)",
    );
    expect(obstacle(three.slice(0, 2))).toBe("");
    expect(obstacle([three[0]!, member("b0", "b", "JOINING"), member("c0", "c", "LEAVING")])).toMatch(
      /find 1/,
    );
    expect(obstacle(three, false, ["a0"])).toBe("");
    expect(obstacle(three, false, ["a0", "b0"])).toMatch(/find 1/);
  });

  it("needs a quorum of zones where replicas are in different zones", () => {
    const many = ["a0", "a1", "a2", "b0", "c0"].map((id) => member(id, id[0]!));
    expect(obstacle(many, true, ["b0", "c0"])).toMatch(/find 1/);
    expect(obstacle(many, true, ["c0"])).toBe("");
    expect(obstacle(many, false, ["b0", "c0"])).toBe("");
  });
});
