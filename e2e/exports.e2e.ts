import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describeWith, firefoxProfiler, part, Random, tinyPprof } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";

// Answers as files of other programs. The tests read them with those programs where available, and compare
// them with the pushed profiles.
const START = Math.floor(Date.now() / 3600_000) * 3600_000 - 7200_000,
  END = START + 3600_000,
  SPAN = "0123456789abcdef";
const random = new Random(7),
  NAMES = ["serve", "parse", "write", "größe; mit Strich"];
interface Pushed {
  pod: string;
  timeMs: number;
  samples: { frames: string[]; value: number; span: boolean }[];
}
const pushed: Pushed[] = Array.from({ length: 60 }, (_, i) => ({
  pod: `shop-${i % 3}`,
  timeMs: START + 1000 + random.below(3500_000),
  samples: Array.from({ length: 1 + random.below(5) }, () => ({
    frames: ["main", ...Array.from({ length: 1 + random.below(3) }, () => NAMES[random.below(4)]!)],
    value: 1 + random.below(2 ** 30),
    span: random.below(2) === 0,
  })),
}));
/** One entry for each stack and span of a profile, as every program must read it. */
const wanted = pushed.flatMap((p) => {
  const sums = new Map<string, number>();
  for (const s of p.samples) {
    const key = JSON.stringify([p.timeMs, p.pod, s.span ? SPAN : null, s.frames]);
    sums.set(key, (sums.get(key) ?? 0) + s.value);
  }
  return [...sums].map(([key, value]) => `${key.slice(0, -1)},${value}]`);
});
const sum = (list: readonly Pushed[]): number =>
  list.reduce((n, p) => n + p.samples.reduce((m, s) => m + s.value, 0), 0);

const server = new Server(),
  work = folder();
beforeAll(async () => {
  await server.start("-compactor.enabled=false");
  const push = async (p: Pushed, i: number): Promise<void> => {
    const rawProfile = gzipSync(
      tinyPprof({
        timeNanos: BigInt(p.timeMs) * 1_000_000n,
        stacks: p.samples.map((s) => ({
          frames: s.frames,
          values: [s.value],
          labels: s.span ? { span_id: SPAN } : {},
        })),
      }),
    ).toString("base64");
    // Some series have a label with the name of a table column.
    const labels = [
      { name: "__name__", value: "process_cpu" },
      { name: "service_name", value: "shop" },
      { name: "pod", value: p.pod },
      ...(i % 3 === 0 ? [{ name: "value", value: "x" }] : []),
    ];
    expect(
      (await server.json("/push.v1.PusherService/Push", { series: [{ labels, samples: [{ rawProfile }] }] }))
        .status,
    ).toBe(200);
  };
  // Half of the profiles are in a block, half in memory.
  for (const [i, p] of pushed.entries()) {
    if (i === 30) await server.flush();
    await push(p, i);
  }
});
afterAll(() => server.stop());

const query = (format: string, more: Record<string, string> = {}): string =>
  `/pyroscope/export?${new URLSearchParams({ query: `${CPU}{service_name="shop"}`, from: String(START), until: String(END), format, ...more }).toString()}`;
const compared = (format: string): string =>
  `/pyroscope/export?${new URLSearchParams({ leftQuery: `${CPU}{pod="shop-0"}`, leftFrom: String(START), leftUntil: String(END), rightQuery: `${CPU}{pod="shop-1"}`, rightFrom: String(START), rightUntil: String(END), format }).toString()}`;
async function file(
  path: string,
  name: string,
): Promise<{ path: string; type: string; name: string; text: string; bytes: Buffer }> {
  const r = await fetch(`${server.url}${path}`),
    bytes = Buffer.from(await r.arrayBuffer());
  if (r.status !== 200) throw new Error(`${r.status} ${bytes.toString().slice(0, 300)}`);
  writeFileSync(join(work, name), bytes);
  return {
    path: join(work, name),
    type: r.headers.get("content-type")!,
    name: /filename="([^"]+)"/.exec(r.headers.get("content-disposition")!)![1]!,
    text: bytes.toString(),
    bytes,
  };
}

/** Sum of each stack, its frames joined by NUL. */
function pushedStacks(): Map<string, number> {
  const stacks = new Map<string, number>();
  for (const s of pushed.flatMap((p) => p.samples)) {
    const key = s.frames.join("\u0000");
    stacks.set(key, (stacks.get(key) ?? 0) + s.value);
  }
  return stacks;
}

