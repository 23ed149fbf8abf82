export { ColumnPath, CREATED_BY, mayHaveAnnotations, PROFILE_SCHEMA } from "./schema.ts";
export { DownsampledTableWriter, encodeProfileTable, ProfileTableWriter, ROWS_PER_GROUP } from "./write.ts";
export type { DownsampledRows, ProfileRows } from "./write.ts";
