import { versionPair } from "./versions.ts";

const line = (version: string, ...ms: number[]) => ({
  labels: { version },
  points: ms.map((at) => ({ ms: at, value: 1, annotations: [] })),
});

describe("the previous version", () => {
  it("is the version that started last before the current one", () => {
    expect(
      versionPair(
        [line("1", 10, 20, 30), line("3", 60, 70), line("2", 30, 40, 60, 90)],
        "version",
        undefined,
        50,
        100,
        10,
      ),
    ).toEqual({ now: "2", before: "1", fromMs: -20, untilMs: 30 });
    expect(
      versionPair(
        [line("1", 10, 20, 30), line("3", 60, 95), line("2", 30, 40, 60)],
        "version",
        undefined,
        50,
        100,
        10,
      ),
    ).toEqual({ now: "3", before: "2", fromMs: 10, untilMs: 60 });
    expect(
      versionPair(
        [line("1", 10, 20, 30), line("3", 60, 70), line("2", 30, 40, 60)],
        "version",
        "2",
        50,
        100,
        10,
      ),
    ).toEqual({ now: "2", before: "1", fromMs: -20, untilMs: 30 });
  });
  it("is compared over the same time while both run", () => {
    expect(
      versionPair([line("a", 10, 20, 80), line("b", 40, 100)], "version", undefined, 50, 100, 10),
    ).toEqual({ now: "b", before: "a", fromMs: 30, untilMs: 80 });
    expect(
      versionPair([line("a", 10, 20, 95), line("b", 40, 100)], "version", undefined, 50, 100, 10),
    ).toEqual({ now: "b", before: "a", fromMs: 50, untilMs: 100 });
  });
  it("is absent with one version or none, or if the named version was not seen", () => {
    expect(versionPair([line("a", 10, 20)], "version", undefined, 0, 100, 10)).toBeUndefined();
    expect(versionPair([line("", 10), line("a")], "version", undefined, 0, 100, 10)).toBeUndefined();
    expect(versionPair([line("a", 10), line("b", 20)], "version", "c", 0, 100, 10)).toBeUndefined();
    // A canary that ran in parallel all the time is not a later version.
    expect(
      versionPair([line("a", 10, 20), line("b", 10, 20)], "version", undefined, 0, 100, 10),
    ).toBeUndefined();
  });
});
