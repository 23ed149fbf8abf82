import type { KnipConfig } from "knip";

export default {
  workspaces: {
    ".": {
      entry: ["jest.e2e.config.mjs"],
      project: ["*.mjs"],
      // The root pins versions for all projects; tools/workspace.test.ts checks that a project or a tool uses each.
      ignoreDependencies: [/./],
    },
    tools: {
      // Each file is a program of its own, or a part of one.
      entry: ["*.{ts,mjs}", "{bench,build,checks,dev-cluster,jest,nx,simulate,test}/*.ts"],
      project: ["**/*.{ts,mjs}"],
      ignoreDependencies: ["semver"], // by createRequire
    },
    e2e: {
      entry: ["**/*.e2e.ts", "kafka-admin.ts", "programs/**"],
      project: ["**/*.ts"],
      ignoreDependencies: ["@pyroscope/nodejs"], // a real part, installed outside the checkout
    },
    "apps/*": {
      entry: ["src/main.ts", "src/*-worker.ts", "src/**/*.integration.test.ts"],
      project: ["src/**/*.ts"],
    },
    "apps/web": { entry: ["src/main.tsx", "src/*-worker.ts"], project: ["src/**/*.{ts,tsx}"] },
    "libs/*": {
      entry: ["src/**/*.integration.test.ts", "src/{worker,reader-worker}.ts"],
      project: ["src/**/*.ts", "!src/gen/**"],
    },
  },
  // Programs of the system that real parts and benches bring along.
  ignoreBinaries: [/^c\+\+filt$/, "gcc", "go", "nm", "readelf", "redis-cli", "redis-server", "unshare"],
  ignoreUnresolved: [/bin\/cinderblock-cli$/], // a program that tests start by its path
  treatConfigHintsAsErrors: false,
} satisfies KnipConfig;
