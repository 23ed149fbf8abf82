import { loadHasher } from "@cinderblock/bytes";
import { tinyPprof } from "@cinderblock/testkit";
import type { IngestLimits } from "@cinderblock/tenant";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { parseSampling, parseUsageGroups, PushProcessor, RateGate } from "./index.ts";
import { membershipsOf, samplingOf } from "./usage-groups.ts";

const NOW = 1_795_409_460_000;
const label = (o: Record<string, string>) => Object.entries(o).map(([name, value]) => ({ name, value }));

describe("usage groups", () => {
  it("are the matching selectors of a series; names are filled in from its labels", () => {
    const groups = parseUsageGroups(
      { shop: '{service_name=~"shop.*"}', "team ${labels.team}": '{team!=""}', prod: '{env="prod"}' },
      "x",
    );
    const of = (o: Record<string, string>): string[] => membershipsOf(groups, label(o)).map((m) => m.name);
    expect(of({ service_name: "shop-cart", team: "a", env: "prod" })).toEqual(["shop", "team a", "prod"]);
    expect(of({ service_name: "other", team: "b" })).toEqual(["team b"]);
    expect(of({ service_name: "other" })).toEqual([]);
  });

  it.each([
    [["a"], "expected names, each with a selector"],
    [{ other: "{}" }, "the name other is reserved for profiles without a group"],
    [{ "": "{}" }, "needs a name"],
    [{ a: 1 }, "a: expected a selector as a string"],
    [{ a: "{" }, ""],
    [{ "a ${x}": "{}" }, "write placeholders as ${labels.<name>}"],
    [
      Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`g${i}`, "{}"])),
      "51 usage groups; the limit is 50",
    ],
  ])("refuses %j", (value, message) => {
    expect(() => parseUsageGroups(value, "x")).toThrow(message);
  });

  it.each([
    [{ groups: {} }, "unknown key groups"],
    [{ usage_groups: { a: { probability: 2 } } }, "a: expected a probability from 0 to 1, found 2"],
    [{ usage_groups: { a: {} } }, "found undefined"],
    [{ usage_groups: { a: { rate: 1 } } }, "a: unknown key rate"],
  ])("refuses the sampling %j", (value, message) => {
    expect(() => parseSampling(value, "x")).toThrow(message);
  });

  it("are sampled by the smallest probability; among equal ones by the group with a fixed name", () => {
    const groups = parseUsageGroups(
      { "team ${labels.team}": '{team!=""}', all: "{}", shop: '{service_name="shop"}' },
      "x",
    );
    const rules = (r: Record<string, number>) =>
      parseSampling(
        {
          usage_groups: Object.fromEntries(Object.entries(r).map(([k, probability]) => [k, { probability }])),
        },
        "x",
      );
    const shop = membershipsOf(groups, label({ service_name: "shop", team: "a" }));
    expect(samplingOf(shop, rules({ all: 0.5, shop: 0.1 }))).toEqual({ probability: 0.1, by: "shop" });
    expect(samplingOf(shop, rules({ "team ${labels.team}": 0.1, all: 0.1 }))).toEqual({
      probability: 0.1,
      by: "all",
    });
    expect(samplingOf(shop, rules({ "team a": 0.2, "team ${labels.team}": 0.1 }))).toEqual({
      probability: 0.2,
      by: "team a",
    });
    expect(samplingOf(shop, rules({ nobody: 0 }))).toBeUndefined();
    expect(samplingOf([], rules({ all: 0 }))).toBeUndefined();
  });

  it("count received profiles, and every reader drops the same ones", async () => {
    const limits: IngestLimits = {
      ...TEST_LIMITS,
      ingestionRateBytes: 1e12,
      ingestionBurstBytes: 1e12,
      rejectOlderThanMs: 0,
      rejectNewerThanMs: 0,
      usageGroups: parseUsageGroups({ shop: '{service_name="shop"}' }, "x"),
      sampling: parseSampling({ usage_groups: { shop: { probability: 0.25 } } }, "x"),
    };
    const kept = async (): Promise<number[]> => {
      const out: number[] = [],
        marks: unknown[] = [];
      let at = 0;
      const processor = new PushProcessor(await loadHasher(), {
          append: (_tenant, p) => {
            out.push(at);
            marks.push(p.annotations);
          },
        }),
        gate = new RateGate(new SharedArrayBuffer(8));
      for (at = 0; at < 1000; at++) {
        const raw = Buffer.from(
          tinyPprof({
            stacks: [{ frames: ["main"], values: [1] }],
            timeNanos: BigInt(NOW + at) * 1_000_000n,
          }),
        );
        const push = (service: string) =>
          processor.process(
            "t",
            {
              kind: "push",
              codec: "json",
              gzip: false,
              body: Buffer.from(
                JSON.stringify({
                  series: [
                    {
                      labels: label({ __name__: "process_cpu", service_name: service }),
                      samples: [{ rawProfile: raw.toString("base64") }],
                    },
                  ],
                }),
              ),
            },
            limits,
            gate,
            NOW,
          );
        const before = out.length,
          outcome = push("shop");
        expect(outcome.error).toBeUndefined();
        expect(outcome.groups).toEqual(new Map([["shop", raw.length]]));
        expect(outcome.discarded).toEqual(
          out.length > before
            ? []
            : [{ reason: "dropped_by_sampling_rules", profiles: 1, bytes: raw.length, groups: ["shop"] }],
        );
        if (at === 0) {
          const other = push("elsewhere");
          expect([other.groups, other.discarded]).toEqual([new Map([["other", raw.length]]), []]);
          out.pop();
          expect(marks.pop()).toEqual([]);
        }
      }
      expect(new Set(marks.map((m) => JSON.stringify(m)))).toEqual(
        new Set([
          JSON.stringify([
            {
              key: "pyroscope.ingest.sampled",
              value: '{"body":{"source":{"usageGroup":"shop","probability":0.25}}}',
            },
          ]),
        ]),
      );
      return out;
    };
    const first = await kept();
    expect(first.length).toBeGreaterThan(180);
    expect(first.length).toBeLessThan(320);
    expect(await kept()).toEqual(first);
  });

  it("of one profile are not those of the next, which cannot be decoded", async () => {
    const limits: IngestLimits = {
      ...TEST_LIMITS,
      rejectOlderThanMs: 0,
      rejectNewerThanMs: 0,
      usageGroups: parseUsageGroups({ shop: '{service_name="shop"}' }, "x"),
    };
    const processor = new PushProcessor(await loadHasher(), { append: () => {} }),
      series = (service: string, raw: Uint8Array) => ({
        labels: label({ __name__: "process_cpu", service_name: service }),
        samples: [{ rawProfile: Buffer.from(raw).toString("base64") }],
      }),
      good = tinyPprof({ stacks: [{ frames: ["main"], values: [1] }], timeNanos: BigInt(NOW) * 1_000_000n });
    const outcome = processor.process(
      "t",
      {
        kind: "push",
        codec: "json",
        gzip: false,
        body: Buffer.from(
          JSON.stringify({ series: [series("shop", good), series("elsewhere", Buffer.from([0xff]))] }),
        ),
      },
      limits,
      new RateGate(new SharedArrayBuffer(8)),
      NOW,
    );
    expect(outcome.groups).toEqual(new Map([["shop", good.length]]));
    expect(outcome.discarded).toEqual([{ reason: "malformed_profile", profiles: 1, bytes: 1 }]);
  });
});
