// Allowed imports between projects, as data (docs/architecture.md has the picture). Imports point downward;
// only one project, the door, imports a vendor's package.

/** A layer -> the layers below that it may import, in addition to its own and `base`. */
export const may = {
  base: [],
  model: [],
  api: [],
  test: [],
  format: ["model"],
  platform: ["api"],
  engine: ["model", "format", "api", "platform"],
  component: ["model", "format", "api", "platform", "engine"],
  app: ["model", "format", "api", "platform", "engine", "component"],
  tool: ["model", "format", "api", "platform", "engine", "component", "app", "test"],
  e2e: ["api", "test"],
} as const satisfies Record<string, readonly string[]>;

/**
 * A door -> the packages that only the project with its tag imports. Each project has one tag `door:<name>`.
 */
export const doors = {
  none: [],
  arrow: ["apache-arrow", "parquet-wasm"],
  bytes: ["xxhash-wasm"],
  config: ["yaml"],
  kafka: ["kafkajs"],
  model: ["re2js"],
  objstore: ["@aws-sdk/*", "@azure/*", "@google-cloud/*", "google-auth-library"],
  redis: ["ioredis"],
  rpc: ["fastify", "@fastify/*", "@connectrpc/*"],
  telemetry: ["@opentelemetry/*", "pino", "prom-client"],
} as const satisfies Record<string, readonly string[]>;

/**
 * Packages that end-to-end tests use like other programs do: clients of the servers, independent readers of
 * files.
 */
const OUTSIDE = ["@azure/*", "@connectrpc/*", "apache-arrow", "kafkajs", "parquet-wasm", "yaml"];
/** Packages with which unit tests compare our own code. */
const ORACLES = ["@azure/*", "@connectrpc/*", "apache-arrow", "parquet-wasm", "re2js"];

interface Constraint {
  sourceTag: string;
  onlyDependOnLibsWithTags?: string[];
  bannedExternalImports?: string[];
}

const vendors: readonly string[] = Object.values(doors).flat();
const without = (own: readonly string[]): string[] => vendors.filter((v) => !own.includes(v));

/**
 * Constraints for @nx/enforce-module-boundaries; test files may also import testkit, and other vendors' code
 * as an oracle.
 */
export function depConstraints(files: "sources" | "tests"): Constraint[] {
  const test = files === "tests" ? ["test"] : [];
  const oracles = files === "tests" ? ORACLES : [];
  return [
    ...Object.entries(may).map(([layer, below]) => ({
      sourceTag: `layer:${layer}`,
      onlyDependOnLibsWithTags: [...(layer === "component" ? [] : [layer]), "base", ...below, ...test].map(
        (x) => `layer:${x}`,
      ),
    })),
    ...Object.entries(doors).map(([door, own]) => ({
      sourceTag: `door:${door}`,
      bannedExternalImports: without([...own, ...oracles]),
    })),
    { sourceTag: "door:outside", bannedExternalImports: without(OUTSIDE) },
  ];
}
