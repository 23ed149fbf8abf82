import preset from "./jest.preset.mjs";

/** Tests against the built programs, and tests of libraries against real servers. */
export default {
  ...preset,
  testMatch: ["<rootDir>/e2e/**/*.e2e.ts", "<rootDir>/{libs,apps}/**/*.integration.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "/dist/"],
  // A bound on hangs, for two suites at a time on two busy cores. What a suite may cost is its budget in tools/test/suites.ts.
  testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 300_000,
  reporters: ["<rootDir>/tools/jest-reporter.ts"],
};
