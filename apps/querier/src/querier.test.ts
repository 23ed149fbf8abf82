import { CinderblockError, CorruptError } from "@cinderblock/errors";
import { LabelIndex } from "@cinderblock/block";
import {
  type BlockInfo,
  distinctSets,
  type ExecuteAnswer,
  type Exclusions,
  type JobResult,
  type LabelAnswer,
  type LabelRequest,
  labelsOfSets,
  type SeriesRanges,
  type SourceClient,
  type SourceQuery,
} from "@cinderblock/query";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { Querier, type SourceClients } from "./querier.ts";

const base = {
  log: createLogger({ level: "fatal", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
const block = (ulid: string, level: number, sources = [ulid], parents: string[] = []): BlockInfo => ({
  ulid,
  minTimeMs: 10,
  maxTimeMs: 20,
  level,
  sources,
  parents,
  shardId: "",
  hints: [],
});
const QUERY: SourceQuery = {
  kind: "series",
  callSite: [],
  range: { startMs: 0, endMs: 100, stepMs: 100, groupBy: [] },
  select: { profileTypeId: "p:cpu:ns:cpu:ns", labelSelector: "{}", startMs: 0, endMs: 100 },
};
const { signal } = new AbortController();
const [A, B, C] = [
  "01M83BWES06AEJX19K2E07509A",
  "01M83BWES06AEJX19K2E07509B",
  "01M83BWES06AEJX19K2E07509C",
] as const;

/** A store-gateway with blocks; a deleted block stays listed until it is requested. */
class Store implements SourceClient {
  readonly name: string = "store";
  asked: string[][] = [];
  listed: BlockInfo[];
  there: Set<string>;
  private readonly learns: BlockInfo[];
  constructor(listed: BlockInfo[], there: string[], learns: BlockInfo[]) {
    this.listed = listed;
    this.there = new Set(there);
    this.learns = learns;
  }
  blocks(): Promise<BlockInfo[]> {
    return Promise.resolve(this.listed);
  }
  execute(_t: string, ulids: readonly string[]): Promise<ExecuteAnswer> {
    this.asked.push([...ulids].sort());
    const missing = ulids.filter((u) => !this.there.has(u));
    if (missing.length > 0) this.listed = this.learns;
    return Promise.resolve({ result: { kind: "series", series: [] }, missing });
  }
  ranges(_t: string, ulids: readonly string[]): Promise<SeriesRanges[]> {
    if (!ulids.every((u) => this.there.has(u))) this.listed = this.learns;
    return Promise.resolve(
      ulids
        .filter((u) => this.there.has(u))
        .map((ulid) => ({
          ulid,
          form: "block",
          upTo: 1,
          fingerprint: new BigUint64Array(0),
          min: new BigInt64Array(0),
          max: new BigInt64Array(0),
        })),
    );
  }
  keys(): Promise<never[]> {
    return Promise.resolve([]);
  }
  labels(
    _t: string,
    ulids: readonly string[],
    _ask?: LabelRequest,
  ): Promise<LabelAnswer & { missing: string[] }> {
    const missing = ulids.filter((u) => !this.there.has(u));
    if (missing.length > 0) this.listed = this.learns;
    return Promise.resolve({ names: ulids.filter((u) => this.there.has(u)), sets: [], missing });
  }
}
const sources = (store: Store): SourceClients => ({
  ingesters: () => [],
  stores: () => [store],
  coveredBy: () => Promise.resolve(false),
  reach: () => Promise.resolve([]),
  refresh: () => Promise.resolve(),
});

describe("label sets", () => {
  it("are answered in columns, and in label sets for a frontend or from a source of the previous release", async () => {
    const series = [{ labels: [{ name: "a", value: "1" }] }, { labels: [{ name: "b", value: "é" }] }],
      sets = series.map((s) => s.labels),
      table = new LabelIndex(series).sets();
    // One source of this release, and one of the previous release, which ignores `columns`.
    for (const answer of [
      { names: [], sets: [], tables: [table] },
      { names: [], sets },
    ]) {
      const store = new Store([block(A, 1)], [A], []),
        asked: LabelRequest[] = [];
      store.labels = (_t: string, _ulids: readonly string[], ask?: LabelRequest) => {
        asked.push(ask!);
        return Promise.resolve({ ...answer, missing: [] });
      };
      const run = async (columns?: boolean): Promise<LabelAnswer> => {
        const ask: LabelRequest = {
          kind: "series",
          names: [],
          query: { matchers: [], startMs: 1, endMs: 100 },
        };
        const r = await new Querier(sources(store), base).run(
          "t",
          { kind: "labels", ask, ...(columns === undefined ? {} : { columns }) },
          Date.now() + 1000,
          signal,
        );
        if (r.kind !== "labels") throw new Error(`expected labels, found ${r.kind}`);
        return r.answer;
      };
      expect((await run()).sets).toEqual(sets);
      expect(labelsOfSets(distinctSets(await run(true)))).toEqual(sets);
      expect(asked.every((a) => a.kind === "series" && a.columns === true)).toBe(true);
    }
  });
});

describe("blocks compacted and deleted between plan and query", () => {
  it("are replanned: the answer comes complete from their replacements", async () => {
    const store = new Store([block(A, 1), block(B, 1)], [C], [block(C, 2, [A, B], [A, B])]),
      querier = new Querier(sources(store), base);
    const r = await querier.run("t", { kind: "select", query: QUERY }, Date.now() + 1000, signal);
    expect(r.warnings).toEqual([]);
    expect(store.asked.at(-1)).toEqual([C]);
    expect(r.kind === "select" && r.parts.length).toBe(1);
  });
  it("are replanned for label queries as well", async () => {
    const store = new Store([block(A, 1), block(B, 1)], [C], [block(C, 2, [A, B], [A, B])]);
    const r = await new Querier(sources(store), base).run(
      "t",
      { kind: "labels", ask: { kind: "names", query: { matchers: [], startMs: 1, endMs: 100 } } },
      Date.now() + 1000,
      signal,
    );
    expect([r.kind === "labels" && r.answer.names, r.warnings]).toEqual([[C], []]);
  });
  it("make the answer partial if they have no replacement", async () => {
    const store = new Store([block(A, 1), block(B, 1)], [A], [block(A, 1), block(B, 1)]);
    const r = await new Querier(sources(store), base).run(
      "t",
      { kind: "select", query: QUERY },
      Date.now() + 1000,
      signal,
    );
    expect(r.warnings).toEqual([`block ${B} is missing`]);
  });
  it("are skipped if they return no row keys, since another source may have the same rows", async () => {
    // A is being cut while its rows are compared with B's, so no client has it; later it is a block.
    class Cut extends Store {
      compared = 0;
      override async ranges(t: string, ulids: readonly string[]): Promise<SeriesRanges[]> {
        return (await super.ranges(t, ulids)).filter((r) => r.ulid !== A || this.compared++ > 0);
      }
    }
    const store = new Cut([block(A, 1), block(B, 1)], [A, B], []);
    const r = await new Querier(sources(store), base).run(
      "t",
      { kind: "select", query: QUERY },
      Date.now() + 1000,
      signal,
    );
    expect([r.warnings, store.asked, store.compared]).toEqual([[], [[A, B]], 2]);
    class Never extends Store {
      override async ranges(t: string, ulids: readonly string[]): Promise<SeriesRanges[]> {
        return (await super.ranges(t, ulids)).filter((x) => x.ulid !== A);
      }
    }
    const never = new Never([block(A, 1), block(B, 1)], [A, B], []);
    const partial = await new Querier(sources(never), base).run(
      "t",
      { kind: "select", query: QUERY },
      Date.now() + 1000,
      signal,
    );
    expect([partial.warnings, never.asked]).toEqual([[`block ${A} is missing`], [[B]]]);
  });
});

describe("a head that receives rows during a query", () => {
  /** A row as its keys: time and ID are both `key`. */
  interface Row {
    series: bigint;
    key: number;
    total: bigint;
  }
  /** Holds rows; answers with the rows present at the time of the request. */
  class Holder extends Store {
    override readonly name: string;
    excluded: Exclusions[] = [];
    readonly form: "head" | "block";
    readonly info: BlockInfo;
    rows: Row[];
    onRanges = (): void => undefined;
    onKeys = (): void => undefined;
    constructor(name: string, info: BlockInfo, form: "head" | "block", rows: Row[]) {
      super([info], [info.ulid], []);
      this.name = name;
      this.info = info;
      this.form = form;
      this.rows = rows;
    }
    override blocks(): Promise<BlockInfo[]> {
      return Promise.resolve([this.form === "head" ? { ...this.info, rows: this.rows.length } : this.info]);
    }
    override execute(
      t: string,
      ulids: readonly string[],
      _q?: unknown,
      exclude: Exclusions = {},
    ): Promise<ExecuteAnswer> {
      this.excluded.push(exclude);
      return super.execute(t, ulids);
    }
    override ranges(): Promise<SeriesRanges[]> {
      this.onRanges();
      const of = [...new Set(this.rows.map((r) => r.series))],
        times = (s: bigint): bigint[] =>
          this.rows
            .filter((r) => r.series === s)
            .map((r) => BigInt(r.key))
            .sort((a, b) => Number(a - b));
      return Promise.resolve([
        {
          ulid: this.info.ulid,
          form: this.form,
          upTo: this.rows.length,
          fingerprint: BigUint64Array.from(of),
          min: BigInt64Array.from(of, (s) => times(s)[0]!),
          max: BigInt64Array.from(of, (s) => times(s).at(-1)!),
        },
      ]);
    }
    override keys(_t?: string, ulids?: readonly string[]): Promise<never[]> {
      this.onKeys();
      const id = new Uint8Array(this.rows.length * 16);
      this.rows.forEach((r, i) => id.set([r.key], 16 * i));
      return Promise.resolve(
        (ulids!.includes(this.info.ulid)
          ? [
              {
                ulid: this.info.ulid,
                form: this.form,
                upTo: this.rows.length,
                fingerprint: BigUint64Array.from(this.rows, (r) => r.series),
                timeNanos: BigInt64Array.from(this.rows, (r) => BigInt(r.key)),
                id,
                total: BigInt64Array.from(this.rows, (r) => r.total),
                row: Uint32Array.from(this.rows, (_, i) => i),
              },
            ]
          : []) as never[],
      );
    }
  }
  const row = (series: number, key: number, total = 1): Row => ({
    series: BigInt(series),
    key,
    total: BigInt(total),
  });
  /** Rows counted in an answer, over all holders. */
  const counted = (all: Holder[]): Row[] =>
    all
      .flatMap((h) => {
        const x = h.excluded.at(-1)![h.info.ulid];
        return h.rows.filter(
          (_, i) => !x || ((x.upTo < 0 || i < x.upTo || x.late?.includes(i)) && !x.rows.includes(i)),
        );
      })
      .sort((a, b) => a.key - b.key);
  const countedRows = async (all: Holder[]): Promise<Row[]> => {
    const r = await new Querier(
      {
        ingesters: () => all,
        stores: () => [],
        coveredBy: () => Promise.resolve(false),
        reach: () => Promise.resolve([]),
        refresh: () => Promise.resolve(),
      },
      base,
    ).run("t", { kind: "select", query: QUERY }, Date.now() + 1000, signal);
    expect(r.warnings).toEqual([]);
    return counted(all);
  };
  const asked = async (all: Holder[]): Promise<number[]> => (await countedRows(all)).map((r) => r.key);
  it("answers with its earlier rows; rows of another source count once", async () => {
    // The head and Y share series 1. While keys are compared, the head receives a row of series 2 that X has.
    const make = (): [Holder, Holder, Holder] => [
      new Holder("x", block(A, 1), "block", [row(2, 11)]),
      new Holder("y", block(B, 1), "block", [row(1, 12)]),
      new Holder("head", block(C, 1), "head", [row(1, 12), row(1, 13)]),
    ];
    for (const when of ["onRanges", "onKeys"] as const) {
      const all = make();
      all[2][when] = () => {
        if (all[2].rows.length < 4) all[2].rows.push(row(2, 11), row(1, 14));
      };
      expect(await asked(all)).toEqual([11, 12, 13]);
    }
  });
  it("does so even if it did not overlap with the other source when listed", async () => {
    const x = new Holder("x", { ...block(A, 1), minTimeMs: 1, maxTimeMs: 5 }, "block", [row(1, 3)]),
      head = new Holder("head", block(C, 1), "head", [row(1, 12)]);
    const execute = x.execute.bind(x);
    x.execute = (...args) => {
      head.rows.push(row(1, 3));
      return execute(...args);
    };
    expect(await asked([x, head])).toEqual([3, 12]);
  });
  it("counts once what a replica that was away missed, if that replica alone was listed with the next profile", async () => {
    // `back` missed 12 and 13: its row of 14 is the growth since 11. `kept` is listed before 14 arrives.
    const kept = new Holder("kept", block(A, 1), "head", [row(1, 11), row(1, 12), row(1, 13)]),
      back = new Holder("back", block(B, 1), "head", [row(1, 11), row(1, 14, 3)]);
    kept.onRanges = () => kept.rows.push(row(1, 14), row(2, 12), row(1, 15));
    expect(await countedRows([kept, back])).toEqual([11, 12, 13, 14].map((key) => row(1, key)));
  });
  it("is replanned if it is cut during the query", async () => {
    const x = new Holder("x", block(A, 1), "block", [row(1, 11)]),
      head = new Holder("head", block(C, 1), "head", [row(1, 11), row(1, 12)]);
    let cuts = 0;
    head.onRanges = () => {
      if (cuts++ === 0) {
        (head as { form: string }).form = "block";
        head.rows = [row(1, 10), row(1, 11), row(1, 12)];
      }
    };
    expect([await asked([x, head]), cuts]).toEqual([[10, 11, 12], 2]);
  });
});

describe("a querier without the complete list of data holders", () => {
  const ask = async (
    unknown: { ingesters: string; stores: string },
    coveredBy: SourceClients["coveredBy"],
  ) => {
    const store = new Store([block(A, 1)], [A], []);
    const r = await new Querier({ ...sources(store), coveredBy, unknown: () => unknown }, base).run(
      "t",
      { kind: "select", query: QUERY },
      Date.now() + 1000,
      signal,
    );
    return { warnings: r.warnings, digest: r.kind === "select" ? r.digest : undefined };
  };
  it("returns an uncached partial answer, unless the responding ingesters cover the partitions", async () => {
    const silent: number[] = [];
    const reason = "the roster of ingesters has not been read yet";
    const direct = await ask({ ingesters: reason, stores: "" }, (_, n) => {
      silent.push(n);
      return Promise.resolve(n <= 1);
    });
    expect([direct, silent]).toEqual([{ warnings: [reason], digest: "" }, [Infinity]]);
    const covered = await ask({ ingesters: reason, stores: "" }, () => Promise.resolve(true));
    expect([covered.warnings, covered.digest === ""]).toEqual([[], false]);
  });
  it("returns a partial answer without a store-gateway, even if ingesters cover the partitions", async () => {
    const r = await ask({ ingesters: "", stores: "no store-gateway" }, () => Promise.resolve(true));
    expect(r).toEqual({ warnings: ["no store-gateway"], digest: "" });
  });
});

describe("a strong read", () => {
  it("does not use a lagging ingester's answer when the caught-up ingester stops responding", async () => {
    // `ahead` has read everything and stops before it lists its blocks; `behind` needs a moment.
    class Ingester extends Store {
      override readonly name: string;
      alive = true;
      constructor(name: string, blocks: BlockInfo[]) {
        super(
          blocks,
          blocks.map((b) => b.ulid),
          blocks,
        );
        this.name = name;
      }
      override blocks(): Promise<BlockInfo[]> {
        return this.alive ? super.blocks() : Promise.reject(new CinderblockError("unavailable", "gone"));
      }
    }
    const ahead = new Ingester("ahead", [block(A, 1), block(B, 1)]),
      behind = new Ingester("behind", [block(A, 1)]);
    let asked = 0;
    const all: SourceClients = {
      ingesters: () => [ahead, behind],
      stores: () => [],
      coveredBy: () => Promise.resolve(false),
      refresh: () => Promise.resolve(),
      reach: () => {
        if (asked++ === 0) {
          ahead.alive = false;
          return Promise.resolve([["ahead"]]);
        }
        behind.listed = [block(A, 1), block(B, 1)];
        behind.there.add(B);
        return Promise.resolve([["behind"]]);
      },
    };
    const r = await new Querier(all, base).run(
      "t",
      { kind: "select", query: QUERY, ends: [7] },
      Date.now() + 1000,
      signal,
    );
    expect([r.warnings, asked, behind.asked]).toEqual([[], 2, [[A, B]]]);
  });
});

describe("a damaged block", () => {
  /** A store-gateway that cannot read one of its blocks. */
  class Damaged extends Store {
    override execute(t: string, ulids: readonly string[]): Promise<ExecuteAnswer> {
      if (!ulids.includes(A)) return super.execute(t, ulids);
      this.asked.push([...ulids].sort());
      return Promise.reject(this.error);
    }
    error: Error = new CorruptError("column Samples", 7, "expected 3 rows", { detail: { block: A } });
  }
  const ask = (store: Store): Promise<JobResult> =>
    new Querier(sources(store), base).run("t", { kind: "select", query: QUERY }, Date.now() + 1000, signal);

  it("is found by the detail of the error, and a new plan leaves it out and says so", async () => {
    const store = new Damaged([block(A, 1), block(B, 1)], [A, B], []);
    const { warnings } = await ask(store);
    expect(store.asked).toEqual([[A, B], [B]]);
    expect(warnings.join()).toContain(A);
  });

  it("fails the query if the error names no block in its detail, whatever its message says", async () => {
    const store = new Damaged([block(A, 1), block(B, 1)], [A, B], []);
    store.error = new CinderblockError("corrupt", `${A}/profiles.parquet: damaged`);
    await expect(ask(store)).rejects.toMatchObject({ kind: "corrupt" });
  });
});

describe("a stalled ingester", () => {
  it("delays the first query until its detection, the next queries by half a second, and none after its recovery", async () => {
    /** A stalled ingester: neither answers nor refuses until it resumes. */
    class Ingester extends Store {
      override readonly name = "ingester-0";
      stands = true;
      private now<T>(value: () => Promise<T>, timeoutMs: number): Promise<T> {
        return this.stands
          ? new Promise((_, reject) => {
              setTimeout(() => {
                reject(new CinderblockError("unavailable", "no answer"));
              }, timeoutMs).unref();
            })
          : value();
      }
      ping(timeoutMs: number): Promise<void> {
        return this.now(() => Promise.resolve(), timeoutMs);
      }
      override blocks(): Promise<BlockInfo[]> {
        return this.now(() => super.blocks(), 60_000);
      }
    }
    const ingester = new Ingester([block(A, 1)], [A], []),
      store = new Store([block(B, 1)], [B], []);
    class Other extends Store {
      override readonly name = "ingester-1";
    }
    const other = new Other([], [], []),
      querier = new Querier({ ...sources(store), ingesters: () => [ingester, other] }, base);
    const ask = async (): Promise<{ ms: number; warnings: string[] }> => {
      const from = performance.now(),
        { warnings } = await querier.run("t", { kind: "select", query: QUERY }, Date.now() + 60_000, signal);
      return { ms: performance.now() - from, warnings };
    };
    const first = await ask(),
      second = await ask();
    expect([first.warnings, second.warnings]).toEqual([
      ["ingester ingester-0 did not respond"],
      ["ingester ingester-0 did not respond"],
    ]);
    expect(first.ms).toBeGreaterThan(2000);
    expect(second.ms).toBeLessThan(first.ms / 2);
    ingester.stands = false;
    expect((await ask()).warnings).toEqual([]);
    ingester.stands = true;
    expect((await ask()).ms).toBeGreaterThan(2000); // it recovered: full ping timeout again
  }, 20_000);
});
