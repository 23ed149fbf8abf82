export { startData, serveWorker } from "./serve.ts";
export type { MethodsOf, NoNotices, WorkerCalls, WorkerHandlers, WorkerNotices } from "./methods.ts";
export { profileThreads, WorkerClient } from "./client.ts";
export { type PoolConfig, WorkerPool } from "./pool.ts";
export type { CallFrame, CpuProfile, HeapNode, HeapProfile, ProfileAsk, ThreadProfile } from "./profile.ts";
export { transferable, Transfer } from "./transfer.ts";
export { noteReleasedBytes } from "./collect.ts";
export { SharedPages, SharedPagesReader } from "./pages.ts";
export { shareAbort } from "./share-abort.ts";
