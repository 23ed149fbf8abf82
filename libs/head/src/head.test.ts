import fs, { cpSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { IngestLimits } from "@cinderblock/tenant";
import { executeOn, rowKeys } from "@cinderblock/query";
import { temporaryFolder } from "@cinderblock/testkit";
import { logDirectory, removeUnfinished } from "./index.ts";
import { FRAME_BYTES } from "./log-frames.ts";
import { ALLOC, alloc, CPU, cpu, flat, HOUR, Instance, MEMORY, SECOND, T0 } from "./shard.testing.ts";

describe("a shard of heads", () => {
  it("returns the same from memory, from the log after a crash, and from the block", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    for (let i = 0; i < 20; i++)
      await a.push({ ...CPU, pod: `p${i % 3}` }, cpu(T0 + BigInt(i) * SECOND, i + 1));
    const expected = ["/main 230 20", "/main/work 210 210"];
    expect(await a.tree()).toEqual(expected);
    // Simulate a crash: open another instance over a copy of the files, without closing the first.
    const copy = temporaryFolder();
    cpSync(a.dir, copy, { recursive: true });
    const b = new Instance(copy);
    const report = await b.start();
    expect(report.rows).toBe(20);
    expect(await b.tree()).toEqual(expected);
    await b.push({ ...CPU, pod: "p0" }, cpu(T0 + 100n * SECOND, 1000));
    await b.shard.flush();
    expect(b.blocks).toHaveLength(1);
    expect(b.shard.sources("t")).toHaveLength(0);
    expect(await b.tree()).toEqual(["/main 1231 21", "/main/work 1210 1210"]);
    // The log is empty, and a restart replays nothing.
    expect((await new Instance(copy).start()).rows).toBe(0);
  });

  it("counts a retry once, and two profiles of one series and one time twice, before and after the cut", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    await a.push(CPU, cpu(T0, 5));
    await a.push(CPU, cpu(T0, 7));
    const expected = ["/main 14 2", "/main/work 12 12"];
    expect(await a.tree()).toEqual(expected);
    await a.shard.flush();
    expect(await a.tree()).toEqual(expected);
    // A retry after the cut goes to another head; equal row keys identify the duplicate.
    await a.push(CPU, cpu(T0, 5));
    const keys = await Promise.all(
      (await a.sources()).map((s) =>
        rowKeys(s, {
          profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
          labelSelector: "{}",
          startMs: 1,
          endMs: 2e12,
        }),
      ),
    );
    const ids = keys.flatMap((k) =>
      [...k.row.keys()].map((i) => Buffer.from(k.id.subarray(i * 16, i * 16 + 16)).toString("hex")),
    );
    expect(new Set(ids).size).toBe(2);
    expect(ids).toHaveLength(3);
  });

  it("answers from consistent columns while profiles arrive between a query's steps", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    const [head] = await a.sources(),
      select = {
        profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
        labelSelector: "{}",
        startMs: 1,
        endMs: 2e12,
      };
    // The query starts, then one turn handles a thousand pushes: by then every column has been reallocated.
    const keys = rowKeys(head!, select),
      series = executeOn(
        [head!],
        {
          kind: "series",
          select,
          range: { startMs: 1, endMs: 4e12, stepMs: 1e12, groupBy: [] },
          callSite: [],
        },
        {},
      );
    for (let i = 0; i < 1000; i++) void a.push(CPU, cpu(T0 + BigInt(i + 1), 1));
    const [k, r] = await Promise.all([keys, series]);
    expect(k.row.length).toBe(k.upTo);
    expect(k.total.every((t) => t > 0n)).toBe(true);
    expect(r.kind === "series" && r.series.flatMap((s) => s.sum).reduce((x, y) => x + y, 0n) > 0n).toBe(true);
  });

  it("replays after a crash between the block's rename and its log record: the block replaces the head", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    const log = temporaryFolder();
    cpSync(logDirectory(a.dir, 0), log, { recursive: true });
    await a.shard.flush();
    // Restore the log from before the block was finished.
    for (const f of readdirSync(logDirectory(a.dir, 0))) writeFileSync(join(logDirectory(a.dir, 0), f), "");
    cpSync(log, logDirectory(a.dir, 0), { recursive: true });
    const b = new Instance(a.dir);
    expect((await b.start()).rows).toBe(0);
    expect(existsSync(join(a.dir, "t", "local", a.blocks[0]!.ulid, "meta.json"))).toBe(true);
  });

  it("keeps the log of a head whose block reads back with other bytes than were written", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    const expected = ["/main 6 1", "/main/work 5 5"];
    expect(await a.tree()).toEqual(expected);
    // The disk damages the last byte of each table.
    const write = fs.writeSync;
    jest.spyOn(fs, "writeSync").mockImplementation(((
      fd: number,
      bytes: Uint8Array,
      at: number,
      n: number,
    ) => {
      const damaged = Uint8Array.from(bytes);
      if (Buffer.from(bytes).toString("latin1", 0, 4) === "PAR1") damaged[damaged.length - 1]! ^= 1;
      return write(fd, damaged, at, n);
    }) as typeof fs.writeSync);
    try {
      await expect(a.shard.flush()).rejects.toThrow("bytes just written");
    } finally {
      jest.restoreAllMocks();
    }
    expect(a.blocks).toEqual([]);
    const b = new Instance(a.dir);
    removeUnfinished(join(a.dir, "t"));
    await b.start();
    expect(await b.tree()).toEqual(expected);
    await b.shard.flush();
    expect(b.blocks).toHaveLength(1);
    expect(await b.tree()).toEqual(expected);
  });

  it("opens one head for each window of profile time", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 1));
    await a.push(CPU, cpu(T0 - 2n * HOUR, 2));
    expect(a.shard.sources("t")).toHaveLength(2);
    await a.shard.flush();
    expect(a.blocks).toHaveLength(2);
  });

  it("stores differences of cumulative profiles across cuts and crashes, and treats a decrease as a reset", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(MEMORY, alloc(T0, 100, 10)); // only a baseline
    expect(await a.tree(ALLOC)).toEqual([]);
    await a.push(MEMORY, alloc(T0 + SECOND, 130, 10));
    await a.shard.flush();
    await a.push(MEMORY, alloc(T0 + 2n * SECOND, 130, 25));
    expect(await a.tree(ALLOC)).toEqual(["/main 45 0", "/main/a 30 30", "/main/b 15 15"]);
    const copy = temporaryFolder();
    cpSync(a.dir, copy, { recursive: true });
    const b = new Instance(copy);
    await b.start();
    b.blocks = a.blocks;
    await b.push(MEMORY, alloc(T0 + 2n * SECOND, 500, 500)); // not newer: changes nothing
    await b.push(MEMORY, alloc(T0 + 3n * SECOND, 150, 25));
    expect(await b.tree(ALLOC)).toEqual(["/main 65 0", "/main/a 50 50", "/main/b 15 15"]);
    await b.push(MEMORY, alloc(T0 + 4n * SECOND, 10, 10)); // decreased: a new baseline
    await b.push(MEMORY, alloc(T0 + 5n * SECOND, 11, 10));
    expect(await b.tree(ALLOC)).toEqual(["/main 66 0", "/main/a 51 51", "/main/b 15 15"]);
  });

  it("updates baselines from profiles that other ingesters store, and drops baselines of moved services, also across a crash", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.learn(MEMORY, alloc(T0, 100, 10));
    expect(a.shard.baselineServices()).toEqual([{ tenant: "t", service: "shop" }]);
    await a.push(MEMORY, alloc(T0 + SECOND, 140, 14));
    expect(await a.tree(ALLOC)).toEqual(["/main 44 0", "/main/a 40 40", "/main/b 4 4"]);
    const b = new Instance(a.dir);
    await b.start();
    await b.learn(MEMORY, alloc(T0 + 2n * SECOND, 200, 20));
    await b.push(MEMORY, alloc(T0 + 3n * SECOND, 201, 20));
    expect(await b.tree(ALLOC)).toEqual(["/main 45 0", "/main/a 41 41", "/main/b 4 4"]);
    expect(
      b.shard.forgetBaselines([
        { tenant: "t", service: "other" },
        { tenant: "u", service: "shop" },
      ]),
    ).toBe(0);
    expect(b.shard.forgetBaselines([{ tenant: "t", service: "shop" }])).toBeGreaterThan(0);
    await b.shard.commit();
    const c = new Instance(a.dir);
    await c.start();
    expect(c.shard.baselineServices()).toEqual([]);
    // Other ingesters counted the profiles in between: the next profile sets a baseline.
    await c.push(MEMORY, alloc(T0 + 4n * SECOND, 900, 90));
    await c.push(MEMORY, alloc(T0 + 5n * SECOND, 902, 90));
    expect(await c.tree(ALLOC)).toEqual(["/main 47 0", "/main/a 43 43", "/main/b 4 4"]);
  });

  it("stores cumulative profiles unchanged if the series requests it", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push({ ...MEMORY, __delta__: "false" }, alloc(T0, 100, 10));
    expect(await a.tree(ALLOC)).toEqual(["/main 110 0", "/main/a 100 100", "/main/b 10 10"]);
  });

  it("survives a torn tail at every byte: earlier records remain", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    const path = join(logDirectory(a.dir, 0), readdirSync(logDirectory(a.dir, 0))[0]!);
    const before = readFileSync(path).length;
    await a.push(CPU, cpu(T0 + SECOND, 7));
    const whole = readFileSync(path);
    for (let size = before; size < whole.length; size += 3) {
      const copy = temporaryFolder();
      cpSync(a.dir, copy, { recursive: true });
      truncateSync(join(logDirectory(copy, 0), readdirSync(logDirectory(copy, 0))[0]!), size);
      const b = new Instance(copy);
      const report = await b.start();
      expect(report.rows).toBe(1);
      expect(report.tornBytes).toBe(size - before);
      expect(await b.tree()).toEqual(["/main 6 1", "/main/work 5 5"]);
    }
  });

  it("quarantines a damaged record, names it, and keeps adjacent records with their symbols", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    const path = (): string => join(logDirectory(a.dir, 0), readdirSync(logDirectory(a.dir, 0))[0]!);
    await a.push(CPU, cpu(T0, 5));
    const from = readFileSync(path()).length;
    await a.push(CPU, { stacks: [{ frames: ["main", "lost"], values: [3] }], timeNanos: T0 + SECOND });
    const to = readFileSync(path()).length;
    await a.push(CPU, { stacks: [{ frames: ["main", "kept"], values: [11] }], timeNanos: T0 + 2n * SECOND });
    const bytes = readFileSync(path());
    bytes[from + Math.floor((to - from) / 2)]! ^= 0x40;
    writeFileSync(path(), bytes);
    const b = new Instance(a.dir);
    const report = await b.start();
    // The batch mark after the record is intact.
    expect(report.damaged).toEqual([{ segment: 1, offset: from, bytes: to - from - FRAME_BYTES - 1 }]);
    expect(await b.tree()).toEqual(["/main 17 1", "/main/kept 11 11", "/main/work 5 5"]);
  });

  it("adopts the log of a shard without a worker", async () => {
    const dir = temporaryFolder();
    const old = new Instance(dir, 3);
    await old.start();
    await old.push(CPU, cpu(T0, 5));
    const now = new Instance(dir, 0);
    await now.start({ orphans: [3] });
    await now.push(CPU, cpu(T0 + SECOND, 7));
    expect(await now.tree()).toEqual(["/main 14 2", "/main/work 12 12"]);
    await now.shard.flush();
    expect(await now.tree()).toEqual(["/main 14 2", "/main/work 12 12"]);
    expect((await new Instance(dir, 0).start({ orphans: [3] })).rows).toBe(0);
  });

  it("leaves stacks without any named frame out of call trees, as v1, but not out of sums", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, {
      stacks: [
        { frames: ["start", "poll"], values: [5] },
        { frames: ["start", "main", "poll"], values: [7] },
        { frames: ["main"], values: [9] },
      ],
      bare: ["start", "poll"],
      address: 0x401000,
      symbolized: false,
      timeNanos: T0,
    });
    const series = async (): Promise<bigint[]> => {
      const r = await executeOn(
        await a.sources(),
        {
          kind: "series",
          select: {
            profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            labelSelector: "{}",
            startMs: 1,
            endMs: 2e12,
          },
          range: { startMs: 1, endMs: 4e12, stepMs: 1e12, groupBy: [] },
          callSite: [],
        },
        {},
      );
      return r.kind === "series" ? r.series.flatMap((s) => [...s.sum]).filter((v) => v > 0n) : [];
    };
    for (const cut of [false, true]) {
      if (cut) await a.shard.flush();
      expect([await a.tree(), await series()]).toEqual([["/main 16 16"], [21n]]);
    }
  });

  it("keeps spans with their samples through the cut", async () => {
    const a = new Instance(temporaryFolder());
    await a.start();
    await a.push(CPU, {
      stacks: [
        { frames: ["main", "s"], values: [3], labels: { span_id: "0102030405060708" } },
        { frames: ["main", "s"], values: [4], labels: { span_id: "1112131415161718" } },
        { frames: ["main"], values: [9] },
      ],
      timeNanos: T0,
    });
    const ask = async (): Promise<string[]> => {
      const r = await executeOn(
        await a.sources(),
        {
          kind: "tree",
          select: {
            profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            labelSelector: "{}",
            startMs: 1,
            endMs: 2e12,
          },
          spans: ["1112131415161718"],
          maxNodes: 0,
        },
        {},
      );
      return r.kind === "tree" ? flat(r.tree) : [];
    };
    expect(await ask()).toEqual(["/main 4 0", "/main/s 4 4"]);
    await a.shard.flush();
    expect(await ask()).toEqual(["/main 4 0", "/main/s 4 4"]);
    expect(await a.tree()).toEqual(["/main 16 9", "/main/s 7 7"]);
  });

  it("keeps the totals of sampled-out profiles, without stacks, in a separate series, through a crash and the cut", async () => {
    const dir = temporaryFolder(),
      none: Partial<IngestLimits> = {
        usageGroups: [{ name: "all", selector: "{}" }],
        sampling: [{ group: "all", probability: 0 }],
        keepStripped: true,
      };
    const a = new Instance(dir);
    await a.start();
    await a.push(CPU, cpu(T0, 5));
    await a.push(
      CPU,
      {
        stacks: [
          { frames: ["main", "s"], values: [3], labels: { span_id: "0102030405060708" } },
          { frames: ["main", "t"], values: [4], labels: { pod: "p" } },
          { frames: ["main"], values: [9] },
        ],
        timeNanos: T0 + SECOND,
      },
      undefined,
      none,
    );
    await a.push(MEMORY, alloc(T0, 100, 10), undefined, none);
    await a.push(MEMORY, alloc(T0 + SECOND, 130, 15), undefined, none);
    await a.push(CPU, cpu(T0 + SECOND, 7), undefined, { ...none, keepStripped: false });
    const startMs = Number(T0 / 1_000_000n),
      sums = async (of: Instance, type: string): Promise<string[]> => {
        const r = await executeOn(
          await of.sources(),
          {
            kind: "series",
            select: { profileTypeId: type, labelSelector: "{}", startMs, endMs: startMs + 9000 },
            range: {
              startMs: startMs + 9000,
              endMs: startMs + 9000,
              stepMs: 9000,
              groupBy: ["__sampled__", "pod"],
            },
            callSite: [],
          },
          {},
        );
        return r.kind === "series"
          ? r.series
              .map((s) => `${s.labels.map((l) => `${l.name}=${l.value}`).join(" ")}: ${s.sum.join(" ")}`)
              .sort()
          : [];
      };
    const look = async (of: Instance): Promise<unknown> => [
      await sums(of, "process_cpu:cpu:nanoseconds:cpu:nanoseconds"),
      await sums(of, ALLOC),
      await of.tree(),
      await of.tree("process_cpu:cpu:nanoseconds:cpu:nanoseconds", '{__sampled__="true"}'),
    ];
    const expected = [
      [": 6", "__sampled__=true pod=p: 4", "__sampled__=true: 12"],
      ["__sampled__=true: 35"],
      ["/main 6 1", "/main/work 5 5"],
      [],
    ];
    expect(await look(a)).toEqual(expected);
    await a.shard.close();
    const b = new Instance(dir);
    await b.start();
    expect(await look(b)).toEqual(expected);
    await b.shard.flush();
    expect(await look(b)).toEqual(expected);
  });

  it("keeps annotations through a crash and the cut, and returns them with their points", async () => {
    const dir = temporaryFolder(),
      limit = (periodType: string): Partial<IngestLimits> => ({
        ingestionLimit: {
          reached: true,
          periodType,
          periodLimitMb: 1,
          resetMs: 0,
          trickle: undefined,
          groupsOverLimit: [],
        },
      });
    const a = new Instance(dir);
    await a.start();
    for (let i = 0; i < 6; i++)
      await a.push(
        CPU,
        cpu(T0 + BigInt(i) * 10n * SECOND, 1),
        undefined,
        i < 4 ? {} : limit(i === 4 ? "hour" : "day"),
      );
    await a.push({ ...CPU, pod: "p" }, cpu(T0 + 55n * SECOND, 1), undefined, limit("day"));
    const startMs = Number(T0 / 1_000_000n),
      points = async (of: Instance): Promise<string[]> => {
        const r = await executeOn(
          await of.sources(),
          {
            kind: "series",
            select: {
              profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
              labelSelector: "{}",
              startMs,
              endMs: startMs + 90_000,
            },
            range: { startMs: startMs + 30_000, endMs: startMs + 90_000, stepMs: 30_000, groupBy: [] },
            callSite: [],
          },
          {},
        );
        return r.kind === "series"
          ? r.series.flatMap((s) =>
              s.sum.map(
                (v, i) =>
                  `${v} ${(s.annotations?.[i] ?? []).map((x) => `${x.key}=${(JSON.parse(x.value) as { body: { periodType: string } }).body.periodType}`).join(" ")}`,
              ),
            )
          : [];
      };
    const expected = ["8 ", "6 pyroscope.ingest.throttled=day pyroscope.ingest.throttled=hour"];
    expect(await points(a)).toEqual(expected);
    await a.shard.close();
    const b = new Instance(dir);
    await b.start();
    expect(await points(b)).toEqual(expected);
    await b.shard.flush();
    expect(b.blocks.length).toBe(1);
    expect(await points(b)).toEqual(expected);
  });

  it("merges held profiles into one row by series, time and type, with the same totals, through a crash and the cut", async () => {
    const session = (s: string) => ({ ...CPU, pod: "p", __session_id__: s }),
      spans = (at: bigint, v: number) => ({
        stacks: [
          { frames: ["main", "s"], values: [v], labels: { span_id: "0102030405060708" } },
          { frames: ["main", "s"], values: [1], labels: { span_id: "1112131415161718" } },
          { frames: ["main"], values: [2] },
        ],
        timeNanos: at,
      });
    const hour: Partial<IngestLimits> = {
      ingestionLimit: {
        reached: true,
        periodType: "hour",
        periodLimitMb: 1,
        resetMs: 0,
        trickle: undefined,
        groupsOverLimit: [],
      },
    };
    const together: Parameters<Instance["pushTogether"]>[1] = [
      [session("s1"), cpu(T0 + 5n * SECOND, 3)],
      [session("s2"), cpu(T0 + 2n * SECOND, 4)],
      [session("s1"), { stacks: [{ frames: ["main", "other"], values: [8] }], timeNanos: T0 + 7n * SECOND }], // one row, from 2 s
      [session("s1"), cpu(T0 + 5n * SECOND, 3)], // a retry
      [session("s1"), cpu(T0 + 12n * SECOND, 5)], // the next window
      [{ ...CPU, pod: "q" }, cpu(T0 + 3n * SECOND, 6), hour], // another series
      [{ ...CPU, pod: "r" }, spans(T0 + 1n * SECOND, 10)],
      [{ ...CPU, pod: "r" }, spans(T0 + 2n * SECOND, 20), hour],
      [{ ...CPU, pod: "r" }, cpu(T0 + 3n * SECOND, 7)],
      [MEMORY, alloc(T0 + 1n * SECOND, 100, 10)],
      [MEMORY, alloc(T0 + 2n * SECOND, 130, 15)],
      [MEMORY, alloc(T0 + 3n * SECOND, 190, 15)], // cumulative: each is compared with its predecessor
    ];
    const one = new Instance(temporaryFolder()),
      apart = new Instance(temporaryFolder()),
      replica = new Instance(temporaryFolder());
    for (const i of [one, apart, replica]) await i.start();
    for (const p of together) await apart.push(p[0], p[1], undefined, { maxSessionsPerSeries: 8, ...p[2] });
    await one.pushTogether(10n * SECOND, together);
    // the replica already had a part of it
    await replica.push(session("s1"), cpu(T0 + 5n * SECOND, 3), undefined, { maxSessionsPerSeries: 8 });
    await replica.pushTogether(10n * SECOND, together);
    const keys = async (of: Instance): Promise<string[]> =>
      (
        await Promise.all(
          (
            await of.sources()
          ).map((s) =>
            rowKeys(s, {
              profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
              labelSelector: "{}",
              startMs: 1,
              endMs: 2e12,
            }),
          ),
        )
      )
        .flatMap((k) =>
          [...k.timeNanos].map(
            (t, i) =>
              `${(t - T0) / SECOND} ${Buffer.from(k.id.subarray(i * 16, i * 16 + 16)).toString("hex")} ${k.total[i]}`,
          ),
        )
        .sort();
    const withoutId = (row: string): string => row.replace(/ \w{32} /, ": ");
    const look = async (of: Instance): Promise<unknown> => {
      const bySpan = await executeOn(
        await of.sources(),
        {
          kind: "tree",
          select: {
            profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
            labelSelector: "{}",
            startMs: 1,
            endMs: 2e12,
          },
          spans: ["0102030405060708"],
          maxNodes: 0,
        },
        {},
      );
      const startMs = Number(T0 / 1_000_000n),
        remarked = await executeOn(
          await of.sources(),
          {
            kind: "series",
            select: {
              profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
              labelSelector: "{}",
              startMs,
              endMs: startMs + 30_000,
            },
            range: { startMs: startMs + 30_000, endMs: startMs + 30_000, stepMs: 30_000, groupBy: ["pod"] },
            callSite: [],
          },
          {},
        );
      return [
        await of.tree(),
        await of.tree(ALLOC),
        await of.tree(undefined, '{pod="r"}'),
        bySpan.kind === "tree" ? flat(bySpan.tree) : [],
        remarked.kind === "series"
          ? remarked.series.map((x) => [x.labels[0]?.value, x.annotations?.flat().length ?? 0])
          : [],
      ];
    };
    const expected = [
      ["/main 74 9", "/main/other 8 8", "/main/s 32 32", "/main/work 25 25"],
      ["/main 95 0", "/main/a 90 90", "/main/b 5 5"],
      ["/main 44 5", "/main/s 32 32", "/main/work 7 7"],
      ["/main 30 0", "/main/s 30 30"],
      [
        ["p", 0],
        ["q", 1],
        ["r", 1],
      ],
    ];
    expect(await look(apart)).toEqual(expected);
    expect(await look(one)).toEqual(expected);
    const rows = await keys(one);
    expect(rows.map(withoutId)).toEqual(["1: 44", "12: 6", "2: 17", "3: 7"]);
    expect(await keys(apart)).toHaveLength(8);
    // A replica that already had some of the profiles names the rows alike: of the two totals, the smaller
    // counts.
    const named = (r: string): string => r.slice(0, r.lastIndexOf(" "));
    expect((await keys(replica)).map(named)).toEqual(expect.arrayContaining(rows.map(named)));
    expect((await keys(replica)).map(withoutId)).toEqual(["1: 44", "12: 6", "2: 13", "3: 7", "5: 4"]);
    // Replaying the same pushes adds nothing, before and after a crash.
    await one.pushTogether(10n * SECOND, together);
    expect(await keys(one)).toEqual(rows);
    const copy = temporaryFolder();
    cpSync(one.dir, copy, { recursive: true });
    const b = new Instance(copy);
    await b.start();
    expect(await look(b)).toEqual(expected);
    await b.pushTogether(10n * SECOND, together);
    expect(await keys(b)).toEqual(rows);
    await b.shard.flush();
    expect(await look(b)).toEqual(expected);
    expect(await keys(b)).toEqual(rows);
  });
});