describe("exports", () => {
  it("as Arrow and Parquet, under a name that describes their content", async () => {
    const arrow = await file(query("arrow"), "t.arrows"),
      parquet = await file(query("parquet"), "t.parquet");
    expect([arrow.type, parquet.type, parquet.name]).toEqual([
      "application/vnd.apache.arrow.stream",
      "application/vnd.apache.parquet",
      expect.stringMatching(/^shop-cpu-[\d-]+\.parquet$/),
    ]);
  });

  it("of one span, and of no profile", async () => {
    const spans = await file(query("folded", { span: SPAN }), "s.folded");
    expect(
      spans.text
        .trim()
        .split("\n")
        .reduce((n, l) => n + Number(l.slice(l.lastIndexOf(" ") + 1)), 0),
    ).toBe(
      pushed
        .flatMap((p) => p.samples)
        .filter((s) => s.span)
        .reduce((n, s) => n + s.value, 0),
    );
    const none = { query: `${CPU}{service_name="nobody"}` };
    expect([
      (await file(query("folded", none), "n")).text,
      (await file(query("pprof", none), "n")).bytes.length,
    ]).toEqual(["", 0]);
    const empty = await file(query("parquet", none), "none.parquet");
    expect(empty.text.slice(0, 4)).toBe("PAR1");
  });

  it("as folded stacks, speedscope and Firefox Profiler: every stack with its sum", async () => {
    const stacks = pushedStacks();
    const folded = (await file(query("folded"), "f")).text.trim().split("\n");
    expect(folded.sort()).toEqual(
      [...stacks]
        .map(
          ([k, v]) =>
            `${k
              .split("\u0000")
              .map((f) => f.replace(";", ":"))
              .join(";")} ${v}`,
        )
        .sort(),
    );
    const scope = JSON.parse((await file(query("speedscope"), "s")).text) as {
      shared: { frames: { name: string }[] };
      profiles: { samples: number[][]; weights: number[] }[];
    };
    expect(
      new Map(
        scope.profiles[0]!.samples.map((s, i) => [
          s.map((f) => scope.shared.frames[f]!.name).join("\u0000"),
          scope.profiles[0]!.weights[i]!,
        ]),
      ),
    ).toEqual(stacks);
    const fox = JSON.parse((await file(query("firefox"), "x")).text) as {
      meta: { preprocessedProfileVersion: number };
      threads: {
        stringArray: string[];
        funcTable: { name: number[] };
        frameTable: { func: number[] };
        stackTable: { frame: number[]; prefix: (number | null)[]; length: number };
        samples: { stack: number[]; weight: number[]; weightType: string; length: number };
      }[];
    };
    const t = fox.threads[0]!,
      path = (s: number | null): string[] =>
        s === null
          ? []
          : [
              ...path(t.stackTable.prefix[s]!),
              t.stringArray[t.funcTable.name[t.frameTable.func[t.stackTable.frame[s]!]!]!]!,
            ];
    expect(
      new Map(
        t.samples.stack.map((s, i) => [path(s).join("\u0000"), Math.round(t.samples.weight[i]! * 1e6)]),
      ),
    ).toEqual(stacks);
    expect([fox.meta.preprocessedProfileVersion, t.samples.weightType, t.samples.length]).toEqual([
      47,
      "tracing-ms",
      stacks.size,
    ]);
  });

  it("as OTLP that a server accepts completely, under the requested service", async () => {
    const otlp = await file(query("otlp"), "o");
    const r = await fetch(`${server.url}/v1development/profiles`, {
      method: "POST",
      headers: { "content-type": "application/x-protobuf" },
      body: new Uint8Array(otlp.bytes),
    });
    expect([r.status, await r.text()]).toEqual([200, ""]);
    // The profile is named by the period's type, as every OTLP profile.
    const { body } = await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
      profileTypeID: CPU.replace("process_cpu", "cpu"),
      labelSelector: '{service_name="shop"}',
      start: String(START),
      end: String(END + 60_000),
    });
    const { names, total } = body.flamegraph as { names: string[]; total: string };
    expect([Number(total), new Set(names)]).toEqual([sum(pushed), new Set(["total", "main", ...NAMES])]);
  });

  it("as SVG and HTML that need no network, and two sides side by side", async () => {
    for (const format of ["svg", "html"]) {
      const one = await file(query(format), `g.${format}`),
        two = await file(compared(format), `d.${format}`);
      for (const f of [one, two]) {
        expect(f.text).toContain("größe; mit Strich");
        expect(f.text.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:\/\//);
      }
      expect(two.text).toContain("baseline");
    }
    const folded = (await file(compared("folded"), "d.folded")).text
      .trim()
      .split("\n")
      .map((l) => l.split(" ").slice(-2).map(Number));
    expect([folded.reduce((n, l) => n + l[0]!, 0), folded.reduce((n, l) => n + l[1]!, 0)]).toEqual([
      sum(pushed.filter((p) => p.pod === "shop-0")),
      sum(pushed.filter((p) => p.pod === "shop-1")),
    ]);
  });

  it("unsupported exports are refused with a reason", async () => {
    const refused = async (path: string): Promise<string> => {
      const r = await fetch(`${server.url}${path}`);
      return `${r.status} ${((await r.json()) as { message: string }).message}`;
    };
    expect(await refused(query("xls"))).toBe(
      '400 format "xls" is unknown; expected one of pprof, folded, speedscope, firefox, otlp, svg, html, arrow, parquet',
    );
    expect(await refused(query("arrow", { rows: "cells" }))).toBe(
      '400 rows "cells" is unknown; expected samples or profiles',
    );
    expect(await refused(compared("parquet"))).toBe(
      "400 format parquet does not support comparisons; expected one of folded, svg, html",
    );
    expect(await refused("/pyroscope/export?format=arrow")).toBe('400 "query" is required');
    expect(await refused(query("arrow", { span: "xyz" }))).toContain("500 invalid span id length");
    expect(await refused(query("arrow", { query: `${CPU}{a=` }))).toContain("400 ");
  });
});

