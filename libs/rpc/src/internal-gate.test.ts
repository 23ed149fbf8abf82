import { create, toBinary } from "@bufbuild/protobuf";
import { CanServeRequestSchema, StoreGatewayService } from "@cinderblock/api";
import { CinderblockError, fromErrorRecord, toErrorRecord } from "@cinderblock/errors";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { Authorizer } from "./authorize.ts";
import { InternalClient, UnknownMethodError } from "./internal-client.ts";
import { type InternalCredentials, InternalGate, TokenSet } from "./internal-gate.ts";
import { type InternalHandlers, internalService } from "./internal-service.ts";
import { ApiServer } from "./server.ts";
import { testServer } from "./testing.ts";

const OLD = "old-token-0123456789",
  NEW = "new-token-0123456789";

/** Tokens that a test changes; a refresh adopts `next`. */
class Credentials implements InternalCredentials {
  set: TokenSet;
  next: TokenSet | undefined;
  refreshes = 0;
  constructor(...tokens: string[]) {
    this.set = new TokenSet(tokens);
  }
  current(): string | undefined {
    return this.set.current;
  }
  accepts(token: string): boolean {
    return this.set.accepts(token);
  }
  refresh(): Promise<void> {
    this.refreshes++;
    if (this.next) this.set = this.next;
    return Promise.resolve();
  }
}

