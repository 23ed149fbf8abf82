import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyJfr, tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import { type IngestRequest, type ProcessedProfile, PushProcessor, RateGate, stringAt } from "./index.ts";
import { framesOf } from "./testing.ts";

const NOW = 1_795_409_460_000,
  NOW_NANOS = BigInt(NOW) * 1_000_000n;
const REQUEST: IngestRequest = {
  app: "shop",
  tags: [],
  format: "pprof",
  boundary: "",
  spyName: "x",
  sampleRate: 100,
  fromNanos: NOW_NANOS,
  durationNanos: 10_000_000_000n,
};

/** Rows `labels type value root:line@file;…` of a push to /ingest, and how long before now it began. */
async function rowsOf(request: Partial<IngestRequest>, body: Uint8Array): Promise<string[]> {
  const rows: string[] = [];
  const processor = new PushProcessor(await loadHasher(), {
    append: (_tenant: string, p: ProcessedProfile) => {
      const t = p.profile.tables;
      for (const g of p.groups) {
        // Empty labels are not stored (storedLabels).
        const labels = g.labels.filter(
          (l) => l.value !== "" && !["__delta__", "service_name", "pyroscope_spy"].includes(l.name),
        );
        for (const s of g.samples)
          for (let k = 0; k < t.sampleTypes; k++)
            rows.push(
              `${labelsText(labels)} ${stringAt(t, t.typeType.data[k]!)} ${t.value.data[t.sampleValues.data[s]! + k]} ` +
                framesOf(p, s, (name, line) => `${name}:${line}`).join(";") +
                ` ${(NOW_NANOS - p.profile.timeNanos) / 1_000_000_000n}s`,
            );
      }
    },
  });
  const { error } = processor.process(
    "t",
    { kind: "ingest", request: { ...REQUEST, ...request }, body },
    TEST_LIMITS,
    new RateGate(new SharedArrayBuffer(8)),
    NOW,
  );
  if (error) throw error;
  return rows.sort();
}
const pprof = (p: Partial<TinyProfile> = {}): Uint8Array =>
  tinyPprof({ stacks: [{ frames: ["main", "work"], values: [5] }], timeNanos: NOW_NANOS, ...p });

