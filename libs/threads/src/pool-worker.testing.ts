import { CinderblockError, CorruptError } from "@cinderblock/errors";
import { serveWorker, startData, Transfer } from "./index.ts";

/** Methods of the worker of pool.test.ts. */
export interface TestMethods {
  index(): number;
  /** length of a body, which the caller may transfer */
  lengthOf(body: Uint8Array): number;
  bytes(length: number): Uint8Array;
  fail(kind: "corrupt" | "limit"): void;
  /** ends the thread */
  die(): void;
  /** answers after `release` has set the cell to 1 */
  wait(cell: Int32Array): Promise<string>;
}
/** Notices of that worker. */
export interface TestNotices {
  hello(index: number): void;
}

const { index, deathsAtStart } = startData<{ index: number; deathsAtStart: Int32Array }>();
if (Atomics.sub(deathsAtStart, 0, 1) > 0) throw new Error("cannot start");

const served = serveWorker<TestMethods, TestNotices>({
  index: () => index,
  lengthOf: (body) => body.length,
  bytes(length) {
    const bytes = new Uint8Array(length);
    return new Transfer(bytes, [bytes.buffer]);
  },
  fail(kind) {
    if (kind === "corrupt") throw new CorruptError("ULID/profiles.parquet", 17, "a page header");
    throw new CinderblockError("limit", "too many", { detail: { limit: 3 }, reason: "series_limit" });
  },
  die: () => process.exit(7),
  async wait(cell) {
    await Atomics.waitAsync(cell, 0, 0).value;
    return "released";
  },
});
served.notify.hello(index);
