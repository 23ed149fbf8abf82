import {
  CinderblockError,
  fromErrorRecord,
  isDeterministicRefusal,
  kindOf,
  toErrorRecord,
} from "@cinderblock/errors";
import { type PushAnswer, refusedProfiles } from "@cinderblock/ingest";

/** The result of a push to several replicas: the common result of a quorum, or the error without one. */
export type QuorumResult = { answer: PushAnswer; stored: boolean } | { error: unknown };

/**
 * Counts the replies of replicas to one push. The push is acknowledged when a quorum stored it, and refused
 * when a quorum refuses it for a reason that applies to every replica
 * (docs/correctness.md, "No late refusal"). A replica with any other reply has failed, for example without
 * room or over a rate.
 */
export class Quorum {
  private readonly replicas: number;
  private readonly needed: number;
  private readonly told: number;
  /** verdict on the push -> number of replicas with that verdict */
  private readonly verdicts = new Map<string, number>();
  private replied = 0;
  private readonly errors: unknown[] = [];

  /**
   * @param needed number of replicas with the same verdict
   * @param told number of profiles whose refusal was already decided: a replica that refuses no more has
   * stored the push
   */
  constructor(replicas: number, needed: number, told = 0) {
    this.told = told;
    this.replicas = replicas;
    this.needed = needed;
  }

  /**
   * Counts an answer.
   * @returns the result once it is certain, and the error if the replica counts as failed
   */
  recordAnswer(answer: PushAnswer): {
    result: QuorumResult | undefined;
    failure: CinderblockError | undefined;
  } {
    const { verdict, failure } = verdictOf(answer, this.told);
    if (failure) return { result: this.recordFailure(failure), failure };
    return { result: this.count(verdict, { answer, stored: verdict === STORED }), failure: undefined };
  }

  /**
   * Counts a replica that refused with an error, was unreachable, or timed out.
   * @returns the result once it is certain
   */
  recordFailure(error: unknown): QuorumResult | undefined {
    if (isDeterministicRefusal(toErrorRecord(error))) return this.count("thrown", { error });
    this.errors.push(error);
    return this.count(undefined, { error });
  }

  private count(verdict: string | undefined, result: QuorumResult): QuorumResult | undefined {
    this.replied++;
    if (verdict !== undefined) {
      const same = (this.verdicts.get(verdict) ?? 0) + 1;
      this.verdicts.set(verdict, same);
      if (same >= this.needed) return result;
    }
    const most = Math.max(0, ...this.verdicts.values());
    return most + this.replicas - this.replied < this.needed ? { error: this.error() } : undefined;
  }

  /** Prefers backpressure of a replica: the agent then retries later, on all replicas. */
  private error(): unknown {
    return (
      this.errors.find((e) => kindOf(e) === "no-room" || kindOf(e) === "limit") ??
      this.errors.at(-1) ??
      new CinderblockError(
        "unavailable",
        `replicas disagree about a push, ${this.replied} replied: ${[...this.verdicts].map(([v, n]) => `${n} ${v}`).join(", ")}`,
        { detail: { replicas: this.replicas, needed: this.needed } },
      )
    );
  }
}

const STORED = "stored";

/** The verdict of an answer on a push, or on each push of an aggregate. */
function verdictOf(
  answer: PushAnswer,
  told: number,
): { verdict: string; failure: CinderblockError | undefined } {
  const verdicts = (answer.parts ?? [answer]).map(({ error }) => {
    if (!error) return STORED;
    return isDeterministicRefusal(error) ? "refused" : fromErrorRecord(error);
  });
  const failure = verdicts.find((v) => v instanceof CinderblockError);
  if (failure) return { verdict: "", failure };
  const refused = refusedProfiles(answer),
    asTold = verdicts.every((v) => v === STORED) || (refused > 0 && refused <= told);
  return { verdict: asTold ? STORED : verdicts.join(" "), failure: undefined };
}
