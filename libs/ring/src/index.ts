export { decodeMember, encodeMember } from "./member.ts";
export type { Member, MemberState } from "./member.ts";
export { RingMember } from "./ring-member.ts";
export type { RingMemberConfig } from "./ring-member.ts";
export { RingSnapshot } from "./snapshot.ts";
export type { ReplicationSet } from "./snapshot.ts";
export { RingView } from "./ring-view.ts";
export type { RingViewConfig } from "./ring-view.ts";
export { ringRoutes } from "./status-page.ts";
