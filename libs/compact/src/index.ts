export { compactBlocks } from "./compact.ts";
export type { CompactOptions, CompactResult } from "./compact.ts";
