import type { CaughtUp } from "@cinderblock/transport";

/** Records of the partitioned log that the answering ingesters have read. */
export interface Coverage {
  /** every partition is read up to the end: ingesters that do not answer hold nothing more */
  covered: boolean;
  /** the gap as a sentence for operators; "": no gap */
  reason: string;
}

/**
 * Whether the answering ingesters, in any zone, have together read every partition up to the end. An ingester
 * that is still catching up, or that knows another topic or fewer partitions, does not count.
 * @param ask returns what an ingester has read; rejects without an answer
 */
export async function coverageOf<Member>(
  answering: readonly Member[],
  ask: (m: Member) => Promise<CaughtUp>,
): Promise<Coverage> {
  const answers = await Promise.allSettled(answering.map(ask));
  // Leave out ingesters whose request failed: they stopped responding after they had listed their blocks.
  const told = answers.flatMap((a) => (a.status === "fulfilled" ? [a.value] : []));
  const of = Math.max(0, ...told.map((t) => t.of));
  if (of === 0) return { covered: false, reason: "no ingester that responded reads the log" };
  if (new Set(told.flatMap((t) => t.topicId ?? [])).size > 1)
    return {
      covered: false,
      reason: "the topic was recreated, and some ingesters do not read the new one yet",
    };
  const read = new Set(told.flatMap((t) => t.partitions));
  const missing = Array.from({ length: of }, (_, p) => p).filter((p) => !read.has(p));
  return missing.length === 0
    ? { covered: true, reason: "" }
    : {
        covered: false,
        reason: `no ingester that responded has read ${missing.length === 1 ? "partition" : "partitions"} ${missing.join(", ")} up to the end`,
      };
}

/** Time for which an ingester's answer is cached. */
const KEPT_MS = 500;

/** Caches briefly what each ingester has read, so that the sub-queries of one query ask once. */
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

  get(m: Member): Promise<CaughtUp> {
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
