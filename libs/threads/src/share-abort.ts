/** Shares an abort signal with another thread: [0] becomes 1 on abort. */
export function shareAbort(signal: AbortSignal | undefined): Int32Array | undefined {
  if (!signal) return undefined;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  if (signal.aborted) stop[0] = 1;
  else signal.addEventListener("abort", () => Atomics.store(stop, 0, 1), { once: true });
  return stop;
}
