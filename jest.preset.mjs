import { join } from "node:path";

/** What the tests of every project share: TypeScript by swc, and an environment that ends what a test file started. */
export default {
  testEnvironment: join(import.meta.dirname, "tools/jest-environment.ts"),
  testMatch: ["<rootDir>/**/*.test.ts"],
  // *.integration.test.ts needs a real part, so `npm run test:integration` runs it.
  testPathIgnorePatterns: ["/node_modules/", "/dist/", "\\.integration\\.test\\.ts$"],
  modulePathIgnorePatterns: ["/dist/"],
  passWithNoTests: true,
  transform: {
    "^.+\\.[jt]s$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2024" }, module: { type: "commonjs" } },
    ],
  },
  transformIgnorePatterns: ["/node_modules/(?!(re2js|xxhash-wasm)/)"],
  // The extended run gives each parser 100,000 mutated inputs.
  testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 5000,
};
