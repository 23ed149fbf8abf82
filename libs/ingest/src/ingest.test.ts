import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";
import { mutations, Random, tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import type { IngestLimits } from "@cinderblock/tenant";

import {
  cutGoShapes,
  decodePush,
  parseRelabelRules,
  type ProcessedProfile,
  PushProcessor,
  RateGate,
  type SentPush,
  storedLabels,
} from "./index.ts";

import { jest } from "@jest/globals";

import { json, LIMITS, NAME, NOW, profile, run } from "./push.testing.ts";

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
