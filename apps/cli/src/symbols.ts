import { readFileSync } from "node:fs";
import { invalidError } from "@cinderblock/errors";
import { readDebugFile } from "@cinderblock/native-symbols";
import { convertDebugFile, DebugFiles } from "@cinderblock/symbolizer";
import { DEFAULT_TENANT } from "@cinderblock/tenant";
import { type CommandContext, openConfiguredBucket, printRows, progressBar, tenantsOf } from "./context.ts";

async function filesOf(c: CommandContext): Promise<DebugFiles> {
  return new DebugFiles(await openConfiguredBucket(c), (call) => Promise.resolve(convertDebugFile(call)));
}
const tenantOf = (c: CommandContext): string => (c.config.tenant === "" ? DEFAULT_TENANT : c.config.tenant);

/** Stores the address tables of debug files; reports an unreadable file and continues with the others. */
export async function storeDebugFiles(c: CommandContext): Promise<number> {
  if (c.args.length === 0)
    throw invalidError("name at least one debug file: a program or library with debug information");
  const files = await filesOf(c),
    bar = progressBar(c, "files read"),
    rows: Record<string, string | number>[] = [];
  let bad = 0;
  for (const [i, path] of c.args.entries()) {
    try {
      const f = await files.upload(tenantOf(c), readFileSync(path), "");
      rows.push({ "build id": f.buildId, functions: f.functions, bytes: f.bytes, file: path });
    } catch (err) {
      bad++;
      c.err.write(`${path}: ${(err as Error).message}\n`);
    }
    bar(i + 1, c.args.length);
  }
  printRows(c, rows);
  return bad > 0 ? 1 : 0;
}

/** Prints the build IDs of the debug files in the bucket. */
export async function listSymbols(c: CommandContext): Promise<number> {
  const bucket = await openConfiguredBucket(c),
    files = await filesOf(c);
  printRows(
    c,
    (
      await Promise.all(
        (
          await tenantsOf(c, bucket)
        ).map(async (tenant) => (await files.list(tenant)).map((id) => ({ tenant, "build id": id }))),
      )
    ).flat(),
  );
  return 0;
}

export async function removeSymbols(c: CommandContext): Promise<number> {
  if (c.args.length === 0) throw invalidError("name at least one build ID; symbols list prints them");
  const files = await filesOf(c);
  for (const id of c.args) await files.remove(tenantOf(c), id);
  return 0;
}

/** Prints the functions that a debug file names for given addresses. */
export function lookUpAddress(c: CommandContext): Promise<number> {
  const [path, ...addresses] = c.args;
  if (path === undefined || addresses.length === 0)
    throw invalidError("name a debug file and at least one address, as 0x401010");
  const { table } = readDebugFile(readFileSync(path)),
    text = (i: number): string =>
      Buffer.from(table.stringBytes.subarray(table.stringOffset[i], table.stringOffset[i + 1])).toString();
  printRows(
    c,
    addresses.flatMap((a) => {
      if (!/^(0x[0-9a-fA-F]{1,16}|\d{1,20})$/.test(a))
        throw invalidError(`address ${JSON.stringify(a)} is not a number`);
      const frames = table.lookup(BigInt(a), { start: 0n, offset: 0n });
      return frames.length === 0
        ? [{ address: a, function: "", file: "", line: 0 }]
        : frames.map((f) => ({ address: a, function: text(f.name), file: text(f.file), line: f.line }));
    }),
  );
  return Promise.resolve(0);
}
