import { CinderblockError, invalidError, kindOf } from "@cinderblock/errors";
import type { Bucket } from "@cinderblock/objstore";

export interface Setting {
  name: string;
  value: string;
  /** milliseconds since the epoch */
  modifiedAt: number;
}
/** v1's object at the root: tenant -> name -> setting. Maps, because callers choose both keys. */
type Document = Map<string, Map<string, Setting>>;

const OBJECT = "tenant_settings.json";
const MAX_NAME = 512,
  MAX_VALUE = 1 << 20;

/** The settings that the web UI stores per tenant, in one object of the bucket. Changes run one after the other. */
export class TenantSettings {
  private readonly bucket: Bucket;
  private readonly now: () => number;
  private last: Promise<unknown> = Promise.resolve();

  constructor(bucket: Bucket, now: () => number) {
    this.bucket = bucket;
    this.now = now;
  }

  private async read(): Promise<Document> {
    let bytes: Uint8Array;
    try {
      bytes = await this.bucket.get(OBJECT);
    } catch (err) {
      if (kindOf(err) === "not-found") return new Map();
      throw err;
    }
    try {
      return new Map(
        Object.entries(
          JSON.parse(Buffer.from(bytes).toString("utf8")) as Record<string, Record<string, Setting>>,
        ).map(([tenant, own]) => [tenant, new Map(Object.entries(own))]),
      );
    } catch (err) {
      throw new CinderblockError(
        "corrupt",
        `${OBJECT} in the bucket is not valid JSON: ${(err as Error).message}; restore or delete it`,
        { cause: err },
      );
    }
  }

  /** Reads, changes and writes the object; no other change runs in between. */
  private change<T>(work: (d: Document) => { result: T; changed: boolean }): Promise<T> {
    const next = this.last
      .catch(() => undefined)
      .then(async () => {
        const d = await this.read();
        const { result, changed } = work(d);
        if (changed)
          await this.bucket.put(
            OBJECT,
            Buffer.from(
              JSON.stringify(
                Object.fromEntries([...d].map(([tenant, own]) => [tenant, Object.fromEntries(own)])),
              ),
            ),
          );
        return result;
      });
    this.last = next;
    return next;
  }

  /** All settings of a tenant, sorted by name. */
  async list(tenant: string): Promise<Setting[]> {
    return [...((await this.read()).get(tenant)?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws `conflict` when a newer value is stored */
  set(tenant: string, given: Setting): Promise<Setting> {
    if (given.name === "") throw invalidError("no setting name provided");
    if (given.name.length > MAX_NAME)
      throw invalidError(`the setting's name has ${given.name.length} characters; the limit is ${MAX_NAME}`);
    if (given.value.length > MAX_VALUE)
      throw invalidError(
        `the setting's value has ${given.value.length} characters; the limit is ${MAX_VALUE}`,
      );
    const setting = { ...given, modifiedAt: given.modifiedAt > 0 ? given.modifiedAt : this.now() };
    return this.change((d) => {
      const own = d.get(tenant) ?? new Map<string, Setting>(),
        known = own.get(setting.name);
      if (known && known.modifiedAt > setting.modifiedAt)
        throw new CinderblockError(
          "conflict",
          `failed to update ${JSON.stringify(setting.name)}: newer update already written (${known.modifiedAt} after ${setting.modifiedAt})`,
        );
      d.set(tenant, own.set(setting.name, setting));
      return { result: setting, changed: true };
    });
  }

  delete(tenant: string, name: string): Promise<void> {
    return this.change((d) => ({ result: undefined, changed: d.get(tenant)?.delete(name) ?? false }));
  }
}
