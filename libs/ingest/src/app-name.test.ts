import { loadHasher } from "@cinderblock/bytes";
import { labelsText } from "@cinderblock/model";

import { parseAppName, parseTime, type ProcessedProfile, PushProcessor, RateGate } from "./index.ts";

import { json, LIMITS, NAME, NOW, profile, run } from "./push.testing.ts";

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
