export { ownData, serveWorker } from "./serve.ts";
export type { WorkerHandlers } from "./serve.ts";
export { profileThreads, WorkerClient } from "./client.ts";
export type { CallFrame, CpuProfile, HeapNode, HeapProfile, ProfileAsk, ThreadProfile } from "./profile.ts";
export { transferable, Transfer } from "./transfer.ts";
export { releasedBytes } from "./collect.ts";
export { SharedPages, SharedPagesReader } from "./pages.ts";
export { stopOf } from "./stop.ts";
