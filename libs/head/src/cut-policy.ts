/** A head as the cut policy sees it. */
export interface CutCandidate {
  bytes: number;
  lastWriteMs: number;
  windowEndMs: number;
  /** whether the head accepts no more profiles */
  frozen: boolean;
}

/**
 * Idle time that weighs as much as the head's own bytes: a head idle for a minute is cut before an active
 * head of up to seven times its size.
 */
const IDLE_UNIT_MS = 10_000;

/**
 * Whether to cut a head regardless of memory: it accepts no more profiles, or its window is over and it is
 * idle.
 */
export function isCutDue(h: CutCandidate, nowMs: number, idleMs: number): boolean {
  return h.frozen || (h.windowEndMs < nowMs && nowMs - h.lastWriteMs > idleMs);
}

/** Value of cutting a head: its bytes, weighted by its idle time. */
function worth(h: CutCandidate, nowMs: number): number {
  return h.bytes * (1 + Math.max(0, nowMs - h.lastWriteMs) / IDLE_UNIT_MS);
}

/**
 * Selects heads whose cuts free at least `bytes`: as few as possible, idle heads first. A large head frees
 * the most memory per block. Among many small heads, the idle ones are cut, as many as necessary.
 */
export function selectCuts<H extends CutCandidate>(heads: readonly H[], bytes: number, nowMs: number): H[] {
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
