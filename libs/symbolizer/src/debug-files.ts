import { CinderblockError, invalid } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { WorkerClient } from "@cinderblock/threads";
import type { ConvertCall, Converted } from "./reader-protocol.ts";
import { keyOf, uploadedName } from "./table-store.ts";

export interface DebugFile {
  buildId: string;
  functions: number;
  bytes: number;
}
/** How a file becomes a table: in a thread, or where it is asked for. */
export type Converter = (call: ConvertCall) => Promise<Converted>;

/** A thread for each file, which ends with it: what a large one took is gone then. */
export function inThread(script: string): Converter {
  return async (call) => {
    const worker = new WorkerClient(
      () => undefined,
      () => undefined,
    );
    worker.start(new URL(script), {}, "debug-files", {});
    try {
      return await worker.call<Converted>("convert", call);
    } finally {
      void worker.stop();
    }
  };
}

/** Debug files that people uploaded: what is kept of one is its table, in the tenant's folder of the bucket. */
export class DebugFiles {
  private readonly bucket: Bucket;
  private readonly convert: Converter;

  constructor(bucket: Bucket, convert: Converter) {
    this.bucket = bucket;
    this.convert = convert;
  }

  /** Keeps the table of a file. @param buildId of a file that has none itself; "" otherwise */
  async upload(tenant: string, bytes: Uint8Array, buildId: string): Promise<DebugFile> {
    const c = await this.convert({ bytes, buildId });
    if (c.buildId === "")
      throw invalid("the file has no GNU build id: say with build-id= under which one profiles name it");
    if (buildId !== "" && c.buildId !== buildId)
      throw invalid(`the file's build id is ${c.buildId}, not ${buildId}`);
    await this.bucket.put(uploadedName(tenant, c.buildId), c.table);
    return { buildId: c.buildId, functions: c.functions, bytes: c.table.length };
  }

  /** Build ids, sorted. */
  async list(tenant: string): Promise<string[]> {
    const prefix = `${tenant}/symbols/`,
      names = await this.bucket.list(prefix);
    return names
      .map((n) => (n.startsWith(prefix) ? n.slice(prefix.length) : n))
      .filter((n) => n.endsWith(".cbsy"))
      .map((n) => n.slice(0, -5))
      .sort();
  }

  async remove(tenant: string, buildId: string): Promise<void> {
    if (!(await this.list(tenant)).includes(keyOf(buildId)))
      throw new CinderblockError("not-found", `no debug file of build id ${buildId} was uploaded`);
    await this.bucket.delete(uploadedName(tenant, buildId));
  }
}
