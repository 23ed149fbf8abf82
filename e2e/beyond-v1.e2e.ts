import { gzipSync } from "node:zlib";
import { Random, tinyPprof } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";

// Reads that v1 leaves unimplemented or ignores: heatmaps, exemplars, selectors of stacks, spans, traces and
// profiles. The tests compare the answers with sums over the list of pushed profiles.
const START = Math.floor(Date.now() / 3600_000) * 3600_000 - 7200_000,
  END = START + 3600_000,
  STEP = 300;
interface Sample {
  frames: string[];
  value: number;
  span: string;
  trace: string;
}
interface Pushed {
  pod: string;
  region: string;
  timeMs: number;
  samples: Sample[];
}

const random = new Random(20261126),
  pick = <T>(of: readonly T[]): T => of[random.below(of.length)]!;
const SPANS = ["00000000000000a1", "fedcba9876543210", "0123456789abcdef"],
  TRACES = [
    "000000000000000000000000000000b1",
    "0123456789abcdeffedcba9876543210",
    "0123456789abcdef0000000000000001",
  ];
/** Each span of a profile belongs to one trace, or to no known trace. */
const traceOf = (profile: number, span: string): string => TRACES[(profile + SPANS.indexOf(span)) % 4] ?? "";
/** Values are distinct powers of two, so equal sums mean equal samples. */
const pushed: Pushed[] = Array.from({ length: 90 }, (_, i) => ({
  pod: `shop-${i % 3}`,
  region: i % 3 === 2 ? "us" : "eu",
  timeMs: START + 1 + random.below(3600_000 - 2),
  samples: Array.from({ length: 1 + random.below(6) }, () => ({
    frames: [
      "main",
      ...Array.from({ length: 1 + random.below(3) }, () => pick(["serve", "parse", "write", "größe"])),
    ],
    value: 1 + random.below(2 ** 30),
    span: pick(["", ...SPANS]),
  })).map((s) => ({ ...s, trace: s.span === "" ? pick(["", TRACES[0]!]) : traceOf(i, s.span) })),
}));
const total = (p: Pushed, keep: (s: Sample) => boolean = () => true): number =>
  p.samples.filter(keep).reduce((n, s) => n + s.value, 0);
const sum = (list: readonly Pushed[], keep?: (s: Sample) => boolean): number =>
  list.reduce((n, p) => n + total(p, keep), 0);
const startsWith =
  (site: readonly string[]) =>
  (s: Sample): boolean =>
    site.every((f, i) => s.frames[i] === f);

type Labels = { name: string; value: string }[];
interface Exemplar {
  timestamp: string;
  profileId?: string;
  spanId?: string;
  traceId?: string;
  value: string;
  labels?: Labels;
}
interface Point {
  timestamp: string;
  value: number;
  exemplars?: Exemplar[];
}
interface Slot {
  timestamp: string;
  yMin: number[];
  counts: number[];
  exemplars?: Exemplar[];
}
const text = (labels: Labels | undefined): string =>
  (labels ?? [])
    .map((l) => `${l.name}=${l.value}`)
    .sort()
    .join();

/** One profile, or one span of a profile, in the reference list. */
interface Thing {
  p: Pushed;
  span: string;
  value: number;
}
const profiles = pushed.map((p): Thing => ({ p, span: "", value: total(p) }));
const spans = pushed.flatMap((p) =>
  [...new Set(p.samples.map((s) => s.span).filter((s) => s !== ""))].map(
    (span): Thing => ({ p, span, value: total(p, (s) => s.span === span) }),
  ),
);
/** Right edge of the step that contains a time. */
const edge = (ms: number): number => START + Math.ceil((ms - START) / (STEP * 1000)) * STEP * 1000;
const exemplarOf = (t: Thing, groupBy: readonly string[]): object => ({
  timestamp: String(t.p.timeMs),
  value: String(t.value),
  ...(t.span === "" ? {} : { spanId: t.span }),
  ...(t.span !== "" && traceOf(pushed.indexOf(t.p), t.span) !== ""
    ? { traceId: traceOf(pushed.indexOf(t.p), t.span) }
    : {}),
  labels: text(
    [
      { name: "pod", value: t.p.pod },
      { name: "region", value: t.p.region },
      { name: "service_name", value: "shop" },
    ].filter((l) => !groupBy.includes(l.name)),
  ),
});
const shown = (e: Exemplar): object => {
  const { profileId, labels, ...rest } = e;
  expect(profileId).toMatch(/^[0-9a-f-]{36}$/);
  return { ...rest, labels: text(labels) };
};

