import { newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { CinderblockError, invalidError, kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";
import type { FilesAnswer, FilesCall } from "@cinderblock/query-worker";
import type { TenantLimits } from "@cinderblock/tenant";

/** Reads and draws files in worker threads. */
export interface FileReader {
  files(call: FilesCall): Promise<FilesAnswer>;
}
/** Content of the bucket object `<tenant>/adhoc/<id>`, in v1's JSON. */
interface Stored {
  name: string;
  data: string;
  uploadedAt: string;
}
export interface FileInfo {
  id: string;
  name: string;
  uploadedAtMs: number;
}

const ID = /^[A-Za-z0-9_.-]+$/,
  ULID_LENGTH = 26;

/** Files that users uploaded, in v1's format. */
export class AdHocFiles {
  private readonly bucket: Bucket;
  private readonly reader: FileReader;
  private readonly limits: TenantLimits;
  private readonly now: () => number;

  constructor(bucket: Bucket, reader: FileReader, limits: TenantLimits, now: () => number) {
    this.bucket = bucket;
    this.reader = reader;
    this.limits = limits;
    this.now = now;
  }

  /** Stores a file if it can be read. @param profile the file's bytes in base64 */
  async upload(
    tenant: string,
    name: string,
    profile: string,
    maxNodes: number,
  ): Promise<{ info: FileInfo; drawn: FilesAnswer }> {
    const limit = this.limitOf(tenant);
    if (profile.length > limit)
      throw invalidError(
        `profile payload size exceeds the limit (max_profile_size_bytes): ${profile.length} bytes in base64; the limit is ${limit}`,
      );
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(profile) || profile.length % 4 !== 0)
      throw new CinderblockError("unknown", "failed to upload profile: illegal base64 data");
    const uploadedAtMs = this.now(),
      id = `${newUlid(uploadedAtMs)}-${name.replace(/[^A-Za-z0-9_.-]/gu, "_")}`;
    const drawn = await this.draw(
      tenant,
      [{ name, bytes: Buffer.from(profile, "base64") }],
      undefined,
      maxNodes,
    );
    await this.bucket.put(
      `${tenant}/adhoc/${id}`,
      Buffer.from(
        JSON.stringify({
          name,
          data: profile,
          uploadedAt: new Date(uploadedAtMs).toISOString(),
        } satisfies Stored),
      ),
    );
    return { info: { id, name, uploadedAtMs }, drawn };
  }

  async get(
    tenant: string,
    id: string,
    type: string | undefined,
    maxNodes: number,
  ): Promise<{ info: FileInfo; drawn: FilesAnswer }> {
    const { info, bytes } = await this.read(tenant, id);
    return { info, drawn: await this.draw(tenant, [{ name: info.name, bytes }], type, maxNodes) };
  }

  /** Files of a tenant, newest first; ignores objects with other names. */
  async list(tenant: string): Promise<FileInfo[]> {
    const prefix = `${tenant}/adhoc/`;
    const ids = (await this.bucket.list(prefix))
      .map((n) => (n.startsWith(prefix) ? n.slice(prefix.length) : n))
      .filter((id) => ID.test(id) && id.length > ULID_LENGTH && id[ULID_LENGTH] === "-");
    return ids
      .sort()
      .reverse()
      .map((id) => ({
        id,
        name: id.slice(ULID_LENGTH + 1),
        uploadedAtMs: ulidTimeMs(id.slice(0, ULID_LENGTH)),
      }));
  }

  async diff(
    tenant: string,
    leftId: string,
    rightId: string,
    type: string | undefined,
    maxNodes: number,
  ): Promise<FilesAnswer> {
    const [left, right] = await Promise.all([this.read(tenant, leftId), this.read(tenant, rightId)]);
    return this.draw(
      tenant,
      [left, right].map(({ info, bytes }) => ({ name: info.name, bytes })),
      type,
      maxNodes,
    );
  }

  private limitOf(tenant: string): number {
    const n = this.limits.forTenant(tenant).maxProfileSizeBytes;
    return n > 0 ? n : 1 << 30;
  }

  private draw(
    tenant: string,
    files: FilesCall["files"],
    type: string | undefined,
    asked: number,
  ): Promise<FilesAnswer> {
    const l = this.limits.forTenant(tenant),
      most = l.maxFlamegraphNodesMax;
    if (asked < 0 || (most > 0 && asked > most))
      throw invalidError(`max flamegraph nodes limit ${asked} is greater than allowed ${most}`);
    return this.reader.files({
      files,
      type,
      maxNodes: asked > 0 ? asked : l.maxFlamegraphNodesDefault,
      limitBytes: this.limitOf(tenant),
    });
  }

  private async read(tenant: string, id: string): Promise<{ info: FileInfo; bytes: Uint8Array }> {
    if (!ID.test(id) || /^\.+$/.test(id))
      throw invalidError(`id '${id}' is invalid: it may hold letters, digits, _ . and -`);
    let object: Uint8Array;
    try {
      object = await this.bucket.get(`${tenant}/adhoc/${id}`);
    } catch (err) {
      if (kindOf(err) === "not-found")
        throw new CinderblockError("not-found", `failed to get profile: ${id} does not exist`, {
          cause: err,
        });
      throw err;
    }
    try {
      const { name, data, uploadedAt } = JSON.parse(Buffer.from(object).toString("utf8")) as Stored;
      return {
        info: { id, name, uploadedAtMs: Date.parse(uploadedAt) || 0 },
        bytes: Buffer.from(data, "base64"),
      };
    } catch (err) {
      throw new CinderblockError(
        "corrupt",
        `${tenant}/adhoc/${id} in the bucket is not an uploaded file: ${(err as Error).message}`,
        { cause: err },
      );
    }
  }
}
