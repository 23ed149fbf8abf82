import { createHash, timingSafeEqual } from "node:crypto";
import { CinderblockError } from "@cinderblock/errors";

/** Permission of a caller: send profiles, query, or view and change the server's state. */
export type Role = "write" | "read" | "admin";
const ROLES: readonly Role[] = ["write", "read", "admin"];

/** A caller: the name of its token, and the permissions of the token. */
export interface Access {
  name: string;
  roles: ReadonlySet<Role>;
  /** tenants that the token may use; undefined: all tenants */
  tenants: ReadonlySet<string> | undefined;
}

interface Entry {
  hash: Buffer;
  access: Access;
}

/**
 * Tokens by their SHA-256. A caller sends one as `Authorization: Bearer <token>`, or as the password in Basic
 * authentication.
 */
export class Tokens {
  private readonly entries: Entry[] = [];

  /** @param document content of the tokens file: `tokens: [{name, token or sha256, roles, tenants}]` */
  constructor(document: unknown, where: string) {
    const wrong = (what: string): never => {
      throw new CinderblockError("invalid", `${where}: ${what}`);
    };
    const { tokens } = (
      typeof document === "object" && document !== null ? document : wrong("expected a list below tokens")
    ) as { tokens?: unknown };
    if (!Array.isArray(tokens)) throw wrong("expected a list below tokens");
    const names = new Set<string>();
    tokens.forEach((raw, i) => {
      if (typeof raw !== "object" || raw === null) wrong(`token ${i + 1}: expected keys and values`);
      const t = raw as Record<string, unknown>,
        at = `token ${i + 1}`;
      for (const key of Object.keys(t))
        if (!["name", "token", "sha256", "roles", "tenants"].includes(key))
          wrong(`${at}: unknown key ${key}`);
      const { name, token, sha256, roles = ["read", "write"], tenants = ["*"] } = t;
      if (typeof name !== "string" || name === "" || names.has(name))
        throw wrong(`${at}: expected a name that no other token has`);
      names.add(name);
      if ((token === undefined) === (sha256 === undefined))
        wrong(`${at} (${name}): expected either token or sha256`);
      if (token !== undefined && (typeof token !== "string" || token.length < 16))
        wrong(`${at} (${name}): a token needs at least 16 characters`);
      if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(String(sha256)))
        wrong(`${at} (${name}): sha256: expected 64 hexadecimal digits`);
      if (!Array.isArray(roles) || roles.length === 0 || roles.some((r) => !ROLES.includes(r as Role)))
        throw wrong(`${at} (${name}): roles: expected some of ${ROLES.join(", ")}`);
      if (!Array.isArray(tenants) || tenants.length === 0 || tenants.some((x) => typeof x !== "string"))
        throw wrong(`${at} (${name}): tenants: expected names, or "*" for all`);
      this.entries.push({
        hash: token !== undefined ? digest(token as string) : Buffer.from(sha256 as string, "hex"),
        access: {
          name,
          roles: new Set(roles as Role[]),
          tenants: tenants.includes("*") ? undefined : new Set(tenants as string[]),
        },
      });
    });
  }

  /** Access of the caller that a header identifies. @throws `unauthenticated` */
  find(authorization: string | undefined): Access {
    const [, scheme, credentials] = /^(Bearer|Basic) +(\S+)$/i.exec(authorization ?? "") ?? [];
    if (credentials === undefined)
      throw new CinderblockError(
        "unauthenticated",
        authorization === undefined
          ? "a token is required: Authorization: Bearer <token>, or Basic with the token as password"
          : "expected Authorization: Bearer <token>, or Basic with the token as password",
      );
    const token =
      scheme!.toLowerCase() === "bearer"
        ? credentials
        : (Buffer.from(credentials, "base64").toString().split(/:(.*)/s)[1] ?? "");
    const hash = digest(token);
    let found: Access | undefined;
    // Compares with all tokens in constant time, so that the response time reveals nothing about a guess.
    for (const e of this.entries) if (timingSafeEqual(e.hash, hash)) found = e.access;
    if (!found) throw new CinderblockError("unauthenticated", "unknown token");
    return found;
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/**
 * Checks that a token allows a request.
 * @param tenants tenants that the request names
 * @throws `forbidden`
 */
export function checkAccess(access: Access, role: Role, tenants: readonly string[]): void {
  if (!access.roles.has(role))
    throw new CinderblockError(
      "forbidden",
      `the token ${access.name} may not ${{ write: "push profiles", read: "query", admin: "see or change the server's state" }[role]}`,
    );
  if (!access.tenants) return;
  for (const t of tenants)
    if (!access.tenants.has(t))
      throw new CinderblockError("forbidden", `the token ${access.name} has no access to tenant ${t}`);
}
