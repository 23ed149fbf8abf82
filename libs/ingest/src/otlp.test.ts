import { gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { encodePprof, PprofDecoder } from "@cinderblock/pprof";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { mutations, Random } from "@cinderblock/testkit";
import { type ProcessedProfile, PushProcessor, RateGate, type SentPush, stringAt } from "./index.ts";
import { FrameBudget } from "./frame-budget.ts";
import { OtlpReader } from "./otlp.ts";
import { framesOf } from "./testing.ts";

const NOW = 1_795_409_460_000;
const processed: string[] = [];
/** Prints `labels | type/unit value [sample labels] leaf<…<root` for every sample. */
const processor = loadHasher().then(
  (hasher) =>
    new PushProcessor(hasher, {
      append: (_t: string, p: ProcessedProfile) => {
        const t = p.profile.tables,
          { ids } = p;
        for (const g of p.groups)
          for (const s of g.samples) {
            const frames = framesOf(p, s, (name, line) => `${name}:${line}`).reverse();
            processed.push(
              `${labelsText(g.labels)} | ${stringAt(t, t.typeType.data[0]!)}/${stringAt(t, t.typeUnit.data[0]!)} ${t.value.data[t.sampleValues.data[s]!]} ${ids.spans ? `span=${ids.spans[2 * s]!.toString(16)} ` : ""}${ids.traces ? `trace=${Buffer.from(ids.traces.subarray(16 * s, 16 * s + 16)).toString("hex")} ` : ""}${frames.join("<")}`,
            );
          }
      },
    }),
);
async function push(p: SentPush): Promise<{ rows: string[]; error: string }> {
  processed.length = 0;
  const out = (await processor).process("t", p, TEST_LIMITS, new RateGate(new SharedArrayBuffer(8)), NOW);
  return { rows: [...processed].sort(), error: out.error?.message ?? "" };
}

const s = (v: string) => ({ stringValue: v });
const dictionary = {
  stringTable: [
    "",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    "work",
    "main",
    "main.c",
    "/bin/app",
    "service.name",
    "thread",
    "process.executable.build_id.gnu",
  ],
  mappingTable: [{}, { memoryStart: "4096", filenameStrindex: 8, attributeIndices: [3] }],
  functionTable: [{}, { nameStrindex: 5, filenameStrindex: 7 }, { nameStrindex: 6, filenameStrindex: 7 }],
  locationTable: [
    {},
    { mappingIndex: 1, address: "64", lines: [{ functionIndex: 1, line: "12" }] },
    { mappingIndex: 1, lines: [{ functionIndex: 2, line: "3" }] },
    { mappingIndex: 1, address: "8000" },
  ],
  linkTable: [{}, { traceId: "000102030405060708090a0b0c0d0e0f", spanId: "0102030405060708" }],
  stackTable: [{}, { locationIndices: [1, 2] }, { locationIndices: [3, 2] }],
  attributeTable: [
    {},
    { keyStrindex: 9, value: s("other") },
    { keyStrindex: 10, value: s("t1") },
    { keyStrindex: 11, value: s("abcd") },
  ],
};
const samples = [
  { stackIndex: 1, values: ["3"], attributeIndices: [2], linkIndex: 1 },
  { stackIndex: 2, timestampsUnixNano: ["1", "2"] },
  { stackIndex: 1, values: ["1"], attributeIndices: [1] },
];
const profile = {
  sampleType: { typeStrindex: 1, unitStrindex: 2 },
  periodType: { typeStrindex: 3, unitStrindex: 4 },
  period: "10000000",
  timeUnixNano: String(BigInt(NOW) * 1_000_000n),
  samples,
};
const request = {
  dictionary,
  resourceProfiles: [
    {
      resource: {
        attributes: [
          { key: "service.name", value: s("shop") },
          { key: "k8s.pod", value: s("p1") },
          { key: "replicas", value: { intValue: "3" } },
        ],
      },
      scopeProfiles: [
        { scope: { attributes: [{ key: "k8s.pod", value: s("second") }] }, profiles: [profile] },
      ],
    },
  ],
};
const json = (x: unknown): SentPush => ({
  kind: "otlp",
  codec: "json",
  gzip: false,
  body: Buffer.from(JSON.stringify(x)),
});

const ROWS = [
  '{__delta__="false", __name__="process_cpu", __otel__="true", k8s.pod="p1", replicas="3", service.name="shop", service_name="other"} | cpu/nanoseconds 10000000 work:12<main:3',
  '{__delta__="false", __name__="process_cpu", __otel__="true", k8s.pod="p1", replicas="3", service.name="shop", service_name="shop", thread="t1"} | cpu/nanoseconds 30000000 span=4030201 trace=000102030405060708090a0b0c0d0e0f work:12<main:3',
  '{__delta__="false", __name__="process_cpu", __otel__="true", k8s.pod="p1", replicas="3", service.name="shop", service_name="shop"} | cpu/nanoseconds 20000000 span=0 trace=00000000000000000000000000000000 /bin/app+8000<main:3',
].sort();

/** The same request as protobuf, encoded by hand. */
function proto(): Uint8Array {
  const varint = (v: number | bigint): number[] => {
    let n = BigInt.asUintN(64, BigInt(v));
    const out: number[] = [];
    while (n > 127n) {
      out.push(Number(n & 127n) | 128);
      n >>= 7n;
    }
    return [...out, Number(n)];
  };
  const num = (f: number, v: number | bigint): number[] => [...varint(f * 8), ...varint(v)];
  const ld = (f: number, body: ArrayLike<number>): number[] => [
    ...varint(f * 8 + 2),
    ...varint(body.length),
    ...Array.from(body),
  ];
  const str = (f: number, v: string): number[] => ld(f, Buffer.from(v));
  const fixed = (v: bigint): number[] => [...new Uint8Array(new BigUint64Array([v]).buffer)];
  const packed = (f: number, list: readonly (number | string)[]): number[] =>
    ld(
      f,
      list.flatMap((v) => varint(BigInt(v))),
    );
  const any = (v: { stringValue?: string; intValue?: string }): number[] =>
    v.stringValue !== undefined ? str(1, v.stringValue) : num(3, BigInt(v.intValue!));
  const kv = (a: { key: string; value: { stringValue?: string; intValue?: string } }): number[] => [
    ...str(1, a.key),
    ...ld(2, any(a.value)),
  ];
  const d = dictionary;
  const dict = [
    ...d.mappingTable.flatMap((m) =>
      ld(1, [
        ...num(1, BigInt(m.memoryStart ?? 0)),
        ...num(4, m.filenameStrindex ?? 0),
        ...packed(5, m.attributeIndices ?? []),
      ]),
    ),
    ...d.locationTable.flatMap((l) =>
      ld(2, [
        ...num(1, l.mappingIndex ?? 0),
        ...num(2, BigInt(l.address ?? 0)),
        ...(l.lines ?? []).flatMap((x) => ld(3, [...num(1, x.functionIndex), ...num(2, BigInt(x.line))])),
      ]),
    ),
    ...d.functionTable.flatMap((f) =>
      ld(3, [...num(1, f.nameStrindex ?? 0), ...num(3, f.filenameStrindex ?? 0)]),
    ),
    ...d.linkTable.flatMap((l) =>
      ld(
        4,
        l.traceId ? [...ld(1, Buffer.from(l.traceId, "hex")), ...ld(2, Buffer.from(l.spanId!, "hex"))] : [],
      ),
    ),
    ...d.stringTable.flatMap((x) => str(5, x)),
    ...d.attributeTable.flatMap((a) =>
      ld(6, a.value ? [...num(1, a.keyStrindex!), ...ld(2, any(a.value))] : []),
    ),
    ...d.stackTable.flatMap((x) => ld(7, packed(1, x.locationIndices ?? []))),
  ];
  const sample = (x: (typeof samples)[number]): number[] => [
    ...num(1, x.stackIndex),
    ...packed(2, x.attributeIndices ?? []),
    ...num(3, x.linkIndex ?? 0),
    ...packed(4, x.values ?? []),
    ...ld(
      5,
      (x.timestampsUnixNano ?? []).flatMap((v) => fixed(BigInt(v))),
    ),
  ];
  const p = [
    ...ld(1, [...num(1, 1), ...num(2, 2)]),
    ...samples.flatMap((x) => ld(2, sample(x))),
    25,
    ...fixed(BigInt(NOW) * 1_000_000n),
    ...ld(5, [...num(1, 3), ...num(2, 4)]),
    ...num(6, 10_000_000),
  ];
  const r = request.resourceProfiles[0]!;
  return Uint8Array.from([
    ...ld(1, [
      ...ld(
        1,
        r.resource.attributes.flatMap((a) => ld(1, kv(a))),
      ),
      ...ld(2, [
        ...ld(
          1,
          r.scopeProfiles[0]!.scope.attributes.flatMap((a) => ld(3, kv(a))),
        ),
        ...ld(2, p),
      ]),
    ]),
    ...ld(2, dict),
  ]);
}

describe("OTLP profiles", () => {
  it("become profiles with v1's labels, names and values, from JSON and protobuf, gzipped or not", async () => {
    expect(await push(json(request))).toEqual({ rows: ROWS, error: "" });
    expect(await push({ kind: "otlp", codec: "proto", gzip: false, body: proto() })).toEqual({
      rows: ROWS,
      error: "",
    });
    expect(await push({ kind: "otlp", codec: "proto", gzip: true, body: gzipSync(proto()) })).toEqual({
      rows: ROWS,
      error: "",
    });
  });
  it("keep their time and duration; without them, the time of the push and ten seconds", async () => {
    const seen: string[] = [],
      times = new PushProcessor(await loadHasher(), {
        append: (_t: string, p: ProcessedProfile) => {
          seen.push(`${p.profile.timeNanos} ${p.profile.tables.durationNanos}`);
        },
      });
    const earlier = BigInt(NOW - 60_000) * 1_000_000n;
    for (const part of [
      { timeUnixNano: String(earlier), durationNano: "5000000000" },
      { timeUnixNano: "0", durationNano: "0" },
    ]) {
      const { error } = times.process(
        "t",
        json({
          dictionary,
          resourceProfiles: [
            { scopeProfiles: [{ profiles: [{ ...profile, ...part, samples: [samples[1]] }] }] },
          ],
        }),
        TEST_LIMITS,
        new RateGate(new SharedArrayBuffer(8)),
        NOW,
      );
      expect(error).toBeUndefined();
    }
    expect(seen).toEqual([`${earlier} 5000000000`, `${BigInt(NOW) * 1_000_000n} 10000000000`]);
  });
  it("use the executable as the service of last resort", async () => {
    const { rows } = await push(
      json({
        dictionary,
        resourceProfiles: [
          {
            resource: { attributes: [{ key: "process.executable.name", value: s("sshd") }] },
            scopeProfiles: [{ profiles: [{ ...profile, samples: [samples[1]] }] }],
          },
        ],
      }),
    );
    expect(rows[0]).toContain('service_name="unknown_service:sshd"');
  });
  it("are refused with a reason: no dictionary, no profiles, an index out of range, invalid protobuf, invalid JSON", async () => {
    expect((await push(json({ resourceProfiles: request.resourceProfiles }))).error).toBe(
      "missing profile metadata dictionary",
    );
    expect((await push(json({ dictionary }))).error).toContain("resourceProfiles is empty");
    expect((await push(json({ ...request, dictionary: { ...dictionary, stackTable: [{}] } }))).error).toBe(
      "stack index 1 is out of range: the dictionary has 1 entries",
    );
    expect(
      (await push({ kind: "otlp", codec: "proto", gzip: false, body: Buffer.from("garbage") })).error,
    ).toContain("Failed to parse protobuf request");
    expect(
      (await push({ kind: "otlp", codec: "json", gzip: false, body: Buffer.from("{") })).error,
    ).toContain("Failed to parse JSON request");
  });
  const own = {
    samples: [{ stackIndex: 1, values: ["5"] }] as unknown[],
    dictionary: {} as Record<string, unknown>,
    profile: {} as Record<string, unknown>,
    attributes: request.resourceProfiles[0]!.resource.attributes as unknown[],
  };
  const changed = (part: Partial<typeof own>): SentPush => {
    const c = { ...own, ...part };
    return json({
      dictionary: { ...dictionary, ...c.dictionary },
      resourceProfiles: [
        {
          resource: { attributes: c.attributes },
          scopeProfiles: [{ profiles: [{ ...profile, samples: c.samples, ...c.profile }] }],
        },
      ],
    });
  };
  const refused = async (part: Partial<typeof own>, why: string): Promise<void> => {
    const { rows, error } = await push(changed(part));
    expect([rows, error]).toEqual([[], expect.stringContaining(why)]);
  };
  it("add the values of a sample, one for each of its timestamps", async () => {
    const wall = { sampleType: { typeStrindex: 10, unitStrindex: 4 } };
    for (const [samples, profile, want] of [
      [[{ stackIndex: 1, values: ["1", "2", "4"], timestampsUnixNano: ["1", "2", "3"] }], {}, 70_000_000],
      [[{ stackIndex: 1, values: ["1", "2", "4"] }], wall, 7],
      [[{ stackIndex: 1, timestampsUnixNano: ["1", "2", "3"] }], wall, 3],
    ] as const) {
      const { rows, error } = await push(changed({ samples: [...samples], profile }));
      expect([rows.map((r) => Number(/nanoseconds (\d+)/.exec(r)![1])), error]).toEqual([[want], ""]);
    }
  });
  it("take index 0 as none where a table is missing, and name any other index", async () => {
    const lines = [{ lines: [{ functionIndex: 1 }] }, { lines: [{ functionIndex: 1 }] }];
    for (const dictionary of [
      { mappingTable: [], locationTable: [{}, ...lines] },
      { mappingTable: null, locationTable: [{}, ...lines] },
      { linkTable: [], attributeTable: [], mappingTable: [], locationTable: [{}, ...lines] },
    ])
      expect((await push(changed({ dictionary }))).rows).toHaveLength(1);
    const location = (l: unknown): Partial<typeof own> => ({
      dictionary: { locationTable: [{}, l, lines[0]] },
    });
    await refused({ dictionary: { stackTable: [{}, { locationIndices: [9] }] } }, "location index 9");
    await refused({ dictionary: { stackTable: [{}, { locationIndices: [-3] }] } }, "location index -3");
    await refused({ dictionary: { locationTable: [] } }, "location index 1");
    await refused(location({ mappingIndex: 7 }), "mapping index 7");
    await refused(location({ lines: [{ functionIndex: 8 }] }), "function index 8");
    await refused({ dictionary: { functionTable: [{}, { nameStrindex: 77 }, {}] } }, "string index 77");
    await refused({ samples: [{ stackIndex: 9, values: ["1"] }] }, "stack index 9");
    await refused(
      { samples: [{ stackIndex: 1, values: ["1"], attributeIndices: [9] }] },
      "attribute index 9",
    );
    await refused({ samples: [{ stackIndex: 1, values: ["1"], linkIndex: -1 }] }, "link index -1");
  });
  it("are refused rather than stored without a part", async () => {
    for (const period of [undefined, "0", 0]) await refused({ profile: { period } }, "has the period 0");
    await refused({ profile: { periodType: undefined } }, 'of the type ""');
    await refused({ profile: { period: "-1" } }, "period is -1");
    await refused({ profile: { sampleType: undefined } }, "no sample type");
    await refused({ samples: [{ stackIndex: 1 }, { stackIndex: 1, values: ["5"] }] }, "neither values nor");
    await refused({ samples: [{ stackIndex: 1, values: ["9223372036854775807"] }] }, "the limit is");
    await refused({ samples: [{ stackIndex: 1, values: ["9223372036854775808"] }] }, "expected an integer");
    await refused({ profile: { samples: undefined, sample: [] } }, 'unknown field "sample" in a profile');
    await refused({ samples: [{ stackIndex: 1, value: ["5"] }] }, 'unknown field "value" in a sample');
    await refused({ profile: { sampleType: [{}] } }, "expected an object");
    const { rows } = await push(
      changed({ profile: { period_type: profile.periodType, periodType: undefined, time_unix_nano: "0" } }),
    );
    expect(rows).toHaveLength(1);
  });
  it("have the labels of v1: the first text of a key, of strings and integers alone", async () => {
    const { rows } = await push(
      changed({
        attributes: [
          { key: "service.name", value: s("") },
          { key: "service.name", value: s("shop") },
          { key: "a", value: s("") },
          { key: "a", value: s("1") },
          { key: "a", value: s("2") },
          { key: "one", value: { arrayValue: { values: [s("x")] } } },
          { key: "two", value: { arrayValue: { values: [s("x"), s("y")] } } },
          { key: "nested", value: { arrayValue: { values: [{ arrayValue: { values: [s("x")] } }] } } },
          { key: "bool", value: { boolValue: true } },
          { key: "constructor", value: s("c") },
          { key: "__proto__", value: s("p") },
          { key: "__name__", value: s("evil") },
          { key: "service_name", value: s("evil") },
        ],
        dictionary: {
          attributeTable: [
            {},
            { keyStrindex: 10, value: { boolValue: true } },
            { keyStrindex: 7, value: { doubleValue: 2.5 } },
            { keyStrindex: 6, value: { intValue: "4" } },
          ],
          mappingTable: [{}, {}],
        },
        samples: [{ stackIndex: 1, values: ["5"], attributeIndices: [1, 2, 3] }],
      }),
    );
    expect(rows.map((r) => r.slice(0, r.indexOf(" | ")))).toEqual([
      '{__delta__="false", __name__="process_cpu", __otel__="true", __proto__="p", a="1", constructor="c", main="4", one="x", service.name="shop", service_name="shop"}',
    ]);
  });
  describe("have flags of mappings that follow from the frames", () => {
    const lines = (fn: number, line?: number): object => ({ functionIndex: fn, ...(line ? { line } : {}) });
    const bare = { mappingIndex: 1, address: "8000" },
      whole = { mappingIndex: 1, lines: [lines(1, 12)] },
      inlined = { mappingIndex: 1, lines: [lines(1, 12), lines(2, 3)] };
    /** Flags `functions files lines inlined` of the mapping of each used location, in order of first use. */
    const flagsOf = (locations: object[], ...stacks: number[][]): string[] => {
      const body = {
        ...request,
        dictionary: {
          ...dictionary,
          mappingTable: [{}, { filenameStrindex: 8 }, { filenameStrindex: 7 }],
          functionTable: [...dictionary.functionTable, { nameStrindex: 10 }],
          locationTable: [{}, ...locations],
          stackTable: [{}, ...stacks.map((locationIndices) => ({ locationIndices }))],
        },
        resourceProfiles: [
          {
            scopeProfiles: [
              {
                profiles: [
                  { ...profile, samples: stacks.map((_, i) => ({ stackIndex: i + 1, values: ["1"] })) },
                ],
              },
            ],
          },
        ],
      };
      const reader = new OtlpReader(),
        [series] = reader.series(
          reader.read(Buffer.from(JSON.stringify(body)), "json"),
          1n,
          new FrameBudget(0),
        ),
        t = new PprofDecoder().decode(encodePprof(series!.header, series!.source)),
        names = ["functions", "files", "lines", "inlined"];
      return Array.from({ length: t.locations }, (_, l) => {
        const m = t.locMappingLo.data[l]! - 1;
        return `${stringAt(t, t.mappingFilename.data[m]!)} ${names.filter((_, k) => t.mappingFlags.data[m]! & (8 >> k)).join(" ")}`;
      });
    };
    it.each<[string, object[], string]>([
      ["functions, files and lines", [whole], "functions files lines"],
      ["inlined frames, which say nothing", [inlined], "functions files lines"],
      ["a frame without a line", [whole, { mappingIndex: 1, lines: [lines(2)] }], "functions files"],
      ["a function without a file", [whole, { mappingIndex: 1, lines: [lines(3, 4)] }], "functions lines"],
      ["a line without a function", [whole, { mappingIndex: 1, lines: [lines(0, 4)] }], "files lines"],
      ["a frame without lines", [whole, bare], ""],
    ])("%s", (_what, locations, want) => {
      const stack = locations.map((_, i) => i + 1);
      expect(flagsOf(locations, stack)).toEqual(locations.map(() => `/bin/app ${want}`));
    });
    it("in the first stack with the frame, as in v1", () => {
      const other = { mappingIndex: 2, lines: [lines(2, 3)] };
      expect(flagsOf([whole, bare, other], [1, 3], [2, 3], [2, 1])).toEqual([
        "/bin/app functions files lines",
        "main.c functions files lines",
        "/bin/app ",
      ]);
      expect(flagsOf([whole, bare, other], [2, 1, 3], [1], [3])).toEqual([
        "/bin/app ",
        "/bin/app ",
        "main.c functions files lines",
      ]);
    });
  });
  it("survive mutated bodies", async () => {
    const random = new Random(20261124),
      seeds: SentPush[] = [json(request), { kind: "otlp", codec: "proto", gzip: false, body: proto() }];
    const rounds = mutations(1500);
    let fine = 0;
    for (const seed of seeds)
      for (let i = 0; i < rounds; i++)
        if ((await push({ ...seed, body: random.mutate(seed.body) } as SentPush)).error === "") fine++;
    expect(fine).toBeGreaterThan(rounds / 20);
  });
});
