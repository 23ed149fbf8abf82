/** JOINING: starting. ACTIVE: accepts writes and reads. LEAVING: accepts only reads, before it stops. */
export type MemberState = "JOINING" | "ACTIVE" | "LEAVING";

/** One member of a ring. Format: docs/formats/ring-state.md */
export interface Member {
  id: string;
  /** host:port of the member's server */
  address: string;
  zone: string;
  state: MemberState;
  /** tokens on the ring, ascending u32 */
  tokens: number[];
  /** counter of heartbeats; only changes of the value matter */
  heartbeat: number;
  registeredAtMs: number;
  /**
   * random ID of one run of a process: distinguishes two processes with one name; absent: previous release
   */
  incarnation?: string;
  /** accepts no new writes and answers for its data: preparing to leave, until an operator reverts that */
  readOnly?: boolean;
  /**
   * rule that divides a log's partitions in its zone: 2 is `assignPartitions`; absent: partition mod members,
   * as in the previous release
   */
  partitionRule?: number;
}

/** Whether a member accepts writes according to its own entry. */
export function acceptsWrites(m: Member): boolean {
  return m.state === "ACTIVE" && m.readOnly !== true;
}

/** Whether `a` registered after `b`, another process with the same name. */
export function registeredLater(a: Member, b: Member): boolean {
  return (
    a.registeredAtMs > b.registeredAtMs ||
    (a.registeredAtMs === b.registeredAtMs && (a.incarnation ?? "") > (b.incarnation ?? ""))
  );
}

const STATES: readonly string[] = ["JOINING", "ACTIVE", "LEAVING"];

/** Encodes a ring entry as JSON. */
export function encodeMember(m: Member): string {
  return JSON.stringify({ version: 1, ...m });
}

/** Decodes a ring entry; undefined for an entry in another form, which readers ignore. */
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
  } // not JSON: an entry of another release, or a foreign one
}
