export { InMemoryCache } from "./blob-cache.ts";
export type { BlobCache } from "./blob-cache.ts";
export { InMemoryMembers } from "./in-memory.ts";
export type { MemberStore } from "./member-store.ts";
export type { RedisConfig } from "./connection.ts";
export { RedisCache } from "./redis-cache.ts";
export { RedisMembers } from "./redis-members.ts";
