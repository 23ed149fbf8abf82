import { sleep } from "@cinderblock/async";
import { CinderblockError, kindOf, messageOf } from "@cinderblock/errors";
import type { Member } from "@cinderblock/ring";

/** Maximum wait of one round; then all ingesters are asked again. */
const ROUND_MS = 2000;

/**
 * Waits until a responding ingester has read each partition with records up to its end. Owners change, even
 * while an ingester that was asked is stalled, so all ingesters are asked again after each round until the
 * deadline.
 * @param ask returns the partitions that an ingester has read up to their ends; `unavailable` without one by
 * `untilMs`
 * @returns partition -> names of the ingesters that have read it up to its end
 */
export async function waitUntilRead(
  members: () => readonly Member[],
  ends: readonly number[],
  deadlineMs: number,
  ask: (m: Member, untilMs: number) => Promise<number[]>,
): Promise<string[][]> {
  for (;;) {
    const reached = ends.map(() => [] as string[]),
      untilMs = Math.min(deadlineMs, Date.now() + ROUND_MS);
    let reason = "";
    // A round ends without a stalled ingester when the others cover all partitions.
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
