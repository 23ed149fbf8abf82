import { CinderblockError } from "@cinderblock/errors";
import type { Member } from "@cinderblock/ring";
import { waitUntilRead } from "./strong.ts";

const members =
  (...ids: string[]) =>
  (): Member[] =>
    ids.map((id) => ({ id }) as Member);
const never = (): Promise<number[]> =>
  new Promise((_, reject) => {
    setTimeout(() => {
      reject(new CinderblockError("unavailable", "no answer"));
    }, 4000).unref();
  });

describe("a strong read", () => {
  it("needs a responding reader for every partition with records", async () => {
    expect(
      await waitUntilRead(members("a", "b"), [5, 0, 7], Date.now() + 1000, (m) =>
        Promise.resolve(m.id === "a" ? [0, 1] : [2, 0]),
      ),
    ).toEqual([["a", "b"], ["a"], ["b"]]);
  });
  it("does not wait for a stalled ingester while the others have all partitions", async () => {
    const from = performance.now();
    expect(
      await waitUntilRead(members("a", "b"), [5], Date.now() + 60_000, (m) =>
        m.id === "a" ? never() : Promise.resolve([0]),
      ),
    ).toEqual([["b"]]);
    expect(performance.now() - from).toBeLessThan(1000);
  });
  it("retries when a partition has a new owner, while the previous owner is stalled", async () => {
    let rounds = 0;
    // b owns the partition from the second round on; a does not answer before each round ends.
    const reached = await waitUntilRead(members("a", "b"), [5], Date.now() + 60_000, (m, untilMs) => {
      if (m.id === "b") return Promise.resolve(rounds++ === 0 ? [] : [0]);
      return new Promise((_, reject) => {
        setTimeout(() => {
          reject(new CinderblockError("unavailable", "no answer"));
        }, untilMs - Date.now()).unref();
      });
    });
    expect([reached, rounds]).toEqual([[["b"]], 2]);
  }, 10_000);
  it("fails at its deadline, and names the missing partition", async () => {
    await expect(
      waitUntilRead(members("a"), [0, 9], Date.now() + 500, () =>
        Promise.reject(
          new CinderblockError("unavailable", "ingester a has not read partition 1 up to 9 yet"),
        ),
      ),
    ).rejects.toThrow(
      "a strong read needs partition 1 up to 9, and no ingester has it: ingester a has not read partition 1 up to 9 yet",
    );
    await expect(
      waitUntilRead(members("a"), [9], Date.now() + 500, () =>
        Promise.reject(new CinderblockError("internal", "broken")),
      ),
    ).rejects.toThrow("broken");
  });
});
