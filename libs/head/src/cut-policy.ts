/** A head as the policy sees it. */
export interface CutCandidate {
  bytes: number;
  lastWriteMs: number;
  windowEndMs: number;
  /** takes no more profiles */
  frozen: boolean;
}

/** Idle time that counts as much as the head's own bytes: a head that was quiet for a minute goes before an active one seven times as large. */
const IDLE_UNIT_MS = 10_000;

/** Whether a head is cut whatever the memory: it takes no more profiles, or its window is over and it is idle. */
export function isDue(h: CutCandidate, nowMs: number, idleMs: number): boolean {
  return h.frozen || (h.windowEndMs < nowMs && nowMs - h.lastWriteMs > idleMs);
}

/** What cutting a head is worth: its bytes, weighted by how long nobody has written to it. */
function worth(h: CutCandidate, nowMs: number): number {
  return h.bytes * (1 + Math.max(0, nowMs - h.lastWriteMs) / IDLE_UNIT_MS);
}

/**
 * The heads to cut so that at least `bytes` become free, fewest and idlest first. Large heads free the most for one block;
 * of many small ones, those that nobody writes to go, as many as it takes.
 */
export function cutsFor<H extends CutCandidate>(heads: readonly H[], bytes: number, nowMs: number): H[] {
  if (bytes <= 0) return [];
  const byWorth = heads
    .map((head) => ({ head, worth: worth(head, nowMs) }))
    .sort((a, b) => b.worth - a.worth);
  const out: H[] = [];
  let freed = 0;
  for (const { head } of byWorth) {
    if (freed >= bytes) break;
    out.push(head);
    freed += head.bytes;
  }
  return out;
}
