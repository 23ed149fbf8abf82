/**
 * Infers the targets that no plugin of Nx covers.
 *
 *   apps/<name>/src/main.ts    build: the app's bundle in dist/<name>; serve: the bundle, running
 *   apps/web                   build: the UI in dist/web; serve: Vite's development server
 *   libs/<name>                build: the declarations that dependents compile against (typecheck makes them)
 */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createNodesFromFiles, type CreateNodesV2, type TargetConfiguration } from "@nx/devkit";

const BUILD: TargetConfiguration = {
  cache: true,
  inputs: [
    "production",
    "^production",
    "sharedGlobals",
    "{workspaceRoot}/package.json",
    "{workspaceRoot}/tools/build/**/*",
    // The bundle contains the revision of its sources.
    { runtime: "node tools/build/revision.ts" },
  ],
};

function app(name: string): Record<string, TargetConfiguration> {
  return {
    build: {
      ...BUILD,
      command: `node tools/build/main.ts --app ${name}`,
      options: { cwd: "{workspaceRoot}" },
      outputs: [`{workspaceRoot}/dist/${name}`],
      metadata: { description: `Bundles ${name}, its worker threads and their chunks into dist/${name}.` },
    },
    serve: {
      continuous: true,
      dependsOn: ["build"],
      command: `node --no-warnings dist/${name}/${name === "cinderblock" ? "main" : name}.mjs`,
      options: { cwd: "{workspaceRoot}" },
      metadata: { description: `Runs the bundle of ${name}; flags follow after --.` },
    },
  };
}

const WEB: Record<string, TargetConfiguration> = {
  build: {
    ...BUILD,
    command: "node tools/build/main.ts --app web",
    options: { cwd: "{workspaceRoot}" },
    outputs: ["{workspaceRoot}/dist/web"],
    metadata: { description: "Builds the UI, its compressed forms too, and checks its budget." },
  },
  serve: {
    continuous: true,
    command: "vite",
    options: { cwd: "{projectRoot}" },
    metadata: { description: "Serves the UI from source by Vite; the API comes from a running Cinderblock." },
  },
};

const LIBRARY: Record<string, TargetConfiguration> = {
  build: {
    executor: "nx:noop",
    dependsOn: ["typecheck"],
    metadata: { description: "The declarations that dependants compile against; the code ships in bundles." },
  },
};

function targetsOf(root: string, workspace: string): Record<string, TargetConfiguration> {
  if (root === "apps/web") return WEB;
  if (!root.startsWith("apps/")) return LIBRARY;
  return existsSync(join(workspace, root, "src/main.ts")) ? app(basename(root)) : {};
}

export const createNodesV2: CreateNodesV2 = [
  "{apps,libs}/*/package.json",
  (files, options, context) =>
    createNodesFromFiles(
      (file) => {
        const root = dirname(file);
        return { projects: { [root]: { targets: targetsOf(root, context.workspaceRoot) } } };
      },
      files,
      options,
      context,
    ),
];
