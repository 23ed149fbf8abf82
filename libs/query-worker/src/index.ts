export { QueryPool } from "./pool.ts";
export type {
  FilesAnswer,
  ExportCall,
  FilesCall,
  RenderedLevels,
  QueryWorkerData,
  RenderAnswer,
  RenderCall,
  BlockLocation,
  ComparisonInput,
} from "./protocol.ts";
export { DiskCache, diskCacheCounters } from "./disk-cache.ts";
