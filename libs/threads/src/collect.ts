import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { type: "minor" | "major" }) => void;
let collect: Collect | undefined;
let since = 0;

/** Bytes of released buffers before the garbage collector is notified. */
const THRESHOLD = 16 << 20;

/**
 * Notifies this thread's garbage collector that buffers of `bytes` were released. V8 waits for 64 MB of them
 * per thread before it collects, which is too late under a memory limit. A collection of the young generation
 * takes a millisecond.
 */
export function noteReleasedBytes(bytes: number): void {
  since += bytes;
  if (since < THRESHOLD) return;
  since = 0;
  if (!collect) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  collect({ type: "minor" });
}
