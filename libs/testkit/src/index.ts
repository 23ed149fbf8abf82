export { Random } from "./random.ts";
export { tinyPprof } from "./tiny-pprof.ts";
export type { TinyProfile } from "./tiny-pprof.ts";
export { temporaryFolder } from "./folders.ts";
export { sharedTestdata } from "./shared.ts";
