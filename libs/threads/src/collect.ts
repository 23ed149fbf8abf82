import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { type: "minor" | "major" }) => void;
let collect: Collect | undefined;
let since = 0;

/** Buffers that may pile up before the collector is told. */
const THRESHOLD = 16 << 20;

/**
 * Tells the collector of this thread that buffers of `bytes` were let go. V8 waits for 64 MB of them in each thread
 * before it looks; with a memory ceiling that is too late. A collection of the young generation takes a millisecond.
 */
export function releasedBytes(bytes: number): void {
  since += bytes;
  if (since < THRESHOLD) return;
  since = 0;
  if (!collect) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  collect({ type: "minor" });
}
