import { sleep } from "@cinderblock/async";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { Member } from "@cinderblock/ring";

/** Zones of which each has a copy of all partitions. */
export function zonesOf(members: readonly Member[]): number {
  return Math.max(1, new Set(members.map((m) => m.zone)).size);
}

/** An ingester waits so long for what it has to read; then everybody is asked again. */
const ROUND_MS = 2000;

/**
 * Waits until every partition that holds records was read up to its end by an ingester that answers. Owners change, also
 * while one stands still that was asked: what nobody has is asked again, every two seconds until the deadline.
 * @param ask which partitions an ingester has read up to their ends; `unavailable` where it has not by `untilMs`
 * @returns partition -> names of ingesters that have read it
 */
export async function reachEnds(
  members: () => readonly Member[],
  ends: readonly number[],
  deadlineMs: number,
  ask: (m: Member, untilMs: number) => Promise<number[]>,
): Promise<string[][]> {
  for (;;) {
    const reached = ends.map(() => [] as string[]),
      untilMs = Math.min(deadlineMs, Date.now() + ROUND_MS);
    let reason = "";
    // One that stands still is not waited for when the others have all.
    await new Promise<void>((done, fail) => {
      const all = members();
      let left = all.length;
      if (left === 0) done();
      for (const m of all) {
        ask(m, untilMs)
          .then(
            (partitions) => {
              for (const p of partitions) reached[p]?.push(m.id);
            },
            (err: unknown) => {
              if (kindOf(err) === "unavailable") reason = messageOf(err);
              else fail(err as Error);
            },
          )
          .finally(() => {
            if (--left === 0 || ends.every((end, p) => end === 0 || reached[p]!.length > 0)) done();
          });
      }
    });
    const missing = ends.findIndex((end, p) => end > 0 && reached[p]!.length === 0);
    if (missing < 0) return reached;
    if (Date.now() + 200 > deadlineMs)
      throw new CinderblockError(
        "unavailable",
        `a strong read needs partition ${missing} up to ${ends[missing]}, and no ingester has it${reason === "" ? "" : `: ${reason}`}`,
      );
    await sleep(200);
  }
}
