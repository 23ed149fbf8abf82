// Modules of kafkajs 2.2.4 that its package does not declare. kafkajs-internals.ts states the use of each
// module.
declare module "kafkajs/src/protocol/requests/apiKeys.js" {
  const apiKeys: Record<string, number>;
  export default apiKeys;
}
declare module "kafkajs/src/protocol/requests/index.js" {
  const module: { requests: Record<string, import("./kafkajs-internals.ts").RequestDefinitions> };
  export default module;
}
declare module "kafkajs/src/consumer/runner.js" {
  const Runner: { prototype: import("./stopped-runner.ts").KafkajsRunner };
  export default Runner;
}
declare module "kafkajs/src/protocol/error.js" {
  const module: {
    createErrorFromCode(code: number): import("./kafkajs-internals.ts").ProtocolError;
    failure(code: number): boolean;
  };
  export default module;
}
