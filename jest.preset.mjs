import { join } from "node:path";

/** What the tests of every project share: ES modules as in production, and an environment that ends what a test file started. */
export default {
  testEnvironment: join(import.meta.dirname, "tools/jest-environment.ts"),
  testMatch: ["<rootDir>/**/*.test.ts"],
  // *.integration.test.ts needs a real part, so `npm run test:integration` runs it.
  testPathIgnorePatterns: ["/node_modules/", "/dist/", "\\.integration\\.test\\.ts$"],
  // A rejection that no code awaits fails its test; without a turn of the event loop, Jest would die of it later.
  waitForUnhandledRejections: true,
  modulePathIgnorePatterns: ["/dist/"],
  passWithNoTests: true,
  extensionsToTreatAsEsm: [".ts"],
  transform: { "^.+\\.ts$": join(import.meta.dirname, "tools/jest/transform.ts") },
  setupFiles: [join(import.meta.dirname, "tools/jest/setup.ts")],
  // The extended run gives each parser 100,000 mutated inputs.
  // A bound for tests that hang, which a machine under load must not reach.
  testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 60_000,
  cacheDirectory: join(import.meta.dirname, "node_modules/.cache/jest"),
};
