export { InMemoryMembers } from "./in-memory.ts";
export type { MemberStore } from "./member-store.ts";
export { RedisMembers } from "./redis-members.ts";
export type { RedisConfig } from "./redis-members.ts";
