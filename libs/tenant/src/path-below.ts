import { join } from "node:path";
import { CinderblockError } from "@cinderblock/errors";
import { checkTenantId } from "./tenant-id.ts";

/** Maximum length in bytes of a file or folder name in common file systems. */
const MAX_NAME_BYTES = 255;

/** Whether a text names one file or folder: no separator, no NUL, neither "." nor "..". */
function isFileName(name: string): boolean {
  return (
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    !/[/\\\0]/.test(name) &&
    Buffer.byteLength(name) <= MAX_NAME_BYTES
  );
}

/**
 * Joins names below a root folder. Each name is one file or folder, so the result is never outside of `root`,
 * whatever the source of the names (docs/correctness.md, "Internal calls are closed by default").
 * @throws `invalid` for a name that is not a single file name
 */
export function pathBelow(root: string, ...names: readonly string[]): string {
  for (const name of names)
    if (typeof name !== "string" || !isFileName(name))
      throw new CinderblockError(
        "invalid",
        `${typeof name === "string" ? JSON.stringify(name) : typeof name} is not a valid file or folder name below ${root}: expected one name of 1 to ${MAX_NAME_BYTES} bytes without separators`,
      );
  return join(root, ...names);
}

/** Folder of a tenant below a data path. @throws `invalid` for a text that is not a tenant ID */
export function tenantFolder(dataPath: string, tenant: string): string {
  return pathBelow(dataPath, checkTenantId(tenant));
}
