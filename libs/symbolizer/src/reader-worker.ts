import { readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DebugFileError, readDebugFile } from "@cinderblock/native-symbols";
import { convert } from "./convert.ts";
import { serveWorker, Transfer, transferable } from "@cinderblock/threads";
import { fetchDebugFile } from "./debuginfod.ts";
import type { ReaderMethods } from "./reader-protocol.ts";

/** The thread that fetches debug files and makes their tables: a large one takes seconds of CPU. One after another: each may take much memory. */
let last: Promise<unknown> = Promise.resolve();

const methods: ReaderMethods = {
  fetch(call) {
    const next = last.then(async () => {
      const { path, buildId, urls, maxFileBytes, timeoutMs, diskBytes } = call, file = await fetchDebugFile(urls, buildId, maxFileBytes, timeoutMs);
      const table = file && tableOf(file);
      if (!table) { await writeFile(`${path}.absent`, ""); return; }
      // Readers see a whole table or none.
      await writeFile(`${path}.tmp`, table);
      await rename(`${path}.tmp`, `${path}.cbsy`);
      await prune(dirname(path), diskBytes);
    });
    last = next.catch(() => undefined);
    return next;
  },
  convert(call) {
    const answer = convert(call);
    return new Transfer(answer, transferable(answer)) as unknown as typeof answer;
  },
};

/** A file that a server has but that names nothing is as good as none. */
function tableOf(file: Uint8Array): Uint8Array | undefined {
  try { return readDebugFile(file).table.encode(); } catch (err) { if (err instanceof DebugFileError) return undefined; throw err; }
}

/** Removes the tables that were not used for longest until the rest fits. */
async function prune(directory: string, maxBytes: number): Promise<void> {
  const files = await Promise.all((await readdir(directory)).filter((f) => f.endsWith(".cbsy")).map(async (f) => { const s = await stat(join(directory, f)); return { path: join(directory, f), bytes: s.size, usedMs: s.mtimeMs }; }));
  let bytes = files.reduce((n, f) => n + f.bytes, 0);
  for (const f of files.sort((a, b) => a.usedMs - b.usedMs)) { if (bytes <= maxBytes) return; await rm(f.path, { force: true }); bytes -= f.bytes; }
}

serveWorker(methods as never);
