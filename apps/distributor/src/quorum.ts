import {
  CinderblockError,
  fromErrorRecord,
  isDeterministicRefusal,
  kindOf,
  toErrorRecord,
} from "@cinderblock/errors";
import { type PushAnswer, refusedProfiles } from "@cinderblock/ingest";

/** The end of a push to several replicas: the common result of a quorum, or the error without one. */
export type QuorumResult = { answer: PushAnswer; stored: boolean } | { error: unknown };

/**
 * Counts what replicas did with one push. It is acknowledged when a quorum stored it, and refused when a quorum refuses it in
 * the way in which every replica has to (docs/correctness.md, "No late refusal"). Any other reply, an answer without room or
 * over a rate among them, is a failed replica.
 */
export class Quorum {
  private readonly replicas: number;
  private readonly needed: number;
  private readonly told: number;
  /** what replicas did with the push -> how many did so */
  private readonly verdicts = new Map<string, number>();
  private replied = 0;
  private readonly errors: unknown[] = [];

  /**
   * @param needed replicas that have to do the same
   * @param told profiles of the push whose refusal was decided before: a replica that refuses no more stored the push
   */
  constructor(replicas: number, needed: number, told = 0) {
    this.told = told;
    this.replicas = replicas;
    this.needed = needed;
  }

  /** A replica answered. @returns the result, once it is certain, and the error that makes the replica a failed one */
  answered(answer: PushAnswer): { result: QuorumResult | undefined; failure: CinderblockError | undefined } {
    const { verdict, failure } = verdictOf(answer, this.told);
    if (failure) return { result: this.failed(failure), failure };
    return { result: this.count(verdict, { answer, stored: verdict === STORED }), failure: undefined };
  }

  /** A replica refused by an error, could not be reached, or did not reply in time. @returns the result, once it is certain */
  failed(error: unknown): QuorumResult | undefined {
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

  /** Backpressure of one replica is what the agent should hear: it comes back later, to all of them. */
  private error(): unknown {
    return (
      this.errors.find((e) => kindOf(e) === "no-room" || kindOf(e) === "limit") ??
      this.errors.at(-1) ??
      new CinderblockError(
        "unavailable",
        `${this.replied} replicas did not agree on a push: ${[...this.verdicts].map(([v, n]) => `${n} ${v}`).join(", ")}`,
        { detail: { replicas: this.replicas, needed: this.needed } },
      )
    );
  }
}

const STORED = "stored";

/** The verdict of an answer on the push, or on each push in it. */
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
