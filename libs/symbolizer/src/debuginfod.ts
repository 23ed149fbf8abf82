import { CinderblockError } from "@cinderblock/errors";

/**
 * Fetches the debug file of a build ID from the first server that has it, or else the program itself
 * (debuginfod's /buildid/<id>/debuginfo and /executable). Returns undefined if no server has either.
 * @throws if no server answers, and for files above `maxBytes`
 */
export async function fetchDebugFile(
  urls: readonly string[],
  buildId: string,
  maxBytes: number,
  timeoutMs: number,
): Promise<Uint8Array | undefined> {
  let failure: unknown,
    answered = false;
  for (const kind of ["debuginfo", "executable"]) {
    for (const url of urls) {
      try {
        const file = await fetchOne(
          `${url.replace(/\/+$/, "")}/buildid/${buildId}/${kind}`,
          maxBytes,
          timeoutMs,
        );
        answered = true;
        if (file) return file;
      } catch (err) {
        failure = err;
      }
    }
  }
  if (!answered) throw failure;
  return undefined;
}

async function fetchOne(url: string, maxBytes: number, timeoutMs: number): Promise<Uint8Array | undefined> {
  const response = await fetch(url, {
    signal: AbortSignal.timeout(timeoutMs),
    headers: { "user-agent": "cinderblock" },
  });
  if (response.status === 404) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new CinderblockError("unavailable", `debuginfod responded with ${response.status} for ${url}`);
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body) {
    size += part.length;
    if (size > maxBytes)
      throw new CinderblockError(
        "limit",
        `the debug file at ${url} is larger than ${maxBytes} bytes, the limit (-symbolizer.max-file-bytes)`,
      );
    parts.push(part);
  }
  return Buffer.concat(parts, size);
}