describeWith(["python-tables"], "exports for data frames", () => {
  it("as Arrow and Parquet: every sample with its profile, labels and stack, for pyarrow, pandas, Polars and DuckDB", async () => {
    const arrow = await file(query("arrow"), "t.arrows"),
      parquet = await file(query("parquet"), "t.parquet"),
      profiles = await file(query("parquet", { rows: "profiles" }), "p.parquet");
    const python = part("python-tables");
    const script = `
import json, sys, pyarrow as pa, pandas as pd, polars as pl, duckdb
arrow, parquet, profiles = sys.argv[1:]
t = pa.ipc.open_stream(arrow).read_all()
rows = lambda l: [[r["time"], r["pod"], r["span_id"], list(r["stack"]), r["value"]] for r in l]
ms = lambda x: int(x.timestamp() * 1000 + 0.5)
out = {"columns": t.schema.names, "batches": len(list(pa.ipc.open_stream(arrow)))}
out["unit"] = t.schema.field("value").metadata[b"unit"].decode(); out["type"] = t.schema.metadata[b"cinderblock.profile_type"].decode()
out["pyarrow"] = [[ms(r[0])] + r[1:] for r in rows(t.to_pylist())]
out["pandas"] = [[ms(r[0]), r[1], None if pd.isna(r[2]) else r[2], list(r[3]), int(r[4])] for r in rows(pd.read_parquet(parquet).to_dict("records"))]
out["polars"] = [[ms(r[0])] + r[1:] for r in rows(pl.read_parquet(parquet).to_dicts())]
out["duckdb"] = [[r[0], r[1], r[2], list(r[3]), r[4]] for r in duckdb.sql(f"select epoch_ms(time), pod, span_id, stack, value from '{parquet}'").fetchall()]
out["by_pod"] = duckdb.sql(f"select pod, sum(value)::bigint, count(distinct profile_id) from '{profiles}' group by pod order by pod").fetchall()
out["profile_columns"] = pl.read_parquet(profiles).columns
out["label"] = sorted(set(x for x in pl.read_parquet(parquet)["label_value"].to_list()), key=str)
print(json.dumps(out))`;
    const seen = JSON.parse(
      execFileSync(python, ["-c", script, arrow.path, parquet.path, profiles.path], {
        encoding: "utf8",
        maxBuffer: 1 << 26,
      }),
    ) as Record<string, never>;
    expect([seen.columns, seen.unit, seen.type]).toEqual([
      ["time", "profile_id", "span_id", "pod", "service_name", "label_value", "stack", "value"],
      "nanoseconds",
      CPU,
    ]);
    expect(seen.batches).toBeGreaterThan(1); // one batch per time step
    for (const program of ["pyarrow", "pandas", "polars", "duckdb"])
      expect([program, (seen[program] as unknown as unknown[]).map((r) => JSON.stringify(r)).sort()]).toEqual(
        [program, [...wanted].sort()],
      );
    expect(seen.by_pod).toEqual(
      ["shop-0", "shop-1", "shop-2"].map((pod) => {
        const own = pushed.filter((p) => p.pod === pod);
        return [pod, sum(own), own.length];
      }),
    );
    expect([seen.profile_columns, seen.label]).toEqual([
      ["time", "profile_id", "pod", "service_name", "label_value", "value"],
      [null, "x"],
    ]);
  }, 300_000);
});

describeWith(["firefox-profiler"], "exports for the Firefox Profiler", () => {
  it("open with every stack and its sum", async () => {
    const x = await file(query("firefox"), "x"),
      stacks = pushedStacks();
    const viewed = await firefoxProfiler(x.path);
    const nanos = (ms: number): number => Math.round(ms * 1e6);
    expect([viewed.weightType, nanos(viewed.sum)]).toEqual(["tracing-ms", sum(pushed)]);
    expect(new Map([...viewed.stacks].map(([k, ms]) => [k, nanos(ms)]))).toEqual(stacks);
  }, 60_000);
});
