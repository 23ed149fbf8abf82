import { loadHasher } from "@cinderblock/bytes";
import type { Annotations } from "@cinderblock/model";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof } from "@cinderblock/testkit";
import { IngestionGate, parseIngestionLimit, parseUsageGroups, PushProcessor, RateGate } from "./index.ts";

const NOW = 1_795_409_460_000;
const INGEST = {
  app: "shop.cpu",
  tags: [],
  format: "groups",
  boundary: "",
  spyName: "",
  sampleRate: 100,
  fromNanos: 0n,
  durationNanos: 0n,
} as const;

describe("ingestion limits", () => {
  it("are read as v1 writes them", () => {
    expect(parseIngestionLimit(null, "x")).toBeUndefined();
    expect(
      parseIngestionLimit(
        {
          period_type: "hour",
          period_limit_mb: 128,
          limit_reset_time: 1795411800,
          limit_reached: true,
          sampling: { num_requests: 2, period: "10m" },
          usage_groups: { a: { limit_reached: true, period_limit_mb: 64 }, b: { period_limit_mb: 64 } },
        },
        "x",
      ),
    ).toEqual({
      periodType: "hour",
      periodLimitMb: 128,
      resetMs: 1795411800000,
      reached: true,
      trickle: { requests: 2, periodMs: 600_000 },
      groupsOverLimit: [{ name: "a", periodLimitMb: 64 }],
    });
    expect(parseIngestionLimit({}, "x")).toEqual({
      periodType: "",
      periodLimitMb: 0,
      resetMs: 0,
      reached: false,
      trickle: undefined,
      groupsOverLimit: [],
    });
  });

  it.each([
    [[], "x: expected period_type"],
    [{ limit: 1 }, "x: unknown key limit"],
    [{ period_limit_mb: -1 }, "period_limit_mb: expected a number, found -1"],
    [{ limit_reached: "yes" }, 'limit_reached: expected true or false, found "yes"'],
    [{ sampling: { every: 1 } }, "sampling: unknown key every"],
    [{ sampling: { num_requests: 1, period: "soon" } }, "not a valid duration"],
    [{ usage_groups: { a: { x: 1 } } }, "usage_groups: a: unknown key x"],
  ])("refuse %j", (value, message) => {
    expect(() => parseIngestionLimit(value, "x")).toThrow(message);
  });

  it("refuse a tenant's pushes until the reset, except a trickle", () => {
    const gate = new IngestionGate(),
      limit = parseIngestionLimit(
        {
          period_type: "hour",
          period_limit_mb: 128,
          limit_reset_time: 1795411800,
          limit_reached: true,
          sampling: { num_requests: 2, period: "10m" },
        },
        "x",
      )!;
    const taken = (tenant: string, at: number): boolean => {
      try {
        gate.check(tenant, limit, at);
        return true;
      } catch (err) {
        expect([
          (err as { kind: string }).kind,
          (err as { reason: string }).reason,
          (err as Error).message,
        ]).toEqual([
          "limit",
          "ingest_limit_reached",
          "limit of 128 MB per hour reached, next reset at 2026-11-23T05:30:00.000Z",
        ]);
        return false;
      }
    };
    expect([0, 1, 2, 599_999, 600_000, 600_001, 600_002].map((ms) => taken("a", NOW + ms))).toEqual([
      true,
      true,
      false,
      false,
      true,
      true,
      false,
    ]);
    expect(taken("b", NOW)).toBe(true); // each tenant has its own
    gate.check("a", { ...limit, reached: false }, NOW + 600_003);
    expect(() => {
      gate.check("c", { ...limit, trickle: undefined }, NOW);
    }).toThrow("limit of 128 MB");
  });

  it("refuse the profiles of a usage group above its limit, and no others", async () => {
    const kept: Annotations[] = [];
    const processor = new PushProcessor(await loadHasher(), {
        append: (_tenant, p) => {
          kept.push(p.annotations);
        },
      }),
      gate = new RateGate(new SharedArrayBuffer(8));
    const limits = {
      ...TEST_LIMITS,
      ingestionRateBytes: 1e12,
      ingestionBurstBytes: 1e12,
      usageGroups: parseUsageGroups({ "team ${labels.team}": '{team!=""}' }, "x"),
    };
    const push = (team: string, over: string, trickle?: true) =>
      processor.process(
        "t",
        {
          kind: "push",
          codec: "json",
          gzip: false,
          ...(trickle ? { trickle } : {}),
          body: Buffer.from(
            JSON.stringify({
              series: [
                {
                  labels: [
                    { name: "__name__", value: "process_cpu" },
                    { name: "team", value: team },
                  ],
                  samples: [
                    {
                      rawProfile: Buffer.from(
                        tinyPprof({
                          stacks: [{ frames: ["main"], values: [1] }],
                          timeNanos: BigInt(NOW) * 1_000_000n,
                        }),
                      ).toString("base64"),
                    },
                  ],
                },
              ],
            }),
          ),
        },
        {
          ...limits,
          ingestionLimit: parseIngestionLimit(
            {
              period_type: "day",
              limit_reset_time: 1795411800,
              sampling: { num_requests: 1, period: "1m" },
              usage_groups: { [over]: { limit_reached: true, period_limit_mb: 64 } },
            },
            "x",
          ),
        },
        gate,
        NOW,
      );
    const refused = push("a", "team a");
    expect([
      refused.error?.kind,
      refused.error?.message,
      refused.discarded[0]?.reason,
      refused.discarded[0]?.groups,
      kept.length,
    ]).toEqual([
      "limit",
      "the limit of usage group team a is reached",
      "ingest_limit_reached",
      ["team a"],
      0,
    ]);
    expect(push("b", "team a").error).toBeUndefined();
    expect(push("b", "team ${labels.team}").error?.reason).toBe("ingest_limit_reached");
    expect(kept).toEqual([[]]);
    // The trickle passes, reports that, and is marked.
    expect([push("b", "team a", true).trickled, push("b", "team b", true).trickled]).toEqual([
      undefined,
      true,
    ]);
    expect(kept.slice(1)).toEqual([
      [],
      [
        {
          key: "pyroscope.ingest.throttled",
          value:
            '{"body":{"periodType":"day","periodLimitMb":64,"limitResetTime":1795411800,"samplingPeriodSec":60,"samplingRequests":1,"usageGroup":"team b"}}',
        },
      ],
    ]);
  });

  it("annotate profiles of a tenant's trickle", async () => {
    const kept: Annotations[] = [];
    const processor = new PushProcessor(await loadHasher(), {
        append: (_tenant, p) => {
          kept.push(p.annotations);
        },
      }),
      gate = new RateGate(new SharedArrayBuffer(8));
    const limits = {
      ...TEST_LIMITS,
      ingestionLimit: parseIngestionLimit(
        {
          period_type: "hour",
          period_limit_mb: 128,
          limit_reset_time: 1795411800,
          limit_reached: true,
          sampling: { num_requests: 2, period: "10m" },
        },
        "x",
      ),
    };
    for (const trickle of [true, false])
      expect(
        processor.process(
          "t",
          {
            kind: "ingest",
            trickle,
            request: { ...INGEST, tags: [], fromNanos: BigInt(NOW) * 1_000_000n },
            body: Buffer.from("main;work 3\n"),
          },
          limits,
          gate,
          NOW,
        ).error,
      ).toBeUndefined();
    expect(kept).toEqual([
      [
        {
          key: "pyroscope.ingest.throttled",
          value:
            '{"body":{"periodType":"hour","periodLimitMb":128,"limitResetTime":1795411800,"samplingPeriodSec":600,"samplingRequests":2,"usageGroup":""}}',
        },
      ],
      [],
    ]);
  });

  it("count profiles of a usage group's trickle after their acceptance", () => {
    const gate = new IngestionGate(),
      limit = parseIngestionLimit(
        { sampling: { num_requests: 1, period: "10m" }, usage_groups: { a: { limit_reached: true } } },
        "x",
      )!;
    expect([gate.check("t", limit, NOW), gate.check("t", limit, NOW)]).toEqual([true, true]);
    gate.use("t", limit, NOW);
    expect([
      gate.check("t", limit, NOW + 1),
      gate.check("u", limit, NOW + 1),
      gate.check("t", limit, NOW + 600_000),
    ]).toEqual([false, true, true]);
    expect(gate.check("t", { ...limit, trickle: undefined }, NOW)).toBe(false);
  });
});
