export { QueryPool } from "./pool.ts";
export type {
  FilesAnswer,
  ExportCall,
  FilesCall,
  Levels,
  QueryWorkerData,
  RenderAnswer,
  RenderCall,
  Root,
  Sides,
} from "./protocol.ts";
export { DiskCache, diskCacheCounters } from "./disk-cache.ts";
