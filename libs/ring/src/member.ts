/** JOINING: starts up. ACTIVE: takes writes and reads. LEAVING: reads only, on its way out. */
export type MemberState = "JOINING" | "ACTIVE" | "LEAVING";

/** One member of a ring. Format: docs/formats/ring-state.md */
export interface Member {
  id: string;
  /** host:port of its server */
  address: string;
  zone: string;
  state: MemberState;
  /** points on the ring, ascending u32 */
  tokens: number[];
  /** grows with every heartbeat; its value has no meaning, only that it changes */
  heartbeat: number;
  registeredAtMs: number;
  /** random, of one run of a process: two processes of one name differ in it; absent: of the release before */
  incarnation?: string;
  /** takes no new writes, and answers for what it has: on its way out, until a person says otherwise */
  readOnly?: boolean;
  /** how it divides a log's partitions with its zone: 2 is `assignPartitions`; absent: by partition mod members, as the release before */
  partitionRule?: number;
}

/** Whether a member is one that writes may go to, as far as it says itself. */
export function takesWrites(m: Member): boolean {
  return m.state === "ACTIVE" && m.readOnly !== true;
}

/** Whether a process of the same name registered after another one. */
export function isNewer(a: Member, b: Member): boolean {
  return (
    a.registeredAtMs > b.registeredAtMs ||
    (a.registeredAtMs === b.registeredAtMs && (a.incarnation ?? "") > (b.incarnation ?? ""))
  );
}

const STATES: readonly string[] = ["JOINING", "ACTIVE", "LEAVING"];

export function encodeMember(m: Member): string {
  return JSON.stringify({ version: 1, ...m });
}

/** Undefined for an entry that is none: it is left alone, and out. */
export function decodeMember(text: string): Member | undefined {
  try {
    const m = JSON.parse(text) as Member & { version: number };
    const good =
      m.version === 1 &&
      typeof m.id === "string" &&
      typeof m.address === "string" &&
      STATES.includes(m.state) &&
      Array.isArray(m.tokens) &&
      m.tokens.every((t) => Number.isInteger(t) && t >= 0 && t <= 0xffffffff) &&
      Number.isFinite(m.heartbeat);
    return good
      ? {
          id: m.id,
          address: m.address,
          zone: typeof m.zone === "string" ? m.zone : "",
          state: m.state,
          tokens: m.tokens,
          heartbeat: m.heartbeat,
          registeredAtMs: Number(m.registeredAtMs) || 0,
          ...(typeof m.incarnation === "string" ? { incarnation: m.incarnation } : {}),
          ...(m.readOnly === true ? { readOnly: true } : {}),
          ...(typeof m.partitionRule === "number" ? { partitionRule: m.partitionRule } : {}),
        }
      : undefined;
  } catch {
    return undefined;
  } // not JSON: another release's entry, or nobody's
}
