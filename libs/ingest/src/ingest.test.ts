import { gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { type Labels, labelsText } from "@cinderblock/model";
import { mutations, Random, tinyJfr, tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import type { IngestLimits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import {
  cutGoShapes,
  decodePush,
  type IngestRequest,
  parseAppName,
  parseRelabelRules,
  parseTime,
  type ProcessedProfile,
  PushProcessor,
  RateGate,
  type SentPush,
  storedLabels,
  stringAt,
} from "./index.ts";
import { framesOf } from "./testing.ts";
import { jest } from "@jest/globals";

const LIMITS: IngestLimits = {
  ...TEST_LIMITS,
  ingestionRateBytes: 1e9,
  ingestionBurstBytes: 1e9,
  rejectOlderThanMs: 36e5,
  rejectNewerThanMs: 6e5,
};
const NOW = 1_795_409_460_000;
const json = (labels: Record<string, string>, ...profiles: Uint8Array[]): SentPush => ({
  kind: "push",
  codec: "json",
  gzip: false,
  body: Buffer.from(
    JSON.stringify({
      series: [
        {
          labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
          samples: profiles.map((p) => ({ rawProfile: Buffer.from(p).toString("base64") })),
        },
      ],
    }),
  ),
});
const profile = (p: Partial<TinyProfile> = {}): Uint8Array =>
  gzipSync(
    tinyPprof({
      stacks: [{ frames: ["main", "work"], values: [5] }],
      timeNanos: BigInt(NOW) * 1_000_000n,
      ...p,
    }),
  );
const NAME = { __name__: "process_cpu", service_name: "shop" };

let groups: { labels: Labels; samples: number; id: string }[] = [];
const processor = loadHasher().then(
  (hasher) =>
    new PushProcessor(hasher, {
      append: (_t: string, p: ProcessedProfile) => {
        for (const g of p.groups)
          groups.push({ labels: g.labels, samples: g.samples.length, id: Buffer.from(g.id).toString("hex") });
      },
    }),
);

async function run(push: SentPush, limits: Partial<IngestLimits> = {}) {
  groups = [];
  const outcome = (await processor).process(
    "t",
    push,
    { ...LIMITS, ...limits },
    new RateGate(new SharedArrayBuffer(8)),
    NOW,
  );
  return { groups, outcome };
}

describe("processing a push", () => {
  it("stores nothing for empty, zero and negative samples, and reports success", async () => {
    const negative = { frames: ["a"], values: [-1] },
      lost = (profiles: number) => [{ reason: "malformed_profile", profiles, bytes: 0 }];
    for (const [stacks, stored, discarded] of [
      [[], 0, []],
      [[{ frames: ["a"], values: [0] }], 0, []],
      [[negative], 0, lost(1)],
      [[negative, { frames: ["b"], values: [-2] }, { frames: ["c"], values: [3] }], 1, lost(2)],
    ] as const) {
      const { groups, outcome } = await run(json(NAME, profile({ stacks: [...stacks] as never })));
      expect(outcome.error).toBeUndefined();
      expect(groups).toHaveLength(stored);
      expect(outcome.discarded).toEqual(discarded);
    }
  });
  it("splits by sample labels, spans apart; a series label takes precedence", async () => {
    const { groups } = await run(
      json(
        NAME,
        profile({
          stacks: [
            { frames: ["a"], values: [1], labels: { endpoint: "/x", span_id: "0102030405060708" } },
            { frames: ["b"], values: [1], labels: { endpoint: "/y", service_name: "other" } },
            { frames: ["c"], values: [1] },
          ],
        }),
      ),
    );
    expect(groups.map((g) => labelsText(g.labels)).sort()).toEqual([
      '{__name__="process_cpu", endpoint="/x", service_name="shop"}',
      '{__name__="process_cpu", endpoint="/y", service_name="shop"}',
      '{__name__="process_cpu", service_name="shop"}',
    ]);
  });
  it("leaves out sample labels without a name", async () => {
    const stacks = [
        { frames: ["a"], values: [1], labels: { "": "x", endpoint: "/x" } },
        { frames: ["b"], values: [1], labels: { "": "y", endpoint: "/x" } },
        { frames: ["c"], values: [1], labels: { "": "z", trace_id: "0102030405060708090a0b0c0d0e0f10" } },
      ],
      { groups, outcome } = await run(json(NAME, profile({ stacks })));
    expect(outcome.error).toBeUndefined();
    expect(groups.map((g) => [labelsText(g.labels), g.samples]).sort()).toEqual([
      ['{__name__="process_cpu", endpoint="/x", service_name="shop"}', 2],
      ['{__name__="process_cpu", service_name="shop"}', 1],
    ]);
  });
  it("refuses a name that cannot be a part of a profile type", async () => {
    const { groups, outcome } = await run(json({ ...NAME, __name__: "team:cpu" }, profile()));
    expect(groups).toEqual([]);
    expect(outcome.error).toMatchObject({
      kind: "invalid",
      message:
        'invalid labels \'{__name__="team:cpu", service_name="shop"}\' with error: __name__ contains :',
    });
    expect(outcome.discarded).toMatchObject([{ reason: "invalid_labels", profiles: 1 }]);
  });
  it("keeps samples of locations whose mapping is missing, without a mapping", async () => {
    // Locations of the kernel's profiles have IDs 1, 2, …; other IDs take the path without the kernel.
    for (const ids of [{}, { locationIds: [7, 9], functionIds: [1, 2] }]) {
      const { groups, outcome } = await run(json(NAME, profile({ mappingId: 9, ...ids })));
      expect(outcome).toMatchObject({ error: undefined, discarded: [] });
      expect(groups.map((g) => g.samples)).toEqual([1]);
    }
  });
  it("gives a retry the same ID, and another profile of the same time a different one", async () => {
    const a = await run(json(NAME, profile())),
      retry = await run(json(NAME, profile())),
      other = await run(json(NAME, profile({ stacks: [{ frames: ["main"], values: [5] }] })));
    expect(retry.groups[0]!.id).toBe(a.groups[0]!.id);
    expect(other.groups[0]!.id).not.toBe(a.groups[0]!.id);
  });
  it("keeps the good profile of a push with a bad one, and reports the bad one", async () => {
    const { groups, outcome } = await run(json(NAME, profile(), Buffer.from("this is not a profile")));
    expect(groups).toHaveLength(1);
    expect(outcome.error?.kind).toBe("unknown");
    expect(outcome.discarded).toEqual([{ reason: "malformed_profile", profiles: 1, bytes: 21 }]);
  });
  it("renames godeltaprof's series and marks them as deltas", async () => {
    const { groups } = await run(json({ __name__: "godeltaprof_memory", service_name: "shop" }, profile()));
    expect(labelsText(groups[0]!.labels)).toBe(
      '{__delta__="false", __name__="memory", __name_replaced__="godeltaprof_memory", service_name="shop"}',
    );
  });
  it("applies the tenant's relabeling rules before or after the default ones", async () => {
    const rules = (yaml: unknown) => parseRelabelRules(yaml, "rules");
    const name = { __name__: "godeltaprof_memory", service_name: "shop", pod: "p-1" };
    const after = await run(json(name, profile()), {
      relabelRules: rules([
        { source_labels: ["__name__"], target_label: "kind" },
        { action: "labeldrop", regex: "pod" },
      ]),
    });
    expect(labelsText(after.groups[0]!.labels)).toBe(
      '{__delta__="false", __name__="memory", __name_replaced__="godeltaprof_memory", kind="memory", service_name="shop"}',
    );
    const before = await run(json(name, profile()), {
      relabelDefaultRules: "last",
      relabelRules: rules([{ source_labels: ["__name__"], target_label: "kind" }]),
    });
    expect(labelsText(before.groups[0]!.labels)).toContain('kind="godeltaprof_memory"');
    // Dropping is no error; another series of the same profile stays.
    const dropped = await run(
      json(
        NAME,
        profile({
          stacks: [
            { frames: ["a"], values: [1], labels: { endpoint: "/health" } },
            { frames: ["b"], values: [1] },
          ],
        }),
      ),
      { relabelRules: rules([{ action: "drop", source_labels: ["endpoint"], regex: "/health" }]) },
    );
    expect(dropped.outcome.error).toBeUndefined();
    expect(dropped.groups.map((g) => labelsText(g.labels))).toEqual([
      '{__name__="process_cpu", service_name="shop"}',
    ]);
    expect(dropped.outcome.discarded.map((d) => d.reason)).toEqual(["dropped_by_relabel_rules"]);
    const gone = await run(json(NAME, profile()), {
      relabelRules: rules([{ action: "keep", source_labels: ["service_name"], regex: "other" }]),
    });
    expect([gone.groups, gone.outcome.error]).toEqual([[], undefined]);
    // A series whose service the rules remove is refused like a series that never had one.
    const bare = await run(json(NAME, profile()), {
      relabelRules: rules([{ action: "replace", target_label: "service_name", replacement: "" }]),
    });
    expect(bare.outcome.error?.message).toContain("service name is not provided");
  });
  it("hashes no bytes for a check-only sink", async () => {
    const hasher = await loadHasher(),
      hash = jest.spyOn(hasher, "h64"),
      ids: Uint8Array[] = [];
    const sink = {
      append: (_t: string, p: ProcessedProfile): void => {
        ids.push(...p.groups.map((g) => g.id));
      },
    };
    const hashed = (own: PushProcessor): number => {
      hash.mockClear();
      own.process("t", json(NAME, profile()), LIMITS, new RateGate(new SharedArrayBuffer(8)), NOW);
      return hash.mock.calls.length;
    };
    expect(hashed(new PushProcessor(hasher, sink))).toBeGreaterThan(0);
    expect(hashed(new PushProcessor(hasher, { ...sink, checksOnly: true }))).toBe(0);
    expect(ids.map((id) => id.length)).toEqual([16, 0]);
    hash.mockRestore();
  });
  it("inflates only profiles that may be cumulative, for a cumulative-only sink", async () => {
    const seen: string[] = [],
      own = new PushProcessor(await loadHasher(), {
        cumulativeOnly: () => true,
        append: (_t, p) => {
          for (const g of p.groups) seen.push(labelsText(g.labels));
        },
      });
    const bytes = (push: SentPush, limits: Partial<IngestLimits> = {}): number =>
      own.process("t", push, { ...LIMITS, ...limits }, new RateGate(new SharedArrayBuffer(8)), NOW)
        .decompressedBytes;
    const memory = { __name__: "memory", service_name: "shop" };
    expect([
      bytes(json(NAME, profile())),
      bytes(json({ ...memory, __delta__: "false" }, profile())),
      bytes(json({ ...memory, __name__: "godeltaprof_memory" }, profile())),
    ]).toEqual([0, 0, 0]);
    expect(seen).toEqual([]);
    expect(bytes(json(memory, profile()))).toBeGreaterThan(0);
    expect(seen).toEqual(['{__name__="memory", service_name="shop"}']);
    // A rule may rename the profile to a cumulative one.
    expect(
      bytes(json(NAME, profile()), {
        relabelRules: parseRelabelRules([{ target_label: "__name__", replacement: "memory" }], "rules"),
      }),
    ).toBeGreaterThan(0);
    expect(seen.at(-1)).toContain('__name__="memory"');
  });
  it("stores only the sample types that the rules keep", async () => {
    const two = profile({
      types: [
        ["alloc_objects", "count"],
        ["alloc_space", "bytes"],
      ],
      stacks: [{ frames: ["main"], values: [3, 300] }],
    });
    const values: bigint[][] = [];
    const own = new PushProcessor(await loadHasher(), {
      append: (_t, p) => {
        values.push([...p.profile.tables.value.view()]);
      },
    });
    const rules = parseRelabelRules(
      [{ action: "drop", source_labels: ["__type__"], regex: "alloc_objects" }],
      "rules",
    );
    own.process(
      "t",
      json(NAME, two),
      { ...LIMITS, sampleTypeRelabelRules: rules },
      new RateGate(new SharedArrayBuffer(8)),
      NOW,
    );
    expect(values).toEqual([[0n, 300n]]);
  });
  it.each<[string, Record<string, string>, Partial<TinyProfile>, Partial<IngestLimits>, string, string]>([
    ["a name that is missing", { service_name: "s" }, {}, {}, "invalid_labels", "invalid metric name"],
    [
      "too many labels",
      { ...NAME, a: "1" },
      {},
      { maxLabelNamesPerSeries: 2 },
      "max_label_names_per_series",
      "has 3 label names; limit 2",
    ],
    [
      "a long label name",
      { ...NAME, abcdefghijklmno: "1" },
      {},
      { maxLabelNameLength: 12 },
      "label_name_too_long",
      "label name too long",
    ],
    [
      "a long label value",
      { ...NAME, a: "x".repeat(40) },
      {},
      { maxLabelValueLength: 30 },
      "label_value_too_long",
      "label value too long",
    ],
    [
      "an old profile",
      NAME,
      { timeNanos: BigInt(NOW - 2 * 36e5) * 1_000_000n },
      {},
      "not_in_ingestion_window",
      "is outside of ingestion window",
    ],
    [
      "a future profile",
      NAME,
      { timeNanos: BigInt(NOW + 36e5) * 1_000_000n },
      {},
      "not_in_ingestion_window",
      "is outside of ingestion window",
    ],
    [
      "too many samples",
      NAME,
      {
        stacks: [
          { frames: ["a"], values: [1] },
          { frames: ["b"], values: [1] },
        ],
      },
      { maxProfileStacktraceSamples: 1 },
      "samples_limit",
      "max_profile_stacktrace_samples, actual: 2, limit: 1",
    ],
    [
      "a sample type with a dash",
      NAME,
      { types: [["cpu-time", "ns"]] },
      {},
      "malformed_profile",
      "sample type contains -",
    ],
    [
      "values that do not fit the types",
      NAME,
      { stacks: [{ frames: ["a"], values: [1, 2] }] },
      {},
      "malformed_profile",
      "sample value length mismatch",
    ],
    [
      "more than the burst",
      NAME,
      {},
      { ingestionRateBytes: 100, ingestionBurstBytes: 10 },
      "rate_limited",
      "push rate limit",
    ],
  ])("refuses %s", async (_what, labels, p, limits, reason, message) => {
    const { groups, outcome } = await run(json(labels, profile(p)), limits);
    expect(groups).toEqual([]);
    expect(outcome.error?.message).toContain(message);
    expect(outcome.discarded[0]?.reason).toBe(reason);
  });
  it("survives mutated bodies of each kind", async () => {
    const random = new Random(99);
    const seeds: SentPush[] = [
      json(NAME, profile()),
      {
        kind: "push",
        codec: "json",
        gzip: false,
        body: json(NAME, tinyPprof({ stacks: [{ frames: ["x"], values: [1], labels: { a: "b" } }] })).body,
      },
    ];
    const rounds = mutations(1500);
    for (const seed of seeds)
      for (let i = 0; i < rounds; i++) await run({ ...seed, body: random.mutate(seed.body) } as SentPush);
    for (let i = 0; i < rounds; i++) {
      try {
        decodePush(random.mutate(Uint8Array.of(10, 12, 10, 6, 10, 1, 97, 18, 1, 98, 18, 2, 10, 0)));
      } catch (err) {
        expect((err as Error).message).toContain("unmarshal message");
      }
    }
  });
});

describe("/ingest names and times", () => {
  it("reads tags, drops private ones, and uses __name__ as the application", () => {
    expect(parseAppName("my.app{a=b, c = d,__x__=1,__session_id__=2}")).toEqual({
      app: "my.app",
      tags: [
        { name: "a", value: "b" },
        { name: "c", value: "d" },
        { name: "__session_id__", value: "2" },
      ],
    });
    expect(parseAppName("x{__name__=y}").app).toBe("y");
    expect(() => parseAppName("{a=b}")).toThrow("service name is required");
    expect(() => parseAppName("a b")).toThrow("not allowed");
  });
  it("reads v1's time syntax; invalid times become now", () => {
    const at = (s: string): number => parseTime(s, NOW);
    expect([
      at("1795409460"),
      at("1795409460123"),
      at("1795409460123456"),
      at("1795409460123456789"),
      at("1795691485418000000"),
      at("20261123"),
      at("now-1h30m"),
      at("now-2h+3m"),
      at("now-1hour"),
      at("now-30minutes"),
      at("now-2months"),
      at("now-1weeks"),
      at("now + 2d"),
      at("zzz"),
      at(""),
      at("now-1constructor"),
      at("now-1__proto__"),
      at("now-3h-1toString"),
      at("9".repeat(400)),
      at(`now-${"9".repeat(400)}y`),
    ]).toEqual([
      1795409460000,
      1795409460123,
      1795409460123,
      1795409460123,
      1795691485418,
      Date.UTC(2026, 10, 23),
      NOW - 54e5,
      NOW - 117 * 6e4,
      NOW - 36e5,
      NOW - 18e5,
      NOW - 60 * 864e5,
      NOW - 7 * 864e5,
      NOW + 2 * 864e5,
      NOW,
      NOW,
      NOW,
      NOW,
      NOW - 3 * 36e5,
      864e13,
      -864e13,
    ]);
  });
  it("takes the time of a profile before 1970 as none", async () => {
    const times: bigint[] = [];
    const own = new PushProcessor(await loadHasher(), {
      append: (_t: string, p: ProcessedProfile) => times.push(p.profile.timeNanos),
    });
    for (const timeNanos of [-6795364578871345152n, -1n, -3_600_000_000_000n]) {
      const bytes = profile({ timeNanos });
      for (const push of [
        json(NAME, bytes),
        {
          kind: "ingest" as const,
          request: {
            app: "shop",
            tags: [],
            format: "pprof" as const,
            boundary: "",
            spyName: "x",
            sampleRate: 100,
            fromNanos: BigInt(NOW) * 1_000_000n,
            durationNanos: 0n,
          },
          body: bytes,
        },
      ])
        expect(
          own.process("t", push, LIMITS, new RateGate(new SharedArrayBuffer(8)), NOW).error,
        ).toBeUndefined();
    }
    expect(times).toEqual(new Array(6).fill(BigInt(NOW) * 1_000_000n));
  });
  it("turns folded stacks into profiles with the type of the name", async () => {
    const request = {
      app: "shop.cpu",
      tags: [],
      format: "groups" as const,
      boundary: "",
      spyName: "x",
      sampleRate: 100,
      fromNanos: BigInt(NOW) * 1_000_000n,
      durationNanos: 0n,
    };
    const { groups } = await run({ kind: "ingest", request, body: Buffer.from("a;b 3\nnocount\na 1\n") });
    expect(labelsText(groups[0]!.labels)).toBe(
      '{__delta__="false", __name__="process_cpu", pyroscope_spy="x", service_name="shop"}',
    );
    expect(groups[0]!.samples).toBe(2);
    const { outcome: counted } = await run({
      kind: "ingest",
      request,
      body: Buffer.from("a;b 3\nnocount\nnone\n"),
    });
    expect(counted.discarded).toEqual([{ reason: "malformed_profile", profiles: 2, bytes: 0 }]);
    for (const [text, why] of [
      ["nocount\n", "expected a count at the end of each line"],
      ["a;b 3.5\n", 'parsing "3.5": invalid syntax'],
      ["a;b -3\n", "-3 is negative"],
      ["a;b 99999999999999999999\n", "is above 9223372036854775807"],
      // Converting so many digits would take minutes.
      [`a;b ${"9".repeat(5_000_000)}\n`, "a number of 5000000 digits is above 9223372036854775807"],
      ["a;b 9223372036854775807\n", "a stack's value is 92233720368547758070000000"],
    ] as const) {
      const refused = await run({ kind: "ingest", request, body: Buffer.from(text) });
      expect([refused.groups, refused.outcome.error?.kind]).toEqual([[], "unknown"]);
      expect(refused.outcome.error?.message).toContain(why);
    }
    const { outcome } = await run({
      kind: "ingest",
      request: { ...request, app: "shop.unheard" },
      body: Buffer.from("a 1"),
    });
    expect(outcome.error?.message).toContain("unknown profile type: unheard");
  });
});

it("removes Go's shape parameters, nested ones too", () => {
  expect(cutGoShapes("f[go.shape.int]")).toBe("f");
  expect(cutGoShapes("a.Map[go.shape.struct { X []int },go.shape.string].Get")).toBe("a.Map.Get");
  expect(cutGoShapes("f[int]")).toBe("f[int]");
});

it("adds the labels of a sample type, which take precedence", () => {
  const out = storedLabels(
    [
      { name: "__name__", value: "memory" },
      { name: "__delta__", value: "false" },
      { name: "__type__", value: "mine" },
      { name: "empty", value: "" },
      { name: "service_name", value: "s" },
    ],
    { type: "inuse_space", unit: "bytes", periodType: "space", periodUnit: "bytes", hasPeriod: true },
  );
  expect(labelsText(out)).toBe(
    '{__name__="memory", __period_type__="space", __period_unit__="bytes", __profile_type__="memory:inuse_space:bytes:space:bytes", __service_name__="s", __type__="inuse_space", __unit__="bytes", service_name="s"}',
  );
});

describe("rate gate", () => {
  it("allows a burst and then the rate", () => {
    const gate = new RateGate(new SharedArrayBuffer(8));
    expect([
      gate.tryConsume(100, 100, 100, 1_000_000_000n),
      gate.tryConsume(1, 100, 100, 1_000_000_000n),
      gate.tryConsume(50, 100, 100, 1_500_000_000n),
      gate.tryConsume(1, 100, 100, 1_500_000_000n),
    ]).toEqual([true, false, true, false]);
  });
});

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