describe("profiles of agents, as v1 stores them", () => {
  it("have no labels of numbers: samples that differ only in them share a series", async () => {
    const stack = (values: number[], labels: Record<string, string | number>): TinyProfile["stacks"][0] => ({
      frames: ["main", "alloc"],
      values,
      labels,
    });
    expect(
      await rowsOf(
        {},
        pprof({
          stacks: [stack([3], { bytes: 512 }), stack([4], { bytes: 1024 }), stack([5], { pod: "a" })],
        }),
      ),
    ).toEqual([
      '{__name__="process_cpu", pod="a"} cpu 5 main:11;alloc:10 0s',
      '{__name__="process_cpu"} cpu 3 main:11;alloc:10 0s',
      '{__name__="process_cpu"} cpu 4 main:11;alloc:10 0s',
    ]);
  });

  it.each([
    ["pyspy", "app/cart.py run:11;total:10"],
    ["rbspy", "app/cart.py run:11;/srv/sum.py total:10"],
    ["scripting", "app/cart.py run:11;/srv/sum.py total:10"],
    ["unknown", "run:11;total:10"],
  ])("of %s name functions by their files, and keep their lines", async (spyName, frames) => {
    const body = pprof({
      stacks: [{ frames: ["run", "total"], values: [5] }],
      files: { run: "app/cart.py", total: "/srv/sum.py" },
    });
    expect(await rowsOf({ spyName }, body)).toEqual([`{__name__="process_cpu"} cpu 5 ${frames} 0s`]);
  });

  it("of .NET have functions without IDs, numbered by the locations in their places", async () => {
    const stacks = [
        { frames: ["Main", "Work"], values: [7] },
        { frames: ["Work"], values: [3] },
      ],
      rows = [
        '{__name__="process_cpu"} cpu 3 Work:10 0s',
        '{__name__="process_cpu"} cpu 7 Main:11;Work:10 0s',
      ];
    for (const locationIds of [
      [1, 2],
      [5, 9],
      [2, 1],
    ])
      expect(
        await rowsOf({ spyName: "dotnetspy" }, pprof({ stacks, locationIds, functionIds: [0, 0] })),
      ).toEqual(rows);
    // One function with an ID shows that the agent numbers them.
    await expect(rowsOf({ spyName: "dotnetspy" }, pprof({ stacks, functionIds: [0, 2] }))).rejects.toThrow(
      "function id is 0",
    );
    await expect(rowsOf({}, pprof({ stacks, functionIds: [0, 0] }))).rejects.toThrow("function id is 0");
  });

  it("in texts are left out with a profile ID, but not with an empty one", async () => {
    const text = (value: string): Promise<string[]> =>
      rowsOf(
        { app: "shop.cpu", format: "groups", tags: [{ name: "profile_id", value }] },
        Buffer.from("a;b 3\n"),
      );
    expect(await text("0102030405060708")).toEqual([]);
    expect(await text("")).toEqual(['{__name__="process_cpu"} cpu 30000000 a:0;b:0 0s']);
  });

  it("in trees have frames between semicolons", async () => {
    const node = (name: string, value: number, ...children: number[][]): number[] => [
      name.length,
      ...Buffer.from(name),
      value,
      children.length,
      ...children.flat(),
    ];
    const tree = (...children: number[][]): Promise<string[]> =>
      rowsOf({ app: "shop.goroutines", format: "tree" }, Uint8Array.from(node("", 2, ...children)));
    expect(await tree(node("a;b", 1, node("x", 3)), node("c;", 4, node("", 5), node("y", 6)))).toEqual([
      '{__name__="goroutine"} goroutines 1 a:0;b:0 0s',
      '{__name__="goroutine"} goroutines 3 a:0;b:0;x:0 0s',
      '{__name__="goroutine"} goroutines 4 c:0 0s',
      '{__name__="goroutine"} goroutines 5 c:0;:0 0s',
      '{__name__="goroutine"} goroutines 6 c:0;:0;y:0 0s',
    ]);
  });

  it("in tries end with their root; an empty body has none", async () => {
    const trie = (...bytes: number[]): Promise<string[]> =>
      rowsOf({ app: "shop.goroutines", format: "trie" }, Uint8Array.from(bytes));
    expect(await trie()).toEqual([]);
    expect(await trie(1, 97, 3, 0)).toEqual(['{__name__="goroutine"} goroutines 3 a:0 0s']);
    await expect(trie(1, 97, 3, 0, 120, 121)).rejects.toThrow("expected the end of the trie, found 2 bytes");
  });

  const speedscope = Buffer.from(
      JSON.stringify({
        $schema: "https://www.speedscope.app/file-format-schema.json",
        shared: { frames: [{ name: "a", file: "a.py", line: 7 }] },
        profiles: [{ type: "sampled", name: "t", unit: "none", startValue: 0, samples: [[0]], weights: [2] }],
      }),
    ),
    recording = tinyJfr([{ type: "LiveObject", frames: [["Main", "a", 7]] }]);
  describe.each<[IngestRequest["format"], Uint8Array, { name: string; own: string; app?: string }]>([
    ["groups", Buffer.from("a 2\n"), { name: "process_cpu", own: "", app: "shop" }],
    ["speedscope", speedscope, { name: "process_cpu", own: 'profile_name="t", ', app: "shop" }],
    ["jfr", recording, { name: "memory", own: 'jfr_event="itimer", ', app: "shop.cpu" }],
    ["pprof", pprof(), { name: "process_cpu", own: "" }],
  ])("of format %s", (format, body, { name, own, app }) => {
    const labelsOf = async (tags: Record<string, string>, application = "shop.cpu"): Promise<string> => {
      const seen: string[] = [];
      const processor = new PushProcessor(await loadHasher(), {
        append: (_tenant: string, p: ProcessedProfile) => {
          for (const g of p.groups)
            seen.push(labelsText(g.labels.filter((l) => l.value !== "" && l.name !== "__delta__")));
        },
      });
      const { error } = processor.process(
        "t",
        {
          kind: "ingest",
          request: {
            ...REQUEST,
            app: application,
            format,
            tags: Object.entries(tags).map(([n, value]) => ({ name: n, value })),
          },
          body,
        },
        TEST_LIMITS,
        new RateGate(new SharedArrayBuffer(8)),
        NOW,
      );
      return error ? `refused: ${error.message}` : seen.join("\n");
    };
    it("keep the application, without a text's type, next to a tag that names the service", async () => {
      const tail = `${own}pyroscope_spy="x", service_name="web"}`,
        named = app === undefined ? "" : `app_name="${app}", `;
      expect(await labelsOf({ service_name: "web" })).toBe(`{__name__="${name}", ${named}${tail}`);
      expect(await labelsOf({ service_name: "web", app_name: "mine" })).toBe(
        `{__name__="${name}", app_name="mine", ${tail}`,
      );
    });
    it("are refused with an empty service and with tags that the server sets", async () => {
      expect(await labelsOf({ service_name: "" })).toMatch(/^refused: .* service name is not provided$/);
      expect(await labelsOf({ pyroscope_spy: "mine" })).toMatch(
        /^refused: .* duplicate label name: 'pyroscope_spy'$/,
      );
      const profileName = await labelsOf({ profile_name: "mine" });
      expect(profileName).toContain(`profile_name="${format === "speedscope" ? "t" : "mine"}"`);
      // Only JFR does without an application, as in v1.
      const nameless = await labelsOf({}, "");
      if (format === "jfr") expect(nameless).toContain('service_name="unknown_service"');
      else expect(nameless).toMatch(/^refused: .* service name is not provided$/);
    });
  });
  it.each(["groups", "lines", "trie", "jfr", "pprof"] as const)(
    "of format %s do not arise from an empty body",
    async (format) => {
      expect(await rowsOf({ app: "shop.cpu", format }, new Uint8Array(0))).toEqual([]);
    },
  );

  it.each<[IngestRequest["format"], Uint8Array, string]>([
    ["groups", Buffer.from("a 1\n"), "90s"],
    ["lines", Buffer.from("a\n"), "90s"],
    ["jfr", recording, "90s"],
    ["speedscope", speedscope, "90s"],
    ["pprof", pprof({ timeNanos: 0n }), "90s"],
    ["pprof", pprof({ timeNanos: NOW_NANOS - 60_000_000_000n }), "60s"],
    // Older agents count microseconds: a time within 1970 counts as missing.
    ["pprof", pprof({ timeNanos: NOW_NANOS / 1000n }), "90s"],
  ])("of format %s have the time of `from` unless they have their own", async (format, body, before) => {
    const rows = await rowsOf(
      { app: "shop.cpu", format, fromNanos: NOW_NANOS - 90_000_000_000n, durationNanos: 0n },
      body,
    );
    expect(rows.map((r) => r.split(" ").at(-1))).toEqual([before]);
  });
});
