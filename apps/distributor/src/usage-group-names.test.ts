import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { OVERFLOW_GROUP, UsageGroupNames } from "./usage-group-names.ts";

describe("names of usage groups in metrics", () => {
  it("are limited per tenant; configured groups and other tenants keep their names", async () => {
    const lines: string[] = [],
      metrics = new Metrics();
    const base = {
      log: createLogger({ level: "warn", format: "json" }, (l) => lines.push(l)),
      metrics,
      tracer: noTracer,
      now: () => 0,
    };
    const names = new UsageGroupNames(3, base),
      configured = [
        { name: "batch", selector: "{}" },
        { name: "team ${labels.team}", selector: "{}" },
      ];
    const of = (tenant: string, ...groups: string[]): string[] =>
      groups.map((g) => names.nameOf(tenant, g, configured));
    expect(of("a", "constructor", "__proto__", "toString")).toEqual(["constructor", "__proto__", "toString"]);
    expect(of("a", "valueOf", "team x")).toEqual([OVERFLOW_GROUP, OVERFLOW_GROUP]);
    expect(of("a", "__proto__", "batch")).toEqual(["__proto__", "batch"]);
    expect(of("b", "valueOf")).toEqual(["valueOf"]);
    expect(lines).toHaveLength(1);
    expect(await metrics.registry.metrics()).toContain(
      'cinderblock_distributor_usage_group_overflows_total{tenant="a"} 2',
    );
  });
});
