import { gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { mutations, Random, tinyJfr } from "@cinderblock/testkit";

import { type IngestRequest, type ProcessedProfile, PushProcessor, RateGate, stringAt } from "./index.ts";
import { framesOf } from "./testing.ts";

import { LIMITS, NOW, profile, run } from "./push.testing.ts";

describe("formats of /ingest", () => {
  const base = {
    app: "shop.cpu",
    tags: [],
    boundary: "",
    spyName: "x",
    sampleRate: 100,
    fromNanos: BigInt(NOW) * 1_000_000n,
    durationNanos: 0n,
  };
  /** Folded stacks of the pushed profiles: `labels type value root;…;leaf`. */
  async function stacks(request: Partial<IngestRequest>, body: Uint8Array): Promise<string[]> {
    const out: string[] = [];
    const own = new PushProcessor(await loadHasher(), {
      append: (_t: string, p: ProcessedProfile) => {
        const t = p.profile.tables;
        for (const g of p.groups)
          for (const s of g.samples) {
            for (let k = 0; k < t.sampleTypes; k++)
              out.push(
                `${labelsText(g.labels)} ${stringAt(t, t.typeType.data[k]!)} ${t.value.data[t.sampleValues.data[s]! + k]} ${framesOf(p, s).join(";")}`,
              );
          }
      },
    });
    const o = own.process(
      "t",
      { kind: "ingest", request: { ...base, format: "groups", ...request } as IngestRequest, body },
      LIMITS,
      new RateGate(new SharedArrayBuffer(8)),
      NOW,
    );
    if (o.error) throw o.error;
    return out.sort();
  }
  const CPU_LABELS = '{__delta__="false", __name__="process_cpu", pyroscope_spy="x", service_name="shop"}';
  const node = (name: string, value: number, ...children: number[][]): number[] => [
    name.length,
    ...Buffer.from(name),
    value,
    children.length,
    ...children.flat(),
  ];

  it("reads tries and trees", async () => {
    const expected = [`${CPU_LABELS} cpu 20000000 a;b;d`, `${CPU_LABELS} cpu 50000000 a;b;c`];
    expect(
      await stacks(
        { format: "trie" },
        Uint8Array.from(node("", 0, node("a;b;", 0, node("c", 5), node("d", 2)))),
      ),
    ).toEqual(expected);
    expect(
      await stacks(
        { format: "tree" },
        Uint8Array.from(node("", 0, node("a", 0, node("b", 0, node("c", 5), node("d", 2))))),
      ),
    ).toEqual(expected);
    // A radix tree splits between bytes, not characters.
    const split = (children: number[][]): number[] => [
      3,
      0x61,
      0x3b,
      0xc3,
      0,
      children.length,
      ...children.flat(),
    ];
    expect(
      await stacks(
        { format: "trie" },
        Uint8Array.from(
          split([
            [1, 0xa9, 5, 0],
            [1, 0xa8, 2, 0],
          ]),
        ),
      ),
    ).toEqual([`${CPU_LABELS} cpu 20000000 a;è`, `${CPU_LABELS} cpu 50000000 a;é`]);
    await expect(stacks({ format: "tree" }, Uint8Array.from([0, 0, 99]))).rejects.toThrow(
      "expected 99 nodes",
    );
    await expect(stacks({ format: "trie" }, Uint8Array.from([9, 97]))).rejects.toThrow(
      "trie: expected 9 bytes",
    );
  });
  it("reads gzipped texts, declared or not", async () => {
    const seeds: [IngestRequest["format"], Uint8Array][] = [
      ["groups", Buffer.from("a;b 3\n")],
      ["lines", Buffer.from("a;b\na;b\na;b\n")],
      ["trie", Uint8Array.from([3, 0x61, 0x3b, 0x62, 3, 0])],
      ["tree", Uint8Array.from(node("", 0, node("a", 0, node("b", 3))))],
    ];
    for (const [format, body] of seeds)
      for (const sent of [body, gzipSync(body)])
        expect(await stacks({ format }, sent)).toEqual([`${CPU_LABELS} cpu 30000000 a;b`]);
  });
  it.each<[IngestRequest["format"], number[]]>([
    ["groups", [...Buffer.from("a;caf"), 0xe9, ...Buffer.from(" 3\n")]],
    ["lines", [...Buffer.from("a;caf"), 0xe9, 10]],
    ["trie", [3, 0x61, 0x3b, 0xe9, 3, 0]],
    ["tree", [0, 0, 1, 1, 0xe9, 3, 0]],
  ])("refuses names of %s that are not UTF-8, and keeps U+FFFD", async (format, body) => {
    await expect(stacks({ format }, Uint8Array.from(body))).rejects.toThrow("invalid utf8 string hex");
    expect(await stacks({}, Buffer.from("a;\ufffd 1\n"))).toEqual([`${CPU_LABELS} cpu 10000000 a;\ufffd`]);
  });
  it("leaves out an empty frame at the end of a stack, as v1", async () => {
    expect(await stacks({}, Buffer.from("a; 1\na;;b 2\n;c 3\n"))).toEqual([
      `${CPU_LABELS} cpu 10000000 a`,
      `${CPU_LABELS} cpu 20000000 a;;b`,
      `${CPU_LABELS} cpu 30000000 ;c`,
    ]);
  });
  it("reads forms with line ends of LF, and settings of sample types that are null", async () => {
    const bytes = profile(),
      form = (config: string, end: string): Buffer =>
        Buffer.concat([
          Buffer.from(`--B${end}Content-Disposition: form-data; name="profile"${end}${end}`),
          bytes,
          Buffer.from(
            `${end}--B${end}Content-Disposition: form-data; name="sample_type_config"${end}${end}${config}${end}--B--${end}`,
          ),
        ]);
    for (const end of ["\r\n", "\n"])
      for (const config of ["{}", "null", '{"cpu":null}', '{"__proto__":{"display-name":"inuse_x"}}'])
        expect(await stacks({ format: "multipart", boundary: "B" }, form(config, end))).not.toEqual([]);
    for (const config of ["[]", "5", '{"cpu":[]}', '{"cpu":{"display-name":5}}', "{"])
      await expect(stacks({ format: "multipart", boundary: "B" }, form(config, "\r\n"))).rejects.toThrow(
        "sample_type_config",
      );
  });
  it("names a profile of .NET by its corrected types, as v1", async () => {
    for (const [type, name] of [
      ["inuse-space", "memory"],
      ["a-b", "a_b"],
    ] as const) {
      const body = profile({ types: [[type, "bytes"]] });
      const [row] = await stacks({ format: "pprof", spyName: "dotnetspy" }, body);
      expect(row).toContain(`__name__="${name}"`);
      expect(row).toContain(` ${type.replace("-", "_")} `);
    }
  });
  it("refuses one profile of a speedscope file and stores the others", async () => {
    const { groups: stored, outcome } = await run({
      kind: "ingest",
      request: {
        app: "shop",
        tags: [],
        format: "speedscope",
        boundary: "",
        spyName: "x",
        sampleRate: 100,
        fromNanos: BigInt(NOW) * 1_000_000n,
        durationNanos: 0n,
      },
      body: Buffer.from(
        JSON.stringify({
          $schema: "https://www.speedscope.app/file-format-schema.json",
          shared: { frames: [{ name: "a" }] },
          profiles: ["n".repeat(5000), "main"].map((name) => ({
            type: "sampled",
            name,
            unit: "nanoseconds",
            startValue: 0,
            endValue: 1,
            samples: [[0]],
            weights: [1],
          })),
        }),
      ),
    });
    expect(outcome.error?.reason).toBe("label_value_too_long");
    expect(outcome.discarded).toEqual([expect.objectContaining({ profiles: 1 })]);
    expect(stored.map((g) => labelsText(g.labels))).toEqual([expect.stringContaining('profile_name="main"')]);
  });

  it("reads speedscope, sampled and evented", async () => {
    const file = (profiles: unknown[]): Uint8Array =>
      Buffer.from(
        JSON.stringify({
          $schema: "https://www.speedscope.app/file-format-schema.json",
          shared: { frames: [{ name: "a" }, { name: "b" }] },
          profiles,
        }),
      );
    const sampled = {
      type: "sampled",
      name: "p",
      unit: "seconds",
      startValue: 0,
      endValue: 3,
      samples: [[0, 1], [0]],
      weights: [2, 1],
    };
    const evented = {
      type: "evented",
      name: "p",
      unit: "seconds",
      startValue: 0,
      endValue: 3,
      events: [
        { type: "O", frame: 0, at: 0 },
        { type: "O", frame: 1, at: 1 },
        { type: "C", frame: 1, at: 3 },
        { type: "C", frame: 0, at: 3 },
      ],
    };
    const labels = CPU_LABELS.replace("pyroscope_spy", 'profile_name="p", pyroscope_spy');
    const expected = [`${labels} cpu 1000000000 a`, `${labels} cpu 2000000000 a;b`];
    expect(await stacks({ format: "speedscope" }, file([sampled]))).toEqual(expected);
    expect(await stacks({ format: "speedscope" }, file([evented]))).toEqual(expected);
    for (const [unit, weights, app, ...want] of [
      ["seconds", [0.004, 0.29], "shop.cpu", 4_000_000, 290_000_000],
      ["milliseconds", [0.0025, 0.4], "shop.cpu", 2500, 400_000],
      ["microseconds", [0.5, 29], "shop.cpu", 500, 29_000],
      ["nanoseconds", [12, 0.25], "shop.cpu", 12, 0],
      ["none", [0.5, 2], "shop.cpu", 5_000_000, 20_000_000],
      ["none", [0.29, 2], "shop.alloc_objects", 29, 200],
      ["bytes", [2.4, 100], "shop.inuse_space", 2, 100],
    ] as const) {
      const got = await stacks({ format: "speedscope", app }, file([{ ...sampled, unit, weights }]));
      const byStack = got
        .map((t) => t.slice(t.indexOf("}") + 2).split(" "))
        .map(([, v, at]) => [at, Number(v)]);
      expect(Object.fromEntries(byStack)).toEqual({ "a;b": want[0], ...(want[1] > 0 ? { a: want[1] } : {}) });
    }
    const fractions = file([
      { ...sampled, samples: Array.from({ length: 100 }, () => [0]), weights: new Array(100).fill(1e-10) },
    ]);
    expect(await stacks({ format: "speedscope" }, fractions)).toEqual([`${labels} cpu 10 a`]);
    await expect(stacks({ format: "speedscope" }, file([{ ...sampled, weights: [-1, 2] }]))).rejects.toThrow(
      "expected a weight of at least 0, found -1",
    );
    await expect(
      stacks({ format: "speedscope" }, file([{ ...sampled, weights: [1e300, 2] }])),
    ).rejects.toThrow("above the largest value");
    const two = await stacks(
      { format: "speedscope", app: "shop" },
      file([
        { ...sampled, name: "one" },
        { ...sampled, name: "two" },
      ]),
    );
    expect(
      two.filter(
        (t) =>
          t.includes('profile_name="one", pyroscope_spy="x", service_name="shop"') &&
          t.includes('__name__="wall"'),
      ),
    ).toHaveLength(2);
    await expect(stacks({ format: "speedscope" }, Buffer.from("{}"))).rejects.toThrow("expected $schema");
    await expect(
      stacks({ format: "speedscope" }, file([{ ...evented, events: [{ type: "C", frame: 0, at: 0 }] }])),
    ).rejects.toThrow("top of the stack");
  });
  it("reads JFR, raw and in a form with the agent's labels", async () => {
    const recording = tinyJfr([
      {
        type: "ExecutionSample",
        frames: [
          ["java/lang/Thread", "run"],
          ["Main", "work"],
        ],
        contextId: 5,
      },
      { type: "ExecutionSample", frames: [["Main", "sleep"]], state: "STATE_SLEEPING" },
      { type: "ObjectAllocationInNewTLAB", frames: [["Main", "alloc"]], tlabSize: 70_000 },
    ]);
    const labels = (more: string): string =>
      `{__delta__="false", __name__="process_cpu", ${more}jfr_event="itimer", pyroscope_spy="x", service_name="shop"}`;
    const memory = labels("").replace("process_cpu", "memory");
    const allocated = [
      `${memory} alloc_in_new_tlab_bytes 70000 Main.alloc`,
      `${memory} alloc_in_new_tlab_objects 1 Main.alloc`,
    ];
    expect(await stacks({ format: "jfr", app: "shop" }, gzipSync(recording))).toEqual(
      [...allocated, `${labels("")} cpu 10000000 java/lang/Thread.run;Main.work`].sort(),
    );
    const map = (field: number, key: number, value: number[]): number[] => {
      const e = [8, key, ...value];
      return [field * 8 + 2, e.length, ...e];
    };
    const text = (s: string): number[] => [18, s.length, ...Buffer.from(s)];
    const context = map(1, 1, [16, 2]);
    const snapshot = Uint8Array.from([
      ...map(1, 5, [18, context.length, ...context]),
      ...map(2, 1, text("endpoint")),
      ...map(2, 2, text("/pay")),
    ]);
    const form = Buffer.concat(
      ["jfr", "labels"]
        .flatMap((name) => [
          Buffer.from(`--B\r\nContent-Disposition: form-data; name="${name}"; filename="${name}"\r\n\r\n`),
          gzipSync(name === "jfr" ? recording : snapshot),
          Buffer.from("\r\n"),
        ])
        .concat(Buffer.from("--B--\r\n")),
    );
    expect(await stacks({ format: "jfr", app: "shop", boundary: "B" }, form)).toEqual(
      [...allocated, `${labels('endpoint="/pay", ')} cpu 10000000 java/lang/Thread.run;Main.work`].sort(),
    );
  });
  it("survives mutated bodies of every format", async () => {
    const random = new Random(5);
    const seeds: [IngestRequest["format"], Uint8Array][] = [
      ["trie", Uint8Array.from(node("", 0, node("a;b;", 0, node("c", 5), node("d", 2))))],
      ["tree", Uint8Array.from(node("", 0, node("a", 1, node("b", 0, node("c", 5)))))],
      ["groups", Buffer.from("a;b 3\nc 4\n")],
      [
        "speedscope",
        Buffer.from(
          JSON.stringify({
            $schema: "https://www.speedscope.app/file-format-schema.json",
            shared: { frames: [{ name: "a" }] },
            profiles: [
              { type: "sampled", name: "p", unit: "seconds", startValue: 0, samples: [[0]], weights: [2] },
            ],
          }),
        ),
      ],
    ];
    const rounds = mutations(2000);
    for (const [format, seed] of seeds)
      for (let i = 0; i < rounds; i++)
        await run({ kind: "ingest", request: { ...base, format }, body: random.mutate(seed) });
  });
});
