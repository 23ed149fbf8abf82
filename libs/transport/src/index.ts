export { RemoteQueue, RemoteJobs, serveScheduler } from "./scheduler.ts";
export type { LocalScheduler } from "./scheduler.ts";
export { RemoteSource, sourceMethods } from "./source.ts";
export { pushMethod, RemotePush } from "./push.ts";
export type { PushTarget } from "./push.ts";
export { RemoteStore, storeMethods } from "./store.ts";
export type { StoreContract } from "./store.ts";
