import { loadHasher } from "@cinderblock/bytes";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof } from "@cinderblock/testkit";
import { IngestionGate, parseIngestionLimit, parseUsageGroups, PushProcessor, RateGate } from "./index.ts";

const NOW = 1_795_409_460_000;

describe("ingestion limits", () => {
  it("are read as v1 writes them", () => {
    expect(parseIngestionLimit(null, "x")).toBeUndefined();
    expect(parseIngestionLimit({ period_type: "hour", period_limit_mb: 128, limit_reset_time: 1795411800, limit_reached: true, sampling: { num_requests: 2, period: "10m" }, usage_groups: { a: { limit_reached: true, period_limit_mb: 64 }, b: { period_limit_mb: 64 } } }, "x"))
      .toEqual({ periodType: "hour", periodLimitMb: 128, resetMs: 1795411800000, reached: true, trickle: { requests: 2, periodMs: 600_000 }, groupsOverLimit: ["a"] });
    expect(parseIngestionLimit({}, "x")).toEqual({ periodType: "", periodLimitMb: 0, resetMs: 0, reached: false, trickle: undefined, groupsOverLimit: [] });
  });

  it.each([[[], "x: expected period_type"], [{ limit: 1 }, "x: unknown key limit"], [{ period_limit_mb: -1 }, "period_limit_mb: expected a number, found -1"], [{ limit_reached: "yes" }, 'limit_reached: expected true or false, found "yes"'], [{ sampling: { every: 1 } }, "sampling: unknown key every"], [{ sampling: { num_requests: 1, period: "soon" } }, "not a valid duration"], [{ usage_groups: { a: { x: 1 } } }, "usage_groups: a: unknown key x"]])("refuse %j", (value, message) => {
    expect(() => parseIngestionLimit(value, "x")).toThrow(message);
  });

  it("refuse a tenant's pushes until the reset, but for a trickle", () => {
    const gate = new IngestionGate(), limit = parseIngestionLimit({ period_type: "hour", period_limit_mb: 128, limit_reset_time: 1795411800, limit_reached: true, sampling: { num_requests: 2, period: "10m" } }, "x")!;
    const taken = (tenant: string, at: number): boolean => { try { gate.check(tenant, limit, at); return true; } catch (err) { expect([(err as { kind: string }).kind, (err as { reason: string }).reason, (err as Error).message]).toEqual(["limit", "ingest_limit_reached", "limit of 128 MB per hour reached, next reset at 2026-11-23T05:30:00.000Z"]); return false; } };
    expect([0, 1, 2, 599_999, 600_000, 600_001, 600_002].map((ms) => taken("a", NOW + ms))).toEqual([true, true, false, false, true, true, false]);
    expect(taken("b", NOW)).toBe(true); // each tenant has its own
    gate.check("a", { ...limit, reached: false }, NOW + 600_003);
    expect(() => { gate.check("c", { ...limit, trickle: undefined }, NOW); }).toThrow("limit of 128 MB");
  });

  it("refuse the profiles of a usage group that has used up its own, and no others", async () => {
    let kept = 0;
    const processor = new PushProcessor(await loadHasher(), { append: () => { kept++; } }), gate = new RateGate(new SharedArrayBuffer(8));
    const limits = { ...TEST_LIMITS, ingestionRateBytes: 1e12, ingestionBurstBytes: 1e12, usageGroups: parseUsageGroups({ "team ${labels.team}": '{team!=""}' }, "x") };
    const push = (team: string, groupsOverLimit: string[]) => processor.process("t", { kind: "push", codec: "json", gzip: false, body: Buffer.from(JSON.stringify({ series: [{ labels: [{ name: "__name__", value: "process_cpu" }, { name: "team", value: team }], samples: [{ rawProfile: Buffer.from(tinyPprof({ stacks: [{ frames: ["main"], values: [1] }], timeNanos: BigInt(NOW) * 1_000_000n })).toString("base64") }] }] })) }, { ...limits, groupsOverLimit }, gate, NOW);
    const refused = push("a", ["team a"]);
    expect([refused.error?.kind, refused.error?.message, refused.discarded[0]?.reason, refused.discarded[0]?.groups, kept]).toEqual(["limit", "the limit of usage group team a is reached", "ingest_limit_reached", ["team a"], 0]);
    expect(push("b", ["team a"]).error).toBeUndefined();
    expect(push("b", ["team ${labels.team}"]).error?.reason).toBe("ingest_limit_reached");
    expect(kept).toBe(1);
  });
});
