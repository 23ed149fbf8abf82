import type { SwiftConfig } from "./swift.ts";

/** A token, and the address of the account. */
export interface SwiftSession {
  token: string;
  url: string;
}

/** A response that does not follow the protocol. */
export class SwiftError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Authentication version: 1 is tempauth and similar, 3 is Keystone; the setting 0 derives it from the
 * address.
 */
function authVersionOf(c: SwiftConfig): 1 | 2 | 3 {
  if (c.authVersion === 1 || c.authVersion === 2 || c.authVersion === 3) return c.authVersion;
  if (/\/v3\/?$/.test(c.authUrl)) return 3;
  return /\/v2(\.0)?\/?$/.test(c.authUrl) ? 2 : 1;
}

/** Requests a token. @throws SwiftError */
export function authenticate(c: SwiftConfig): Promise<SwiftSession> {
  return authVersionOf(c) === 1 ? tempauth(c) : keystone(c);
}

async function tempauth(c: SwiftConfig): Promise<SwiftSession> {
  const r = await fetch(c.authUrl, {
    headers: { "x-auth-user": c.username, "x-auth-key": c.password },
    signal: AbortSignal.timeout(c.connectTimeoutMs + c.requestTimeoutMs),
  });
  await r.arrayBuffer();
  const token = r.headers.get("x-auth-token"),
    url = r.headers.get("x-storage-url");
  if (!r.ok || token === null || url === null)
    throw new SwiftError(
      r.status === 200 ? 502 : r.status,
      "authentication",
      `${c.authUrl} responded with ${r.status} and without a token`,
    );
  return { token, url };
}

/** Reference to a user, project or domain in Keystone's form: by ID, else by name. */
const named = (id: string, name: string): { id: string } | { name: string } | undefined =>
  id !== "" ? { id } : name !== "" ? { name } : undefined;

interface Catalog {
  token?: {
    catalog?: {
      type: string;
      endpoints: { interface: string; region?: string; region_id?: string; url: string }[];
    }[];
  };
}

/** Requests a token from the identity API v3 with a user's password, scoped to a project. */
async function keystone(c: SwiftConfig): Promise<SwiftSession> {
  const domain = named(c.domainId, c.domainName);
  const userDomain = named(c.userDomainId, c.userDomainName) ?? domain,
    projectDomain = named(c.projectDomainId, c.projectDomainName) ?? domain;
  const user =
    c.userId !== "" ? { id: c.userId } : { name: c.username, domain: userDomain ?? { id: "default" } };
  const project =
    c.projectId !== ""
      ? { id: c.projectId }
      : c.projectName !== ""
        ? { name: c.projectName, domain: projectDomain ?? { id: "default" } }
        : undefined;
  const body = {
    auth: {
      identity: { methods: ["password"], password: { user: { ...user, password: c.password } } },
      ...(project ? { scope: { project } } : {}),
    },
  };
  const address = `${c.authUrl.replace(/\/$/, "")}/auth/tokens`;
  const r = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(c.connectTimeoutMs + c.requestTimeoutMs),
  });
  const text = await r.text();
  const token = r.headers.get("x-subject-token");
  if (!r.ok || token === null)
    throw new SwiftError(
      r.status === 200 ? 502 : r.status,
      "authentication",
      `${address} responded with ${r.status}: ${text.slice(0, 200)}`,
    );
  const stores = (JSON.parse(text) as Catalog).token?.catalog?.filter((s) => s.type === "object-store") ?? [];
  const kind = c.internal ? "internal" : "public";
  const endpoint = stores
    .flatMap((s) => s.endpoints)
    .find(
      (e) =>
        e.interface === kind &&
        (c.regionName === "" || e.region === c.regionName || e.region_id === c.regionName),
    );
  if (!endpoint)
    throw new SwiftError(
      502,
      "catalog",
      `the catalog of ${c.authUrl} has no ${kind} endpoint of an object store${c.regionName === "" ? "" : ` in region ${c.regionName}`}: check -storage.swift.region-name and -storage.swift.project-name`,
    );
  return { token, url: endpoint.url };
}
