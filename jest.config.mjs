export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/{libs,apps,tools}/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "/dist/"],
  modulePathIgnorePatterns: ["<rootDir>/dist/"],
  transform: {
    "^.+\\.[jt]s$": [
      "@swc/jest",
      { jsc: { parser: { syntax: "typescript" }, target: "es2024" }, module: { type: "commonjs" } },
    ],
  },
  transformIgnorePatterns: ["/node_modules/(?!(re2js|xxhash-wasm)/)"],
  // The extended run gives each parser 100,000 mutated inputs.
  testTimeout: process.env.CINDERBLOCK_LONG ? 1_200_000 : 5000,
  reporters: ["<rootDir>/tools/jest-reporter.cjs"],
};
