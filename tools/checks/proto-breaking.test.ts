import { lastRelease } from "./proto-breaking.ts";

describe("the release that buf breaking compares with", () => {
  it("is the newest tag of a release, and nothing before the first", () => {
    expect(lastRelease(["v1.1.0-rc.1", "v1.0.2", "v1.0.1", ""])).toBe("v1.0.2");
    expect(lastRelease([""])).toBeUndefined();
  });
});
