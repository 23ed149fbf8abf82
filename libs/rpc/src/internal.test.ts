import { CinderblockError, fromErrorRecord, kindOf, toErrorRecord } from "@cinderblock/errors";
import { decodeMessage, encodeMessage } from "@cinderblock/message";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { Authorizer } from "./authorize.ts";
import { InternalClient, internalRoutes, UnknownMethodError } from "./internal.ts";
import { type InternalCredentials, InternalGate, TokenSet } from "./internal-gate.ts";
import { internalMethod, listOf, number, optional, record, text } from "./internal-method.ts";
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
const METHODS = {
  say: internalMethod([text, optional(number)], ([words, times]) => {
    calls.push([words, times]);
    return Promise.resolve(words.repeat(times ?? 1));
  }),
  fail: internalMethod([text], ([kind]) =>
    Promise.reject(
      kind === "internal" ? new TypeError("secret of the code") : new CinderblockError("conflict", "fact"),
    ),
  ),
};
const CONFIG = testServer({ protocol: "internal" });

const servers: ApiServer[] = [],
  clients: InternalClient[] = [];
async function listening(credentials: Credentials): Promise<ApiServer> {
  const s = new ApiServer(
    CONFIG,
    [internalRoutes("Echo", METHODS)],
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
const say = (c: InternalClient, s: ApiServer, ...args: unknown[]): Promise<string> =>
  c.call(`127.0.0.1:${s.port}`, "Echo", "say", args, { timeoutMs: 5000 });
const post = (s: ApiServer, path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${s.port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/x-cinderblock-message", ...headers },
    body: Buffer.from(encodeMessage(["x"])),
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
    expect(await say(client(new Credentials(NEW)), s, "hello")).toBe("hello");
    expect(await say(client(new Credentials(OLD)), s, "hello")).toBe("hello");
    expect(s.paths).toEqual(["/cinderblock.internal.v1/Echo/fail", "/cinderblock.internal.v1/Echo/say"]);
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
        expect(((await r.json()) as { kind: string }).kind).toBe("unauthenticated");
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
    expect(
      (await post(s, "/cinderblock.internal.v1/Echo/say", { authorization: `Bearer ${NEW}` })).status,
    ).toBe(404);
  });

  it("follows a rotation: an unknown token triggers a reload", async () => {
    const served = new Credentials(OLD);
    served.next = new TokenSet([NEW, OLD]);
    const s = await listening(served);
    expect(await say(client(new Credentials(NEW)), s, "a")).toBe("a");
    expect(served.refreshes).toBe(1);
  });

  it("is called again with the newer token, and counts as unreachable if both sides disagree", async () => {
    const s = await listening(new Credentials(NEW)),
      behind = new Credentials(OLD);
    behind.next = new TokenSet([NEW]);
    expect(await say(client(behind), s, "a")).toBe("a");
    await expect(say(client(new Credentials(OLD)), s, "a")).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining("-auth.internal-token") as string,
    });
  });

  it("tells an unknown method from other failures by the class of the error, on the calling side only", async () => {
    const s = await listening(new Credentials(NEW)),
      call = (method: string): Promise<unknown> =>
        client(new Credentials(NEW)).call(`127.0.0.1:${s.port}`, "Echo", method, ["x"], { timeoutMs: 5000 });
    const unknown = await call("shout").catch((err: unknown) => err);
    expect(unknown).toBeInstanceOf(UnknownMethodError);
    expect(unknown).toMatchObject({ kind: "unavailable", detail: { service: "Echo", method: "shout" } });
    expect(fromErrorRecord(toErrorRecord(unknown))).not.toBeInstanceOf(UnknownMethodError);
    expect(await call("fail").catch((err: unknown) => err)).not.toBeInstanceOf(UnknownMethodError);
  });

  it("responds unavailable while it does not know the token", async () => {
    const s = await listening(new Credentials());
    await expect(say(client(new Credentials(NEW)), s, "a")).rejects.toMatchObject({ kind: "unavailable" });
    // A process without a token reads it before its first call.
    const none = new Credentials(),
      open = await listening(new Credentials(NEW));
    none.next = new TokenSet([NEW]);
    expect(await say(client(none), open, "a")).toBe("a");
  });

  it("responds with an error's kind and message, and logs the stack instead of sending it", async () => {
    const s = await listening(new Credentials(NEW));
    for (const [kind, status] of [
      ["internal", 500],
      ["conflict", 409],
    ] as const) {
      const r = await fetch(`http://127.0.0.1:${s.port}/cinderblock.internal.v1/Echo/fail`, {
        method: "POST",
        headers: { "content-type": "application/x-cinderblock-message", authorization: `Bearer ${NEW}` },
        body: Buffer.from(encodeMessage([kind])),
      });
      const body = await r.text();
      expect(r.status).toBe(status);
      expect(body).not.toMatch(/stack|\.ts:\d|\bat /);
      expect(JSON.parse(body)).toMatchObject({ kind });
    }
    expect(
      lines.filter((l) => l.includes("internal call failed") && l.includes("internal.test.ts")),
    ).toHaveLength(1);
  });
});

describe("arguments of internal methods", () => {
  const signal = new AbortController().signal;
  it.each([[undefined], [null], [{}], ["x"], [[]], [[7]], [[null]], [["x", "y"]], [["x", NaN]], [[["x"]]]])(
    "are refused as invalid if they do not fit the method: %j",
    async (args) => {
      await expect(METHODS.say.run(args, signal)).rejects.toMatchObject({ kind: "invalid" });
      expect(calls).toEqual([]);
    },
  );
  it("are passed as they were checked", async () => {
    const method = internalMethod([listOf(number), record<{ a: number }>(), optional(text)], (a) =>
      Promise.resolve(a),
    );
    expect(await method.run([[1, 2], { a: 1 }], signal)).toEqual([[1, 2], { a: 1 }, undefined]);
    for (const bad of [
      [[1, "2"], {}],
      [[], []],
      [[], null],
      [[], new Uint8Array(1)],
    ])
      await expect(method.run(bad, signal)).rejects.toMatchObject({ kind: "invalid" });
  });
  it("survive every decodable message", async () => {
    for (const value of [
      decodeMessage(encodeMessage([{ __proto__: null, a: 1 }])),
      [1n],
      [new Float64Array(2)],
    ])
      await METHODS.say.run(value, signal).catch((err: unknown) => expect(kindOf(err)).toBe("invalid"));
    expect(calls).toEqual([]);
  });
});