const lines: string[] = [];
const base = {
  log: createLogger({ level: "warn", format: "json" }, (l) => lines.push(l)),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
const calls: unknown[] = [];
/** Answers after it has noted the call; a tenant that names a kind fails with it. */
const HANDLERS: InternalHandlers<typeof StoreGatewayService> = {
  canServe: ({ tenant }) => {
    calls.push(tenant);
    return Promise.resolve({ serves: true });
  },
  registerBlock: ({ tenant: kind }) =>
    Promise.reject(
      kind === "internal" ? new TypeError("secret of the code") : new CinderblockError("conflict", "fact"),
    ),
};
const CONFIG = testServer({ protocol: "internal" });

const servers: ApiServer[] = [],
  clients: InternalClient[] = [];
async function listening(credentials: Credentials): Promise<ApiServer> {
  const s = new ApiServer(
    CONFIG,
    [internalService(StoreGatewayService, HANDLERS)],
    { ...base, metrics: new Metrics() },
    new InternalGate(credentials, base),
    "internal server",
  );
  servers.push(s);
  await s.start();
  return s;
}
function client(credentials: Credentials): InternalClient {
  const c = new InternalClient(credentials);
  clients.push(c);
  return c;
}
const store = (c: InternalClient, s: ApiServer) => c.of(StoreGatewayService, `127.0.0.1:${s.port}`);
const say = async (c: InternalClient, s: ApiServer, tenant: string): Promise<boolean> =>
  (await store(c, s).canServe({ tenant }, { timeoutMs: 5000 })).serves;
const request = (tenant: string): Buffer =>
  Buffer.from(toBinary(CanServeRequestSchema, create(CanServeRequestSchema, { tenant })));
const ROOT = "/cinderblock.internal.v1.StoreGatewayService";
const post = (s: ApiServer, path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${s.port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/proto", ...headers },
    body: request("x"),
  });

beforeEach(() => {
  calls.length = 0;
  lines.length = 0;
});
afterEach(async () => {
  for (const c of clients.splice(0)) c.close();
  for (const s of servers.splice(0)) await s.stop();
});

describe("the listener of internal methods", () => {
  it("admits processes of the cluster, and refuses other callers on every route before a body is read", async () => {
    const s = await listening(new Credentials(NEW, OLD));
    expect(await say(client(new Credentials(NEW)), s, "hello")).toBe(true);
    expect(await say(client(new Credentials(OLD)), s, "hello")).toBe(true);
    expect(s.paths).toEqual([`${ROOT}/CanServe`, `${ROOT}/RegisterBlock`]);
    calls.length = 0;
    for (const path of [...s.paths, "/nothing", "/"])
      for (const headers of [
        {},
        { authorization: "Bearer wrong-token-0123456789" },
        { authorization: `Basic ${Buffer.from(`x:${NEW}`).toString("base64")}` },
        { authorization: `Bearer ${NEW.slice(0, -1)}` },
        { authorization: "Bearer" },
      ] as Record<string, string>[]) {
        const r = await post(s, path, headers);
        expect([path, headers, r.status]).toEqual([path, headers, 401]);
        expect(((await r.json()) as { code: string }).code).toBe("unauthenticated");
      }
    expect(calls).toEqual([]);
    expect(await base.metrics.registry.metrics()).toMatch(
      /cinderblock_internal_refused_calls_total\{reason="missing"\} [1-9]/,
    );
    expect(lines.filter((l) => l.includes("internal call refused"))).toHaveLength(1);
  });

  it("has no route on a port that has no internal methods", async () => {
    const s = new ApiServer(
      CONFIG,
      [],
      { ...base, metrics: new Metrics() },
      new Authorizer(undefined, false),
    );
    servers.push(s);
    await s.start();
    expect((await post(s, `${ROOT}/CanServe`, { authorization: `Bearer ${NEW}` })).status).toBe(404);
  });

  it("follows a rotation: an unknown token triggers a reload", async () => {
    const served = new Credentials(OLD);
    served.next = new TokenSet([NEW, OLD]);
    const s = await listening(served);
    expect(await say(client(new Credentials(NEW)), s, "a")).toBe(true);
    expect(served.refreshes).toBe(1);
  });

  it("is called again with the newer token, and counts as unreachable if both sides disagree", async () => {
    const s = await listening(new Credentials(NEW)),
      behind = new Credentials(OLD);
    behind.next = new TokenSet([NEW]);
    expect(await say(client(behind), s, "a")).toBe(true);
    await expect(say(client(new Credentials(OLD)), s, "a")).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("-auth.internal-token") as string,
    });
  });

  it("tells an unknown method from other failures by the class of the error, on the calling side only", async () => {
    const other = new ApiServer(
      CONFIG,
      [],
      { ...base, metrics: new Metrics() },
      new InternalGate(new Credentials(NEW), base),
    );
    servers.push(other);
    await other.start();
    const unknown = await say(client(new Credentials(NEW)), other, "a").catch((err: unknown) => err);
    expect(unknown).toBeInstanceOf(UnknownMethodError);
    expect(unknown).toMatchObject({
      kind: "unavailable",
      detail: { service: "StoreGatewayService", method: "CanServe" },
    });
    expect(fromErrorRecord(toErrorRecord(unknown))).not.toBeInstanceOf(UnknownMethodError);
    const failed = await store(client(new Credentials(NEW)), await listening(new Credentials(NEW)))
      .registerBlock({}, { timeoutMs: 5000 })
      .catch((err: unknown) => err);
    expect(failed).not.toBeInstanceOf(UnknownMethodError);
  });

  it("responds unavailable while it does not know the token", async () => {
    const s = await listening(new Credentials());
    await expect(say(client(new Credentials(NEW)), s, "a")).rejects.toMatchObject({ kind: "unavailable" });
    // A process without a token reads it before its first call.
    const none = new Credentials(),
      open = await listening(new Credentials(NEW));
    none.next = new TokenSet([NEW]);
    expect(await say(client(none), open, "a")).toBe(true);
  });

  it("responds with an error's kind and message, and logs the stack instead of sending it", async () => {
    const s = await listening(new Credentials(NEW));
    for (const [kind, status, code] of [
      ["internal", 500, "internal"],
      ["conflict", 409, "already_exists"],
    ] as const) {
      const r = await fetch(`http://127.0.0.1:${s.port}${ROOT}/RegisterBlock`, {
        method: "POST",
        headers: { "content-type": "application/proto", authorization: `Bearer ${NEW}` },
        body: request(kind),
      });
      const body = await r.text();
      expect(r.status).toBe(status);
      expect(body).not.toMatch(/stack|\.ts:\d|\bat /);
      expect(JSON.parse(body)).toMatchObject({ code });
    }
    expect(
      lines.filter((l) => l.includes("internal call failed") && l.includes("internal-gate.test.ts")),
    ).toHaveLength(1);
  });
});
