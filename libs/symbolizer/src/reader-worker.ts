import { readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { replaceFile } from "@cinderblock/files";
import { DebugFileError, readDebugFile } from "@cinderblock/native-symbols";
import { convertDebugFile } from "./convert.ts";
import { serveWorker, Transfer, transferable } from "@cinderblock/threads";
import { fetchDebugFile } from "./debuginfod.ts";
import type { ReaderMethods } from "./reader-protocol.ts";

/**
 * Thread that fetches debug files and converts them: a large one takes seconds of CPU. One file at a time,
 * because each may take much memory.
 */
let last: Promise<unknown> = Promise.resolve();

serveWorker<ReaderMethods>({
  fetch(call) {
    const next = last.then(async () => {
      const { path, buildId, urls, maxFileBytes, timeoutMs, diskBytes, absentMs } = call,
        file = await fetchDebugFile(urls, buildId, maxFileBytes, timeoutMs);
      const table = file ? tableOf(file) : "no server has the debug file";
      // Atomic replacement: readers see a complete table or none.
      if (typeof table === "string") await replaceFile(`${path}.absent`, `${table}\n`);
      else await replaceFile(`${path}.cbsy`, table);
      await prune(dirname(path), diskBytes, absentMs);
    });
    last = next.catch(() => undefined);
    return next;
  },
  convert(call) {
    const answer = convertDebugFile(call);
    return new Transfer(answer, transferable(answer));
  },
});

/** Treats an unreadable file of a server as absent; the mark states the reason. */
function tableOf(file: Uint8Array): Uint8Array | string {
  try {
    return readDebugFile(file).table.encode();
  } catch (err) {
    if (err instanceof DebugFileError) return err.message;
    throw err;
  }
}

/** Maximum marks of absent files, because profiles may name any number of files. */
const MAX_MARKS = 10_000;

/** Removes the least recently used tables until the rest fits, and expired marks. */
async function prune(directory: string, maxBytes: number, absentMs: number): Promise<void> {
  const all = (
    await Promise.all(
      (
        await readdir(directory)
      ).map(async (f) => {
        const path = join(directory, f),
          s = await stat(path).catch(() => undefined);
        return s
          ? [{ path, bytes: s.size, usedMs: s.mtimeMs }]
          : []; /* another thread has removed the file */
      }),
    )
  )
    .flat()
    .sort((a, b) => a.usedMs - b.usedMs);
  const tables = all.filter((f) => f.path.endsWith(".cbsy")),
    marks = all.filter((f) => f.path.endsWith(".absent"));
  let bytes = tables.reduce((n, f) => n + f.bytes, 0);
  for (const f of tables) {
    if (bytes <= maxBytes) break;
    await rm(f.path, { force: true });
    bytes -= f.bytes;
  }
  for (const [i, f] of marks.entries())
    if (marks.length - i > MAX_MARKS || f.usedMs + absentMs < Date.now()) await rm(f.path, { force: true });
}
