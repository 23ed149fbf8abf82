// Who may import whom, as data (docs/architecture.md has the picture). Imports point downwards; one vendor, one door.
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
  tool: ["model", "format", "api", "platform", "engine"],
  e2e: ["api", "test"],
};
const net = ["fastify", "@connectrpc/*", "@opentelemetry/*", "pino", "prom-client"];
const codecs = ["parquet-wasm", "apache-arrow"];
const clients = ["kafkajs", "@aws-sdk/*", "@azure/*", "@google-cloud/*", "google-auth-library", "ioredis"];
const ban = (layers, names) => layers.map((l) => ({ sourceTag: `layer:${l}`, bannedExternalImports: names }));

/** Constraints for @nx/enforce-module-boundaries; test files pass ["test"], so that only they reach testkit and the codecs of other vendors. */
export const depConstraints = (extra = []) => [
  ...Object.keys(may).map((l) => ({
    sourceTag: `layer:${l}`,
    onlyDependOnLibsWithTags: [...(l === "component" ? [] : [l]), "base", ...may[l], ...extra].map(
      (x) => `layer:${x}`,
    ),
  })),
  ...ban(["engine", "component", "app"], [...clients, ...net, ...(extra.length > 0 ? [] : codecs)]),
  ...ban(["base", "model", "format"], [...clients, ...net, ...(extra.length > 0 ? [] : codecs)]),
];
