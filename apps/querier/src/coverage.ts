import { messageOf } from "@cinderblock/errors";
import type { CaughtUp } from "@cinderblock/transport";

/** What ingesters that answer have of a partitioned log. */
export interface Coverage {
  /** they have every partition up to its end: nothing is missing that a silent one has */
  covered: boolean;
  /** what is missing, for people; "": nothing */
  reason: string;
}

/**
 * Whether ingesters that answer have between them, in whatever zone, every partition up to its end. One that still catches up,
 * or that knows fewer partitions or another topic, does not count.
 * @param ask what an ingester has read; fails where it does not answer
 * @param older what was held true before ingesters could say so: one of the release before answers
 */
export async function coverageOf<Member>(
  answering: readonly Member[],
  ask: (m: Member) => Promise<CaughtUp>,
  older: () => boolean,
): Promise<Coverage> {
  const answers = await Promise.allSettled(answering.map(ask));
  if (answers.some((a) => a.status === "rejected" && /does not know/.test(messageOf(a.reason)))) {
    const covered = older();
    return {
      covered,
      reason: covered ? "" : "an ingester of the release before cannot tell what it has read",
    };
  }
  // One that is rejected fell silent meanwhile.
  const told = answers.flatMap((a) => (a.status === "fulfilled" ? [a.value] : []));
  const of = Math.max(0, ...told.map((t) => t.of));
  if (of === 0) return { covered: false, reason: "no ingester that answers reads the log" };
  if (new Set(told.flatMap((t) => t.topicId ?? [])).size > 1)
    return {
      covered: false,
      reason: "the topic was recreated, and not every ingester reads the new one yet",
    };
  const read = new Set(told.flatMap((t) => t.partitions));
  const missing = Array.from({ length: of }, (_, p) => p).filter((p) => !read.has(p));
  return missing.length === 0
    ? { covered: true, reason: "" }
    : {
        covered: false,
        reason: `no ingester that answers has read ${missing.length === 1 ? "partition" : "partitions"} ${missing.join(", ")} up to now`,
      };
}

/** How long an ingester's answer serves further queries. */
const KEPT_MS = 500;

/** Remembers for a moment what each ingester has read, so that the sub-queries of one query ask once. */
export class CaughtUpCache<Member> {
  private readonly kept = new Map<string, { atMs: number; answer: Promise<CaughtUp> }>();
  private readonly ask: (m: Member) => Promise<CaughtUp>;
  private readonly nameOf: (m: Member) => string;
  private readonly now: () => number;

  /** @param now monotonic milliseconds */
  constructor(ask: (m: Member) => Promise<CaughtUp>, nameOf: (m: Member) => string, now: () => number) {
    this.ask = ask;
    this.nameOf = nameOf;
    this.now = now;
  }

  of(m: Member): Promise<CaughtUp> {
    const now = this.now(),
      id = this.nameOf(m),
      known = this.kept.get(id);
    if (known && now - known.atMs < KEPT_MS) return known.answer;
    for (const [other, k] of this.kept) if (now - k.atMs >= KEPT_MS) this.kept.delete(other);
    const answer = this.ask(m);
    this.kept.set(id, { atMs: now, answer });
    return answer;
  }
}
