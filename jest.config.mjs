export default {
  testEnvironment: "node",
  testMatch: ["<rootDir>/{libs,apps,tools}/**/*.test.ts"],
  testPathIgnorePatterns: ["/node_modules/", "/dist/"],
  modulePathIgnorePatterns: ["<rootDir>/dist/"],
  transform: { "^.+\\.[jt]s$": ["@swc/jest", { jsc: { parser: { syntax: "typescript" }, target: "es2024" }, module: { type: "commonjs" } }] },
  transformIgnorePatterns: ["/node_modules/(?!(re2js|xxhash-wasm)/)"],
  reporters: ["<rootDir>/tools/jest-reporter.cjs"],
};
