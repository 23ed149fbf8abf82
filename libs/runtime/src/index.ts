export {
  ClusterProcess,
  COMPACTORS,
  DISTRIBUTORS,
  INGESTERS,
  memoizeByMember,
  RING_REFRESH_MS,
  SCHEDULERS,
  STORES,
} from "./cluster-process.ts";
export { buildInfo, runComponent, workerScripts } from "./component.ts";
export type { Component } from "./component.ts";
export { commonSchema, redisConfigOf, limitsOf } from "./config.ts";
export { bucketSpecOf } from "./storage-config.ts";
export type { Budgets } from "./budgets.ts";
export type { CommonConfig } from "./config.ts";
export { kafkaOf, partitionedLog } from "./kafka.ts";
export { parseOverrides, RuntimeOverrides } from "./overrides.ts";
export { Resources, describeNotRunning } from "./resources.ts";
export type { Build, Scripts } from "./resources.ts";
export { knownNames, ownOptionLines, optionsOfAllComponents } from "./v1/known.ts";
export { pyroscopeOptions } from "./v1/names.ts";
export type { PyroscopeOption } from "./v1/names.ts";
export { foreignOptions } from "./v1/outcomes.ts";
export { run } from "./run.ts";
export { selfProfiling } from "./self-profiling.ts";
export type { Program, WiredProgram } from "./run.ts";
