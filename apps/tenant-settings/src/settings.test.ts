import { FilesystemBucket } from "@cinderblock/objstore";
import { temporaryFolder } from "@cinderblock/testkit";
import { TenantSettings } from "./settings.ts";

describe("tenant settings", () => {
  const open = (): { s: TenantSettings; bucket: FilesystemBucket } => {
    const bucket = new FilesystemBucket(temporaryFolder());
    return { s: new TenantSettings(bucket, () => 5000), bucket };
  };

  it("are kept in v1's object, by tenant and name", async () => {
    const { s, bucket } = open();
    await Promise.all([
      s.set("a", { name: "z", value: "1", modifiedAt: 0 }),
      s.set("a", { name: "b", value: "2", modifiedAt: 7000 }),
      s.set("other", { name: "z", value: "3", modifiedAt: 1 }),
    ]);
    expect(await s.list("a")).toEqual([
      { name: "b", value: "2", modifiedAt: 7000 },
      { name: "z", value: "1", modifiedAt: 5000 },
    ]);
    expect(JSON.parse(Buffer.from(await bucket.get("tenant_settings.json")).toString())).toEqual({
      a: { z: { name: "z", value: "1", modifiedAt: 5000 }, b: { name: "b", value: "2", modifiedAt: 7000 } },
      other: { z: { name: "z", value: "3", modifiedAt: 1 } },
    });
    expect(await s.list("nobody")).toEqual([]);
  });
  it("refuse an update older than the stored one, and a setting without a name", async () => {
    const { s } = open();
    await s.set("a", { name: "x", value: "new", modifiedAt: 200 });
    await expect(s.set("a", { name: "x", value: "old", modifiedAt: 100 })).rejects.toMatchObject({
      kind: "conflict",
    });
    await expect(s.set("a", { name: "x", value: "same time", modifiedAt: 200 })).resolves.toMatchObject({
      value: "same time",
    });
    expect(() => s.set("a", { name: "", value: "", modifiedAt: 0 })).toThrow("no setting name provided");
    expect(() => s.set("a", { name: "x".repeat(513), value: "", modifiedAt: 0 })).toThrow("the limit is 512");
  });
  it("drop a deleted setting; deleting a missing one succeeds", async () => {
    const { s } = open();
    await s.set("a", { name: "__proto__", value: "v", modifiedAt: 0 });
    await s.set("__proto__", { name: "polluted", value: "v", modifiedAt: 0 });
    expect([
      (await s.list("a")).map((x) => x.name),
      (await s.list("__proto__")).map((x) => x.name),
      "polluted" in {},
    ]).toEqual([["__proto__"], ["polluted"], false]);
    await s.delete("a", "x");
    await s.delete("a", "__proto__");
    expect(await s.list("a")).toEqual([]);
  });
  it("report a damaged object, and keep it", async () => {
    const { s, bucket } = open();
    await bucket.put("tenant_settings.json", Buffer.from("{"));
    await expect(s.set("a", { name: "x", value: "", modifiedAt: 0 })).rejects.toMatchObject({
      kind: "corrupt",
    });
    expect(Buffer.from(await bucket.get("tenant_settings.json")).toString()).toBe("{");
  });
});