describe.each(["in memory", "in blocks"])("reads beyond v1, %s", (where) => {
  const server = new Server();
  beforeAll(async () => {
    await server.start();
    for (const p of pushed) {
      const rawProfile = gzipSync(
        tinyPprof({
          timeNanos: BigInt(p.timeMs) * 1_000_000n,
          stacks: p.samples.map((s) => ({
            frames: s.frames,
            values: [s.value],
            labels: {
              ...(s.span === "" ? {} : { span_id: s.span }),
              ...(s.trace === "" ? {} : { trace_id: s.trace }),
            },
          })),
        }),
      ).toString("base64");
      const labels = [
        { name: "__name__", value: "process_cpu" },
        { name: "service_name", value: "shop" },
        { name: "pod", value: p.pod },
        { name: "region", value: p.region },
      ];
      expect(
        (
          await server.json("/push.v1.PusherService/Push", {
            series: [{ labels, samples: [{ rawProfile }] }],
          })
        ).status,
      ).toBe(200);
    }
    if (where === "in blocks") await server.flush();
  });
  afterAll(() => server.stop());

  const ask = async <T>(method: string, more: object): Promise<T> => {
    const { status, body } = await server.json(`/querier.v1.QuerierService/${method}`, {
      profileTypeID: CPU,
      labelSelector: "{}",
      start: String(START),
      end: String(END),
      ...more,
    });
    if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
    return body as T;
  };
  const refused = async (
    method: string,
    more: object,
  ): Promise<{ status: number; code: unknown; message: string }> => {
    const { status, body } = await server.json(`/querier.v1.QuerierService/${method}`, {
      profileTypeID: CPU,
      labelSelector: "{}",
      start: String(START),
      end: String(END),
      ...more,
    });
    return { status, code: body.code, message: String(body.message) };
  };
  const flameTotal = async (more: object): Promise<number> =>
    Number(
      (await ask<{ flamegraph: { total?: string } }>("SelectMergeStacktraces", more)).flamegraph.total ?? 0,
    );
  const profileTotal = async (more: object): Promise<number> =>
    ((await ask<{ sample?: { value: string[] }[] }>("SelectMergeProfile", more)).sample ?? []).reduce(
      (n, s) => n + Number(s.value[0]),
      0,
    );
  /** Total by right edge and group, from the reference list. */
  const groupsOf = (
    things: readonly Thing[],
    groupBy: readonly ("pod" | "region")[],
  ): Map<string, Map<number, Thing[]>> => {
    const out = new Map<string, Map<number, Thing[]>>();
    for (const t of things) {
      const key = groupBy
          .map((g) => `${g}=${t.p[g]}`)
          .sort()
          .join(),
        slots = out.get(key) ?? new Map<number, Thing[]>(),
        at = edge(t.p.timeMs);
      slots.set(at, [...(slots.get(at) ?? []), t]);
      out.set(key, slots);
    }
    return out;
  };

  it.each([
    ["INDIVIDUAL", profiles],
    ["SPAN", spans],
  ] as const)(
    "heatmaps of %s count everything once, and their exemplars are the largest of each cell",
    async (kind, things) => {
      for (const groupBy of [[], ["pod"], ["region", "pod"]] as ("pod" | "region")[][]) {
        const { series } = await ask<{ series: { labels?: Labels; slots: Slot[] }[] }>("SelectHeatmap", {
          step: STEP,
          groupBy,
          queryType: `HEATMAP_QUERY_TYPE_${kind}`,
          exemplarType: `EXEMPLAR_TYPE_${kind}`,
        });
        const wanted = groupsOf(things, groupBy),
          values = things.map((t) => t.value),
          least = Math.min(...values),
          height = (Math.max(...values) - least) / 20;
        expect(series.map((s) => text(s.labels)).sort()).toEqual([...wanted.keys()].sort());
        const totals = series.map((s) =>
          [...wanted.get(text(s.labels))!.values()].flat().reduce((n, t) => n + t.value, 0),
        );
        expect(totals).toEqual([...totals].sort((a, b) => b - a));
        for (const s of series) {
          const slots = wanted.get(text(s.labels))!;
          expect(s.slots.map((x) => Number(x.timestamp))).toEqual([...slots.keys()].sort((a, b) => a - b));
          for (const slot of s.slots) {
            const inside = slots.get(Number(slot.timestamp))!,
              rowOf = (t: Thing): number => slot.yMin.filter((y) => t.value >= y).length - 1;
            expect(slot.yMin).toEqual(
              Array.from({ length: 20 }, (_, r) => expect.closeTo(least + r * height, 3) as number),
            );
            expect(slot.counts).toEqual(slot.yMin.map((_, r) => inside.filter((t) => rowOf(t) === r).length));
            const largest = slot.yMin.flatMap((_, r) =>
              inside
                .filter((t) => rowOf(t) === r)
                .sort((a, b) => b.value - a.value)
                .slice(0, 1),
            );
            expect((slot.exemplars ?? []).map(shown)).toEqual(largest.map((t) => exemplarOf(t, groupBy)));
          }
        }
      }
      const top = await ask<{ series: { labels: Labels; slots: Slot[] }[] }>("SelectHeatmap", {
        step: STEP,
        groupBy: ["pod"],
        limit: "1",
        queryType: `HEATMAP_QUERY_TYPE_${kind}`,
      });
      const pods = ["shop-0", "shop-1", "shop-2"].sort(
        (a, b) =>
          things.filter((t) => t.p.pod === b).reduce((n, t) => n + t.value, 0) -
          things.filter((t) => t.p.pod === a).reduce((n, t) => n + t.value, 0),
      );
      expect(top.series.map((s) => text(s.labels))).toEqual([`pod=${pods[0]}`]);
      expect(top.series.flatMap((s) => s.slots.flatMap((x) => x.exemplars ?? []))).toEqual([]);
    },
  );

  it.each([
    ["INDIVIDUAL", profiles],
    ["SPAN", spans],
  ] as const)("points of a time line have the largest %s as an exemplar", async (kind, things) => {
    for (const groupBy of [[], ["region"]] as ("pod" | "region")[][]) {
      const { series } = await ask<{ series: { labels?: Labels; points: Point[] }[] }>("SelectSeries", {
        step: STEP,
        groupBy,
        exemplarType: `EXEMPLAR_TYPE_${kind}`,
      });
      const all = groupsOf(profiles, groupBy),
        some = groupsOf(things, groupBy);
      expect(series.map((s) => text(s.labels)).sort()).toEqual([...all.keys()].sort());
      for (const s of series) {
        for (const p of s.points) {
          const at = Number(p.timestamp),
            inside = some.get(text(s.labels))?.get(at) ?? [];
          expect(p.value).toBe(
            all
              .get(text(s.labels))!
              .get(at)!
              .reduce((n, t) => n + t.value, 0),
          );
          expect((p.exemplars ?? []).map(shown)).toEqual(
            [...inside]
              .sort((a, b) => b.value - a.value)
              .slice(0, 1)
              .map((t) => exemplarOf(t, groupBy)),
          );
        }
      }
    }
    // With a call site, an exemplar's value is the part below the call site.
    const site = ["main", "parse"],
      { series } = await ask<{ series: { points: Point[] }[] }>("SelectSeries", {
        step: 3600,
        exemplarType: "EXEMPLAR_TYPE_INDIVIDUAL",
        stackTraceSelector: { callSite: site.map((name) => ({ name })) },
      });
    expect(series[0]!.points.map((p) => [p.value, p.exemplars?.[0]?.value])).toEqual([
      [sum(pushed, startsWith(site)), String(Math.max(...pushed.map((p) => total(p, startsWith(site)))))],
    ]);
  });

  it("a profile's id selects it, in flame graphs, trees, pprof and both sides of a diff", async () => {
    const { series } = await ask<{ series: { points: Point[] }[] }>("SelectSeries", {
      step: STEP,
      groupBy: ["pod"],
      exemplarType: "EXEMPLAR_TYPE_INDIVIDUAL",
    });
    const some = series.flatMap((s) => s.points.flatMap((p) => p.exemplars ?? [])).slice(0, 6);
    for (const e of some) {
      const only = { profileIdSelector: [e.profileId!] };
      expect([await flameTotal(only), await profileTotal(only)]).toEqual([Number(e.value), Number(e.value)]);
    }
    expect(await flameTotal({ profileIdSelector: some.map((e) => e.profileId!) })).toBe(
      some.reduce((n, e) => n + Number(e.value), 0),
    );
    const side = (e: Exemplar): object => ({
      profileTypeID: CPU,
      labelSelector: "{}",
      start: String(START),
      end: String(END),
      profileIdSelector: [e.profileId!],
    });
    const { flamegraph } = await ask<{ flamegraph: { leftTicks: string; rightTicks: string } }>("Diff", {
      left: side(some[0]!),
      right: side(some[1]!),
    });
    expect([flamegraph.leftTicks, flamegraph.rightTicks]).toEqual([some[0]!.value, some[1]!.value]);
    expect(await flameTotal({ profileIdSelector: ["00000000-0000-0000-0000-000000000000"] })).toBe(0);
    for (const method of ["SelectMergeStacktraces", "SelectMergeProfile"])
      expect(await refused(method, { profileIdSelector: ["nonsense"] })).toMatchObject({
        status: 400,
        code: "invalid_argument",
        message: expect.stringContaining('profile ID "nonsense" is not a UUID') as string,
      });
  });

  it("a call site selects stacks, in flame graphs, trees and both sides of a diff, also with spans and profiles", async () => {
    for (const site of [["main"], ["main", "serve"], ["main", "größe", "parse"], ["serve"]]) {
      const selector = { stackTraceSelector: { callSite: site.map((name) => ({ name })) } },
        keep = startsWith(site);
      expect(await flameTotal(selector)).toBe(sum(pushed, keep));
      const { flamegraph } = await ask<{ flamegraph: { names: string[] } }>("SelectMergeStacktraces", {
        ...selector,
        maxNodes: "100000",
      });
      expect(new Set(flamegraph.names)).toEqual(
        new Set(["total", ...pushed.flatMap((p) => p.samples.filter(keep).flatMap((s) => s.frames))]),
      );
      const spanned = { ...selector, spanSelector: [SPANS[1]!, SPANS[2]!] };
      expect(await flameTotal(spanned)).toBe(
        sum(pushed, (s) => keep(s) && (s.span === SPANS[1] || s.span === SPANS[2])),
      );
      // With few nodes, the total is still that of all selected samples, including cut nodes.
      expect(await flameTotal({ ...selector, maxNodes: "2" })).toBe(sum(pushed, keep));
      const side = (more: object): object => ({
        profileTypeID: CPU,
        labelSelector: "{}",
        start: String(START),
        end: String(END),
        ...more,
      });
      const diff = await ask<{ flamegraph: { leftTicks?: string; rightTicks?: string } }>("Diff", {
        left: side(selector),
        right: side({}),
      });
      expect([Number(diff.flamegraph.leftTicks ?? 0), Number(diff.flamegraph.rightTicks)]).toEqual([
        sum(pushed, keep),
        sum(pushed),
      ]);
    }
    const tree = await ask<{ tree?: string }>("SelectMergeStacktraces", {
      format: "PROFILE_FORMAT_TREE",
      stackTraceSelector: { callSite: [{ name: "nobody" }] },
    });
    expect(tree.tree).toBeUndefined();
  });

  it("traces select samples, in every form, also with spans, stacks and profiles", async () => {
    const wanted = (ids: string[], keep: (s: Sample) => boolean = () => true): number =>
      sum(pushed, (s) => ids.includes(s.trace) && keep(s));
    for (const ids of [[TRACES[0]!], [TRACES[1]!, TRACES[2]!], [...TRACES]]) {
      const traces = { traceIdSelector: ids };
      expect([ids, await flameTotal(traces), await profileTotal(traces)]).toEqual([
        ids,
        wanted(ids),
        wanted(ids),
      ]);
      expect(await flameTotal({ ...traces, spanSelector: [SPANS[1]!] })).toBe(
        wanted(ids, (s) => s.span === SPANS[1]),
      );
      expect(
        await flameTotal({
          ...traces,
          stackTraceSelector: { callSite: [{ name: "main" }, { name: "serve" }] },
        }),
      ).toBe(wanted(ids, startsWith(["main", "serve"])));
      const side = (more: object): object => ({
        profileTypeID: CPU,
        labelSelector: "{}",
        start: String(START),
        end: String(END),
        ...more,
      });
      const { flamegraph } = await ask<{ flamegraph: { leftTicks: string; rightTicks: string } }>("Diff", {
        left: side(traces),
        right: side({ spanSelector: [SPANS[2]!] }),
      });
      expect([Number(flamegraph.leftTicks), Number(flamegraph.rightTicks)]).toEqual([
        wanted(ids),
        sum(pushed, (s) => s.span === SPANS[2]),
      ]);
      const folded = await (
        await fetch(
          `${server.url}/pyroscope/export?${new URLSearchParams([["query", `${CPU}{}`], ["from", String(START)], ["until", String(END)], ["format", "folded"], ...ids.map((t): [string, string] => ["trace", t])] as [string, string][]).toString()}`,
        )
      ).text();
      expect(
        folded
          .trim()
          .split("\n")
          .reduce((n, l) => n + Number(l.slice(l.lastIndexOf(" "))), 0),
      ).toBe(wanted(ids));
    }
    expect(await flameTotal({ traceIdSelector: [TRACES[1]!.toUpperCase()] })).toBe(wanted([TRACES[1]!]));
    expect(await flameTotal({ traceIdSelector: ["ffffffffffffffffffffffffffffffff"] })).toBe(0);
    for (const method of ["SelectMergeStacktraces", "SelectMergeProfile"])
      expect(await refused(method, { traceIdSelector: ["abc"] })).toMatchObject({
        status: 400,
        code: "invalid_argument",
        message: expect.stringContaining('invalid trace ID "abc"') as string,
      });
  });

  it("stacks appear over time, by label, with any filter; a function's lines have its values", async () => {
    const explore = async (
      method: string,
      stacks: object,
      more: object,
    ): Promise<{ status: number; body: unknown }> =>
      server.json(`/cinderblock.explore.v1.ExploreService/${method}`, {
        selection: {
          profileTypeId: CPU,
          labelSelector: '{service_name="shop"}',
          start: String(START),
          end: String(END),
          stacks,
        },
        ...more,
      });
    const filters: [object, (s: Sample) => boolean][] = [
      [{}, () => true],
      [{ callSite: ["main", "parse"] }, startsWith(["main", "parse"])],
      [{ only: ["write", "größe"] }, (s) => s.frames.includes("write") && s.frames.includes("größe")],
      [{ without: ["/^SER/"] }, (s) => !s.frames.includes("serve")],
      [
        { callSite: ["main"], only: ["/rit/"], without: ["parse"], hide: ["write"] },
        (s) => s.frames.includes("write") && !s.frames.includes("parse"),
      ],
    ];
    for (const [stacks, keep] of filters) {
      const { status, body } = await explore("Series", stacks, { step: STEP, groupBy: ["region"] });
      expect(status).toBe(200);
      // A value spreads over the time that its profile covers, which ends with the profile's time.
      const { series } = body as { series: { labels: Labels; points: Point[] }[] };
      const regions = [...new Set(pushed.filter((p) => total(p, keep) > 0).map((p) => p.region))].sort();
      expect(series.filter((s) => s.points.some((p) => p.value > 0)).map((s) => text(s.labels))).toEqual(
        regions.map((r) => `region=${r}`),
      );
      for (const region of regions) {
        const own = pushed.filter((p) => p.region === region),
          of = (toMs: number): number =>
            own.filter((p) => p.timeMs <= toMs).reduce((n, p) => n + total(p, keep), 0);
        let counted = 0;
        for (const p of series.find((s) => text(s.labels) === `region=${region}`)!.points) {
          counted += (p as Partial<Point>).value ?? 0; // JSON leaves out a 0
          expect(counted).toBeGreaterThanOrEqual(of(Number(p.timestamp)) - 1);
        }
        expect(Math.abs(counted - of(END))).toBeLessThanOrEqual(1);
      }

      const { files } = (await explore("FunctionLines", stacks, { function: "parse" })).body as {
        files?: { filename: string; lines: { self?: string; total: string }[] }[];
      };
      const inParse = sum(pushed, (s) => keep(s) && s.frames.includes("parse")),
        atParse = sum(pushed, (s) => keep(s) && s.frames.at(-1) === "parse");
      // One line of the sum may be several lines in the single profiles: compare the values of the function.
      expect(
        files === undefined
          ? [0, 0]
          : [
              Math.max(...files.flatMap((f) => f.lines.map((l) => Number(l.total)))) <= inParse,
              files.flatMap((f) => f.lines).reduce((n, l) => n + Number(l.self ?? 0), 0),
            ],
      ).toEqual(inParse === 0 ? [0, 0] : [true, atParse]);
    }
    const whole = (await explore("Series", {}, { step: 0 })).body as { series: { points: Point[] }[] };
    expect(whole.series.map((x) => x.points)).toEqual([
      [expect.objectContaining({ timestamp: String(END), value: sum(pushed) })],
    ]);
    expect((await explore("Series", {}, { step: -1 })).status).toBe(400);
    expect((await explore("FunctionLines", {}, { function: "" })).status).toBe(400);
  });

  it("graphs are drawn in Graphviz's language", async () => {
    const { dot } = await ask<{ dot: string }>("SelectMergeStacktraces", { format: "PROFILE_FORMAT_DOT" });
    expect(dot).toContain("digraph");
    expect(dot).toContain(`Total: ${sum(pushed)} nanoseconds`);
  });

  it("invalid queries are refused with a reason: mismatched kinds, zero steps, too many cells", async () => {
    expect(
      await refused("SelectHeatmap", {
        step: 15,
        queryType: "HEATMAP_QUERY_TYPE_SPAN",
        exemplarType: "EXEMPLAR_TYPE_INDIVIDUAL",
      }),
    ).toMatchObject({
      status: 400,
      code: "invalid_argument",
      message:
        "exemplar_type INDIVIDUAL does not fit query_type SPAN: a heatmap of spans has exemplars that are spans",
    });
    expect(await refused("SelectHeatmap", {})).toMatchObject({
      status: 400,
      message: "step must be non-zero: 0 s is below the minimum of 0.001 s",
    });
    expect(await refused("SelectHeatmap", { step: 15, profileTypeID: "cpu" })).toMatchObject({
      status: 400,
      code: "invalid_argument",
    });
    expect(await refused("SelectHeatmap", { step: 15, start: "0", end: "0" })).toMatchObject({
      status: 400,
      message: "missing time range in the query",
    });
  });
});
