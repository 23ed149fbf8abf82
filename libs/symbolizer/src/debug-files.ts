import { CinderblockError, invalidError } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import { WorkerClient } from "@cinderblock/threads";
import type { ConvertCall, ConvertedFile, ReaderMethods } from "./reader-protocol.ts";
import { tableFileName, uploadedName } from "./table-store.ts";

/** An uploaded debug file: its build ID, its number of functions, and the size of its table in bytes. */
export interface DebugFile {
  buildId: string;
  functions: number;
  bytes: number;
}
/** Converts a file to a table, in a thread or in place. */
export type Converter = (call: ConvertCall) => Promise<ConvertedFile>;

/** Converter that starts one thread per file: the thread's end frees the memory of a large file. */
export function threadConverter(script: string): Converter {
  return async (call) => {
    const worker = new WorkerClient<ReaderMethods>("debug-files", {}, () => undefined);
    worker.start(new URL(script), {}, {});
    try {
      return await worker.call.convert(call);
    } finally {
      void worker.stop();
    }
  };
}

/** Uploaded debug files: the tenant's folder of the bucket keeps the table of each file. */
export class DebugFiles {
  private readonly bucket: Bucket;
  private readonly convert: Converter;

  constructor(bucket: Bucket, convert: Converter) {
    this.bucket = bucket;
    this.convert = convert;
  }

  /** Stores the table of a file. @param buildId build ID for a file without one; "" otherwise */
  async upload(tenant: string, bytes: Uint8Array, buildId: string): Promise<DebugFile> {
    const c = await this.convert({ bytes, buildId });
    if (c.buildId === "")
      throw invalidError("the file has no GNU build ID: set build-id= to the build ID in the profiles");
    if (buildId !== "" && c.buildId !== buildId)
      throw invalidError(`the file's build ID is ${c.buildId}, not ${buildId}`);
    await this.bucket.put(uploadedName(tenant, c.buildId), c.table);
    return { buildId: c.buildId, functions: c.functions, bytes: c.table.length };
  }

  /** Build IDs of a tenant's uploads, sorted. */
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
    if (!(await this.list(tenant)).includes(tableFileName(buildId)))
      throw new CinderblockError("not-found", `no debug file with build ID ${buildId} was uploaded`);
    await this.bucket.delete(uploadedName(tenant, buildId));
  }
}
