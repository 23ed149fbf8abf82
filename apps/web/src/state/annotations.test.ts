import { annotationSpans, annotationText } from "./annotations.ts";

const throttled = (body: object): string => JSON.stringify({ body });

describe("annotations of profiles", () => {
  it.each([
    [
      "pyroscope.ingest.throttled",
      throttled({
        periodType: "hour",
        periodLimitMb: 128,
        limitResetTime: 1795411800,
        samplingPeriodSec: 600,
        samplingRequests: 2,
        usageGroup: "",
      }),
      "Most profiles are missing: this tenant had reached its limit of 128 MB per hour until 2026-11-23 05:30:00. 2 of the requests of each 600 s were taken.",
    ],
    [
      "pyroscope.ingest.throttled",
      throttled({ periodType: "day", samplingPeriodSec: 60, samplingRequests: 1, usageGroup: "shop" }),
      "Most profiles are missing: usage group shop had reached its limit. 1 of the requests of each 60 s was taken.",
    ],
    [
      "pyroscope.ingest.sampled",
      throttled({ source: { usageGroup: "shop", probability: 0.025 } }),
      "Only 2.50% of the profiles of usage group shop are kept.",
    ],
    ["something.else", throttled({ a: 1 }), 'something.else: {"body":{"a":1}}'],
    ["pyroscope.ingest.throttled", "not JSON", "pyroscope.ingest.throttled: not JSON"],
  ])("read %s %s", (key, value, text) => {
    expect(annotationText(key, value, "utc")).toBe(text);
  });

  it("appear once, from their first to their last point", () => {
    const a = { key: "k", value: "a" },
      b = { key: "k", value: "b" };
    const line = (...points: [number, { key: string; value: string }[]][]) => ({
      labels: {},
      points: points.map(([ms, annotations]) => ({ ms, value: 1, annotations })),
    });
    expect(annotationSpans([line([30, [a]], [40, []]), line([10, [a, b]], [20, [b]])], "utc")).toEqual([
      { text: "k: a", fromMs: 10, untilMs: 30 },
      { text: "k: b", fromMs: 10, untilMs: 20 },
    ]);
  });
});
