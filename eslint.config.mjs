import nx from "@nx/eslint-plugin";
import tseslint from "typescript-eslint";
import { depConstraints } from "./tools/boundaries.mjs";

const boundaries = (extra) => ({
  "@nx/enforce-module-boundaries": [
    "error",
    {
      allow: [],
      enforceBuildableLibDependency: false,
      banTransitiveDependencies: false,
      depConstraints: depConstraints(extra),
    },
  ],
});

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
      ...boundaries([]),
      "@typescript-eslint/no-non-null-assertion": "off", // in hot loops `!` says that the loop bound proves it
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "no-console": "error",
    },
  },
  { files: ["**/*.test.ts", "**/*.testing.ts", "libs/testkit/**/*.ts"], rules: boundaries(["test"]) },
  { files: ["tools/**/*.ts", "e2e/**/*.ts"], rules: { "no-console": "off" } },
);
