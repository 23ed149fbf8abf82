export { Column, PROFILE_SCHEMA } from "./schema.ts";
export { encodeProfileTable, ROWS_PER_GROUP } from "./write.ts";
export type { ProfileRows } from "./write.ts";
