import { sep } from "node:path";
import fc from "fast-check";
import { kindOf } from "@cinderblock/errors";
import {
  checkTenantId,
  isTenantId,
  pathBelow,
  tenantFolder,
  tenantForWrite,
  tenantsForRead,
} from "./index.ts";

/** Hostile names: pieces of paths, separators, control characters, any text. */
const piece = fc.oneof(
  fc.constantFrom(
    "..",
    ".",
    "",
    "/",
    "\\",
    "\0",
    "a",
    "shop",
    "../..",
    "a/../../b",
    "/etc",
    "..\\..",
    "%2e%2e",
    "~",
  ),
  fc.string({ unit: "binary", maxLength: 12 }),
);
const hostile = fc.oneof(
  fc.array(piece, { minLength: 1, maxLength: 5 }).map((p) => p.join("/")),
  fc.array(piece, { minLength: 1, maxLength: 5 }).map((p) => p.join("")),
  fc.anything({ withBigInt: true, withNullPrototype: true }) as fc.Arbitrary<string>,
);

describe("a path below a root", () => {
  const root = `${sep}srv${sep}data`;

  it("stays below the root for any names, or is refused as invalid", () => {
    fc.assert(
      fc.property(fc.array(hostile, { minLength: 1, maxLength: 4 }), (names) => {
        let path: string;
        try {
          path = pathBelow(root, ...names);
        } catch (err) {
          expect(kindOf(err)).toBe("invalid");
          return;
        }
        expect(path).toBe([root, ...names].join(sep));
        expect(path.split(sep)).not.toContain("..");
        expect(path).not.toContain("\0");
      }),
      { numRuns: 1500 },
    );
  });

  it("refuses a tenant's folder exactly for invalid tenant IDs", () => {
    fc.assert(
      fc.property(hostile, (tenant) => {
        if (isTenantId(tenant)) expect(tenantFolder(root, tenant)).toBe(`${root}${sep}${tenant}`);
        else expect(() => tenantFolder(root, tenant)).toThrow(expect.objectContaining({ kind: "invalid" }));
      }),
      { numRuns: 1500 },
    );
  });

  it("accepts the same tenant IDs inside the cluster as at its edge", () => {
    fc.assert(
      fc.property(hostile, (tenant) => {
        if (typeof tenant !== "string" || tenant === "" || tenant.includes("|")) return;
        let accepted = true;
        try {
          tenantForWrite(tenant, true);
        } catch (err) {
          expect(kindOf(err)).toBe("unauthenticated");
          accepted = false;
        }
        expect(isTenantId(tenant)).toBe(accepted);
      }),
      { numRuns: 1500 },
    );
    expect(() => tenantsForRead("a||b", true)).toThrow("tenant ID is empty");
    for (const bad of ["", "..", "../x", "a/b", "a|b", "a\0", "x".repeat(151), undefined, 7, 7n, {}])
      expect(() => checkTenantId(bad as string)).toThrow(expect.objectContaining({ kind: "invalid" }));
  });

  it("refuses names of Cinderblock's files as tenant IDs, with a reason", () => {
    for (const id of [
      ".cinderblock",
      "__pyroscope_cluster",
      "tenant_settings.json",
      "ring-tokens.json",
      "ring-tokens.json.next",
      "partitions.json",
      "suspect-records.json",
      "roster.json",
      "a.tmp-1-2",
    ]) {
      const reserved = new RegExp(`^tenant ID '${id.replaceAll(".", "\\.")}' is reserved`);
      expect(() => tenantForWrite(id, true)).toThrow(reserved);
      expect(() => tenantsForRead(`team|${id}`, true)).toThrow(reserved);
      expect(() => checkTenantId(id)).toThrow(reserved);
    }
    for (const id of [".team", "..team", "team.json", "cinderblock"])
      expect(tenantForWrite(id, true)).toBe(id);
  });
});
