import fc from "fast-check";
import { loadHasher } from "@cinderblock/bytes";
import { CinderblockError, noRoom } from "@cinderblock/errors";
import {
  aggregateOf,
  toPushAnswer,
  sumPushAnswers,
  encodePush,
  type ProcessedProfile,
  type PushAnswer,
  PushProcessor,
  pushesOf,
  RateGate,
  type RawPush,
  type SentPush,
} from "@cinderblock/ingest";
import { type Member, RingSnapshot } from "@cinderblock/ring";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof } from "@cinderblock/testkit";
import { PushRecordDecoder } from "@cinderblock/transport";
import { Decisions } from "./decisions.ts";
import { PushChecker } from "./push-checker.ts";
import { RingWritePath } from "./ring-write-path.ts";

const T0 = 1_795_409_460_000,
  TIMEOUT_MS = 1000,
  REPLICAS = 3,
  QUORUM = 2;
const hasher = await loadHasher();
const base = {
  log: createLogger({ level: "silent", format: "logfmt" }),
  metrics: new Metrics(),
  tracer: noTracer,
  now: () => T0,
};

/** The fate of a push on one replica. */
type Fate = "takes" | "has no room" | "is silent" | "takes and is silent" | "takes and is gone";
const fate = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Fate>("takes") },
  {
    weight: 3,
    arbitrary: fc.constantFrom<Fate>("has no room", "is silent", "takes and is silent", "takes and is gone"),
  },
);

/** A replica with the real processor and a wrong clock. */
class Replica {
  /** push -> its stored rows */
  readonly stored = new Map<number, string>();
  readonly refusals: string[] = [];
  fate: Fate = "takes";
  /** number of the current push */
  push = 0;
  private rows: string[] = [];
  private readonly decoder = new PushRecordDecoder();
  private readonly gate = new RateGate(new SharedArrayBuffer(8));
  private readonly processor = new PushProcessor(hasher, {
    append: (tenant: string, p: ProcessedProfile) => {
      for (const g of p.groups)
        this.rows.push(
          `${tenant} ${p.profile.timeNanos} ${Buffer.from(g.id).toString("hex")} ${JSON.stringify(g.labels)}`,
        );
    },
  });

  store(bytes: Uint8Array): Promise<PushAnswer> {
    const { fate } = this;
    if (fate === "has no room") return Promise.reject(noRoom("heads", "heads are full"));
    if (fate === "is silent") return new Promise(() => undefined);
    const { tenant, push, limits, atMs } = this.decoder.decode(bytes);
    const take = (one: SentPush): PushAnswer =>
      toPushAnswer(this.processor.process(tenant, one, limits, this.gate, atMs));
    this.rows = [];
    const answer = push.kind === "aggregate" ? sumPushAnswers(pushesOf(push).map(take)) : take(push);
    this.stored.set(this.push, this.rows.sort().join("\n"));
    for (const e of answer.parts ?? [answer])
      if (e.error?.kind === "limit") this.refusals.push(e.error.message);
    if (fate === "takes and is silent") return new Promise(() => undefined);
    if (fate === "takes and is gone") return Promise.reject(new CinderblockError("unavailable", "gone"));
    return Promise.resolve(answer);
  }
}

/** Kinds of profiles that agents send. */
const PROFILES = {
  good: (n: number, atMs: number) =>
    tinyPprof({ ...STACKS, timeNanos: BigInt(atMs) * 1_000_000n + BigInt(n) }),
  // The time of arrival applies.
  timeless: (_n: number, _atMs: number) => tinyPprof({ ...STACKS, timeNanos: 0n }),
  "too old": (_n: number, atMs: number) =>
    tinyPprof({ ...STACKS, timeNanos: BigInt(atMs - 7200_000) * 1_000_000n }),
  // At the edge of the window: a clock that differs by a second decides otherwise.
  "nearly too old": (_n: number, atMs: number) =>
    tinyPprof({ ...STACKS, timeNanos: BigInt(atMs - 3599_500) * 1_000_000n }),
  broken: () => Buffer.from("no profile"),
};
const STACKS = { stacks: [{ frames: ["main", "work"], values: [5] }] };
type Kind = keyof typeof PROFILES;
const kind = fc.constantFrom<Kind>(...(Object.keys(PROFILES) as Kind[]));

