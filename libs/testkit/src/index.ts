export { Random } from "./random.ts";
export { tinyJfr } from "./tiny-jfr.ts";
export type { TinyJfrEvent } from "./tiny-jfr.ts";
export { tinyPprof } from "./tiny-pprof.ts";
export type { TinyProfile } from "./tiny-pprof.ts";
export { temporaryFolder } from "./folders.ts";
export { freePort, startRedis, startS3Server } from "./real-parts.ts";
export type { RedisServer, S3Server } from "./real-parts.ts";
export { sharedTestdata } from "./shared.ts";
