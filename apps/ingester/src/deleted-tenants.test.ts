import { newUlid, ulidTimeMs } from "@cinderblock/block-meta";
import { recordTenantDeletion, tenantMarkName } from "@cinderblock/compact";
import { CinderblockError } from "@cinderblock/errors";
import { FilesystemBucket } from "@cinderblock/objstore";
import { createLogger, Metrics, noTracer } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { DeletedTenants } from "./deleted-tenants.ts";
import type { Ingester } from "./ingester.ts";

const T0 = 1_795_000_000_000;

/** Fake ingester: the blocks of each tenant. */
class Held {
  readonly blocks = new Map<string, string[]>();
  add(tenant: string, atMs: number): string {
    const ulid = newUlid(atMs);
    this.blocks.set(tenant, [...(this.blocks.get(tenant) ?? []), ulid]);
    return ulid;
  }
  tenants = (): Promise<string[]> => Promise.resolve([...this.blocks.keys()]);
  dropTenant = (tenant: string): Promise<number> => this.dropTenantBefore(tenant, Infinity);
  dropTenantBefore = (tenant: string, ms: number): Promise<number> => {
    const all = this.blocks.get(tenant) ?? [],
      left = all.filter((u) => ulidTimeMs(u) > ms);
    this.blocks.set(tenant, left);
    return Promise.resolve(all.length - left.length);
  };
}

describe("an ingester's data of deleted tenants", () => {
  function setUp() {
    const bucket = new FilesystemBucket(temporaryFolder()),
      held = new Held(),
      clock = { now: T0 };
    const deleted = new DeletedTenants(held as unknown as Ingester, bucket, 300_000, {
      log: createLogger({ level: "silent", format: "logfmt" }),
      metrics: new Metrics(),
      tracer: noTracer,
      now: () => clock.now,
    });
    return { bucket, held, clock, deleted };
  }

  it("is dropped even if the mark was removed long before the ingester restarts; later data stays", async () => {
    const { bucket, held, deleted } = setUp();
    const before = held.add("acme", T0 - 90 * 86_400_000),
      after = held.add("acme", T0 + 1),
      other = held.add("other", T0 - 1000);
    await recordTenantDeletion(bucket, "acme", T0 - 1_000_000);
    await recordTenantDeletion(bucket, "acme", T0);
    await deleted.runPass();
    expect([held.blocks.get("acme"), held.blocks.get("other")]).toEqual([[after], [other]]);
    expect([before, after, other].map((u) => deleted.covers(u === other ? "other" : "acme", u))).toEqual([
      true,
      false,
      false,
    ]);
    expect([
      deleted.deletedAt("acme", T0),
      deleted.deletedAt("acme", T0 + 1),
      deleted.deletedAt("other", 0),
    ]).toEqual([true, false, false]);
  });
  it("is dropped entirely while the mark exists", async () => {
    const { bucket, held, deleted } = setUp();
    held.add("acme", T0 + 1);
    await bucket.put(tenantMarkName("acme"), Buffer.from("{}"));
    await deleted.runPass();
    expect([held.blocks.get("acme"), deleted.covers("acme", newUlid(T0 + 2))]).toEqual([[], true]);
  });
  it("is not uploaded before deletions are read, and deletions are reread before uploads", async () => {
    const { bucket, held, clock, deleted } = setUp();
    const ulid = held.add("acme", T0 - 1000);
    expect(deleted.covers("acme", ulid)).toBe(true); // deletions are not read yet
    const list = bucket.list.bind(bucket);
    bucket.list = () => Promise.reject(new CinderblockError("unavailable", "bucket is away"));
    await deleted.refreshIfStale();
    expect(deleted.covers("acme", ulid)).toBe(true);
    bucket.list = list;
    await deleted.refreshIfStale();
    expect(deleted.covers("acme", ulid)).toBe(false);
    await recordTenantDeletion(bucket, "acme", T0);
    clock.now += 10_000;
    await deleted.refreshIfStale();
    expect([deleted.covers("acme", ulid), held.blocks.get("acme")]).toEqual([true, []]);
  });
});
