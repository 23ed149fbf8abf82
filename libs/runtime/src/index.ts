export { ClusterProcess, COMPACTORS, INGESTERS, oneEach, RING_REFRESH_MS, SCHEDULERS, STORES } from "./cluster-process.ts";
export { buildInfo, runComponent, scriptsBeside } from "./component.ts";
export type { Component } from "./component.ts";
export { accepted, commonSchema } from "./config.ts";
export type { Budgets, CommonConfig } from "./config.ts";
export { Resources, waitingFor } from "./resources.ts";
export type { Build, Scripts } from "./resources.ts";
export { run } from "./run.ts";
export type { Program, Wired } from "./run.ts";
