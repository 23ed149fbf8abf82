export { ownData, serveWorker } from "./serve.ts";
export type { WorkerHandlers } from "./serve.ts";
export { WorkerClient } from "./client.ts";
export { transferable, Transfer } from "./transfer.ts";
export { releasedBytes } from "./collect.ts";
export { SharedSlots, SlotReader } from "./slots.ts";
