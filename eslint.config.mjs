import nx from "@nx/eslint-plugin";
import jsonc from "jsonc-eslint-parser";
import tseslint from "typescript-eslint";
import { depConstraints } from "./tools/boundaries.ts";
import { seams } from "./tools/eslint/seams.ts";

const boundaries = (files) => ({
  "@nx/enforce-module-boundaries": [
    "error",
    {
      allow: ["@cinderblock/cinderblock/config"], // every option there is, for the reference of options
      enforceBuildableLibDependency: false,
      banTransitiveDependencies: false,
      depConstraints: depConstraints(files),
    },
  ],
});

const LOOP_MESSAGE =
  "Use `periodic` of @cinderblock/service, or `Periodic` of @cinderblock/async in a worker thread.";
const RAW_LOOPS = [
  "CallExpression[callee.name='setInterval']",
  "CallExpression[callee.property.name='setInterval']",
  "ImportSpecifier[imported.name='setInterval']",
].map((selector) => ({ selector, message: LOOP_MESSAGE }));

export default tseslint.config(
  {
    ignores: [
      "apps/web/vite.config.ts",
      "**/dist/**",
      "**/node_modules/**",
      "libs/api/src/gen/**",
      "libs/profile-kernel/assembly/**",
      "libs/profile-kernel/src/gen/**",
      "**/*.cjs",
      "**/*.mjs",
      "tools/fixtures/**",
    ],
  },
  ...nx.configs["flat/base"],
  ...tseslint.configs.recommended.map((c) => ({ ...c, files: ["**/*.ts", "**/*.tsx"] })),
  {
    files: ["**/*.ts", "**/*.tsx"],
    rules: {
      ...boundaries("sources"),
      "@typescript-eslint/no-non-null-assertion": "off", // in hot loops `!` says that the loop bound proves it
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "no-console": "error",
    },
  },
  { files: ["**/*.test.ts", "**/*.testing.ts", "libs/testkit/**/*.ts"], rules: boundaries("tests") },
  { files: ["tools/**/*.ts", "e2e/**/*.ts"], rules: { "no-console": "off" } },
  {
    // Background loops have one pass at a time, a deadline, a watchdog and a stop with a bound.
    files: ["apps/*/src/**/*.ts", "libs/*/src/**/*.ts"],
    ignores: ["apps/web/**", "libs/testkit/**", "**/*.test.ts", "**/*.testing.ts"],
    rules: { "no-restricted-syntax": ["error", ...RAW_LOOPS] },
  },
  {
    // The compiler follows calls between threads and processes, and no decision reads an error's wording.
    files: ["**/*.ts", "**/*.tsx"],
    ignores: ["e2e/**", "libs/testkit/**", "**/*.test.ts", "**/*.testing.ts"],
    plugins: { seams },
    rules: {
      "seams/no-string-method": "error",
      "seams/no-as-never": "error",
      "seams/no-message-test": "error",
    },
  },
  // A file that declares a module for others has no import of its own, so it names types by `import()`.
  { files: ["**/*.d.ts"], rules: { "@typescript-eslint/consistent-type-imports": "off" } },
  {
    // What sources import stands under dependencies; what tests import is knip's part.
    files: ["{apps,libs}/*/package.json"],
    languageOptions: { parser: jsonc },
    rules: {
      "@nx/dependency-checks": [
        "error",
        {
          buildTargets: ["build"],
          ignoredFiles: [
            "{projectRoot}/**/*.{test,testing,bench}.ts",
            "{projectRoot}/jest.config.mjs",
            "{projectRoot}/vite.config.ts",
          ],
        },
      ],
    },
  },
);
