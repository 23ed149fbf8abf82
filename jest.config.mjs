import preset from "./jest.preset.mjs";

/** The tests of all projects in one run; `nx test <project>` runs those of one. */
export default {
  ...preset,
  testMatch: ["<rootDir>/{libs,apps,tools,e2e}/**/*.test.ts"],
  reporters: ["<rootDir>/tools/jest-reporter.ts"],
};
