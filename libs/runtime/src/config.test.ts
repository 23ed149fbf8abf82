import { loadConfig } from "@cinderblock/config";
import { budgetsOf } from "./budgets.ts";
import { commonSchema, limitsOf } from "./config.ts";
import { knownNames } from "./v1/known.ts";

const MIB = 1048576;
const config = (...flags: string[]) => loadConfig(commonSchema, flags, {}, knownNames).config;

describe("limits", () => {
  it("limit a body to what the process can hold, for any tenant limit", () => {
    const small = config(`-memory.limit-bytes=${512 * MIB}`),
      large = config(`-memory.limit-bytes=${4096 * MIB}`);
    expect(limitsOf(small).ingestionBodyLimitBytes).toBe(Math.floor(2 * budgetsOf(small).inflight));
    expect(limitsOf(small).ingestionBodyLimitBytes).toBeLessThan(70 * MIB);
    expect(limitsOf({ ...small, ingestionBodyMb: 10_000 }).ingestionBodyLimitBytes).toBe(
      limitsOf(small).ingestionBodyLimitBytes,
    );
    expect(limitsOf({ ...small, ingestionBodyMb: 0 }).ingestionBodyLimitBytes).toBe(
      limitsOf(small).ingestionBodyLimitBytes,
    );
    expect(limitsOf({ ...small, ingestionBodyMb: 5 }).ingestionBodyLimitBytes).toBe(5 * MIB);
    expect(limitsOf(large).ingestionBodyLimitBytes).toBe(256 * MIB);
    expect(limitsOf(config(`-memory.limit-bytes=${200 * MIB}`)).ingestionBodyLimitBytes).toBe(16 * MIB);
  });
});