const pushOf = (n: number, kinds: readonly Kind[], series: number, atMs: number): SentPush => ({
  kind: "push",
  codec: "proto",
  gzip: false,
  body: encodePush(
    kinds.map((k, i) => ({
      labels: [
        { name: "__name__", value: "process_cpu" },
        { name: "service_name", value: "shop" },
        { name: "id", value: String(series + i) },
      ],
      profiles: [PROFILES[k](n, atMs)],
    })),
    1000,
  ),
});
const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe("limits that apply to the whole cluster", () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it("are decided once: an acknowledged push is on a quorum, and replicas never differ because of a limit", async () => {
    let acknowledged = 0,
      refusedByLimit = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            kinds: fc.array(kind, { minLength: 1, maxLength: 3 }),
            /** 2: an aggregate of two pushes */
            together: fc.constantFrom(1, 1, 1, 2),
            series: fc.nat(8),
            /** the distributor that gets the push */
            via: fc.nat(1),
            fates: fc.array(fate, { minLength: REPLICAS, maxLength: REPLICAS }),
            laterMs: fc.nat(400),
          }),
          { minLength: 1, maxLength: 15 },
        ),
        async (pushes) => {
          let now = T0;
          const replicas = Array.from({ length: REPLICAS }, () => new Replica());
          const limits = {
            ...TEST_LIMITS,
            // Some pushes fit, not all.
            ingestionRateBytes: 2000,
            ingestionBurstBytes: 1500,
            maxSeriesPerTenant: 1,
            rejectOlderThanMs: 3600_000,
          };
          // Neither distributor knows the other yet: together they accept more than the rate.
          const decisions = [0, 1].map(() => {
            const gate = new RateGate(new SharedArrayBuffer(8)),
              checker = new PushChecker(hasher);
            return new Decisions({
              validator: {
                check: (tenant, push, l, nowMs) =>
                  Promise.resolve(checker.check(tenant, push, l, gate, nowMs)),
              },
              maxSeries: () => 6,
              seriesOf: () => undefined,
              distributors: () => 1,
              now: () => now,
            });
          });
          const ring = new RingSnapshot(
            replicas.map(
              (_, i): Member => ({
                id: `m${i}`,
                address: String(i),
                zone: "",
                state: "ACTIVE",
                tokens: [i * 1000],
                heartbeat: 1,
                registeredAtMs: 0,
              }),
            ),
            new Set(),
          );
          const paths = decisions.map(
            (decider) =>
              new RingWritePath(
                { replicationFactor: REPLICAS, zoneAware: false, timeoutMs: TIMEOUT_MS, shardSize: () => 0 },
                () => ring,
                (address) => ({ store: (_push, record) => replicas[Number(address)]!.store(record) }),
                decider,
                base,
              ),
          );
          for (const [n, p] of pushes.entries()) {
            now += p.laterMs;
            replicas.forEach((r, i) => {
              r.push = n;
              r.fate = p.fates[i]!;
            });
            const sent = Array.from({ length: p.together }, (_, k) =>
                pushOf(100 * n + k, p.kinds, p.series + k, now),
              ),
              push: RawPush = sent.length === 1 ? sent[0]! : aggregateOf(1000, sent);
            let result: PushAnswer | CinderblockError | undefined;
            paths[p.via]!.push("t", "shop", push, limits).then(
              (a) => (result = a),
              (err: unknown) => (result = err as CinderblockError),
            );
            await settled();
            jest.advanceTimersByTime(TIMEOUT_MS);
            await settled();
            expect(result).toBeDefined();
            const holders = replicas.filter((r) => r.stored.has(n)).length;
            // All replicas that have the push have the same rows of it.
            expect(new Set(replicas.flatMap((r) => r.stored.get(n) ?? [])).size).toBeLessThanOrEqual(1);
            const parts = result instanceof CinderblockError ? [] : (result!.parts ?? [result!]);
            for (const part of parts) {
              if (part.error) {
                if (part.error.kind === "limit") refusedByLimit++;
                continue;
              }
              acknowledged++;
              expect(holders).toBeGreaterThanOrEqual(QUORUM);
            }
            if (result instanceof CinderblockError && result.kind === "limit") refusedByLimit++;
          }
          expect(replicas.flatMap((r) => r.refusals)).toEqual([]);
        },
      ),
      { numRuns: 80 },
    );
    expect(acknowledged).toBeGreaterThan(50);
    expect(refusedByLimit).toBeGreaterThan(10);
  }, 60_000);
});

describe("the ingestion rate", () => {
  it("is divided among the distributors that accept pushes, as they join and leave", async () => {
    let distributors = 4;
    const rates: number[] = [];
    const decisions = new Decisions({
      validator: {
        check: (_tenant, _push, limits) => {
          rates.push(limits.ingestionRateBytes);
          return Promise.reject(new CinderblockError("limit", "no"));
        },
      },
      maxSeries: () => 0,
      seriesOf: () => undefined,
      distributors: () => distributors,
      now: () => T0,
    });
    const limits = { ...TEST_LIMITS, ingestionRateBytes: 1000 },
      push = pushOf(1, ["good"], 1, T0);
    for (const n of [4, 1, 0, 2]) {
      distributors = n;
      await decisions.decide("t", "shop", push, limits).catch(() => undefined);
    }
    expect(rates).toEqual([250, 1000, 1000, 500]);
  });
});
