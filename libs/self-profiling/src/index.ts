export { OwnProfiles, SelfProfiler } from "./self-profiler.ts";
export type { SelfProfilerConfig } from "./self-profiler.ts";
export { profileRoutes } from "./routes.ts";
export { cpuToPprof, heapToPprof } from "./to-pprof.ts";
export type { SourceLocator } from "./to-pprof.ts";
