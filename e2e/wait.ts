/**
 * Waits until a condition holds. A failing check counts as "not yet".
 * @param what the condition; a function adds what the last check saw
 */
export async function until(
  what: string | (() => string),
  check: () => Promise<boolean>,
  ms = 20_000,
): Promise<void> {
  const end = Date.now() + ms,
    look = async (): Promise<boolean> => check();
  while (!(await look().catch(() => false))) {
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === "string" ? what : what()}`);
    await settle(100);
  }
}

export function settle(ms: number): Promise<void> {
  return new Promise((r) => {
    setTimeout(r, ms);
  });
}

/** Waits for a promise, at most the given time in milliseconds. */
export async function within<T>(ms: number, work: Promise<T>, late: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(late)), ms);
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    clearTimeout(timer);
  }
}
