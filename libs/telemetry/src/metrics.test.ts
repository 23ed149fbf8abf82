import { Metrics } from "./metrics.ts";

const lines = async (m: Metrics, name: string): Promise<string[]> =>
  (await m.registry.metrics())
    .split("\n")
    .filter((l) => l.startsWith(`${name}{`))
    .sort();

describe("metrics", () => {
  it("combine values of several owners under one name, and drop values that are no longer set", async () => {
    const m = new Metrics(),
      states = { a: ["ACTIVE"], b: ["JOINING", "ACTIVE"] };
    for (const ring of ["a", "b"] as const)
      m.gauge("members", "Members.", ["name", "state"], (g) => {
        for (const s of states[ring]) g.inc({ name: ring, state: s });
      });
    expect(await lines(m, "members")).toEqual([
      'members{name="a",state="ACTIVE"} 1',
      'members{name="b",state="ACTIVE"} 1',
      'members{name="b",state="JOINING"} 1',
    ]);
    states.b = ["LEAVING"];
    expect(await lines(m, "members")).toEqual([
      'members{name="a",state="ACTIVE"} 1',
      'members{name="b",state="LEAVING"} 1',
    ]);
  });
});
