import { isNativeError } from "node:util/types";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CinderblockError } from "@cinderblock/errors";
import {
  certificates,
  describeWith,
  type Fault,
  type FaultProxy,
  faultProxy,
  needs,
  startS3Server,
  temporaryFolder,
} from "@cinderblock/testkit";
import { type Bucket, openBucket } from "./index.ts";
import { type BackendName, REMOTE, type RemoteName, TestStores } from "./stores.testing.ts";

/**
 * Behavior of each store when requests fail: real servers, behind a proxy that is slow, busy, cuts
 * connections or refuses.
 */
const PART_OF = { s3: needs("s3"), gcs: needs("gcs"), azure: needs("azure"), swift: needs("swift") };
const stores = new TestStores();
const proxies = new Map<BackendName, FaultProxy>();
afterAll(() => {
  for (const p of proxies.values()) p.stop();
});
afterEach(() => {
  for (const p of proxies.values()) {
    p.decide = () => undefined;
    p.seen = 0;
  }
});

type More = NonNullable<Parameters<TestStores["spec"]>[2]>;
const failure = (p: Promise<unknown>): Promise<string> =>
  p.then(
    () => "no error",
    (err: unknown) =>
      err instanceof CinderblockError ? `${err.kind}: ${err.message}` : `not ours: ${String(err)}`,
  );

function cannotBeUsed(backend: RemoteName): void {
  beforeAll(async () => {
    await stores.start(backend);
    proxies.set(backend, await faultProxy(stores.address(backend)));
  }, 120_000);
  /** Opens a bucket behind the proxy. */
  const behind = async (
    work: (bucket: Bucket, proxy: FaultProxy) => Promise<void>,
    more: More = {},
  ): Promise<void> => {
    const proxy = proxies.get(backend)!;
    await work(await openBucket(stores.spec(backend, "f", more, proxy.address)!), proxy);
  };
  const flag = {
    s3: "-storage.s3.bucket-name",
    gcs: "-storage.gcs.bucket-name",
    azure: "-storage.azure.container-name",
    swift: "-storage.swift.container-name",
  }[backend];
  /** faults for the first `n` object requests, instead of the server's responses */
  const first = (n: number, fault: Fault) => {
    let left = n;
    return ({ url }: { url: string }): Fault => (url.includes("/auth/") || left-- <= 0 ? undefined : fault);
  };

  it(
    "reports a missing bucket and the flag that names it",
    () =>
      behind(
        async (b) => {
          for (const ask of [() => b.list(""), () => b.put("x", Buffer.from("1")), () => b.get("x")])
            expect(await failure(ask())).toMatch(
              new RegExp(`^unavailable: bucket nowhere at .* does not exist: create it, or set ${flag}$`),
            );
        },
        backend === "azure" || backend === "swift" ? { container: "nowhere" } : { bucket: "nowhere" },
      ),
    30_000,
  );

  it(
    "retries until a busy server recovers",
    () =>
      behind(async (b, proxy) => {
        for (const status of [429, 503]) {
          // Azure answers 503 (ServerBusy) when it limits the rate
          if (backend === "azure" && status === 429) continue;
          proxy.decide = first(2, { status });
          await b.put("t/busy", Buffer.from("1"));
          proxy.decide = first(2, { status });
          expect(Buffer.from(await b.get("t/busy")).toString()).toBe("1");
          proxy.decide = first(1, { status });
          expect(await b.list("t/")).toEqual(["t/busy"]);
        }
      }),
    60_000,
  );

  it(
    "gives up on a server that stays busy, with a reason",
    () =>
      behind(async (b, proxy) => {
        proxy.decide = first(Infinity, { status: 503, body: "SlowDown" });
        expect(await failure(b.get("t/busy"))).toMatch(
          /^unavailable: bucket blocks at .*(busy|503|SlowDown|UnknownError)/,
        );
        expect(proxy.seen).toBeGreaterThanOrEqual(4);
      }),
    90_000,
  );

  it(
    "distinguishes a refusal from a missing object",
    () =>
      behind(async (b, proxy) => {
        proxy.decide = first(Infinity, { status: 403 });
        expect(await failure(b.put("t/denied", Buffer.from("1")))).toMatch(
          /^unavailable: bucket blocks at .* denies access to f\/t\/denied: the identity needs/,
        );
      }),
    30_000,
  );

  it(
    "retries after a broken connection",
    () =>
      behind(async (b, proxy) => {
        await b.put("t/cut", Buffer.alloc(100_000, 7));
        let cut = 0;
        proxy.decide = ({ method }) =>
          (method === "PUT" || method === "POST") && cut++ === 0 ? { cutAfterBytes: 20_000 } : undefined;
        await b.put("t/cut", Buffer.alloc(100_000, 8));
        expect(cut).toBeGreaterThan(1);
        expect((await b.get("t/cut"))[99_999]).toBe(8);
      }),
    60_000,
  );

  it(
    "leaves no object after an interrupted upload",
    () =>
      behind(async (b, proxy) => {
        const path = join(temporaryFolder(), "large");
        writeFileSync(path, Buffer.alloc(40 << 20, 5));
        let sent = 0;
        // fake-gcs-server accepts half a chunk as a complete one: there, the chunks get error responses.
        const lost: Fault = backend === "gcs" ? { status: 503 } : { cutAfterBytes: 1 << 20 };
        proxy.decide = ({ method, url }) =>
          (method === "PUT" || method === "POST") && !url.includes("/auth/") && ++sent > 1 ? lost : undefined;
        expect(await failure(b.putFile("t/half", path))).toMatch(/^unavailable: bucket blocks/);
        proxy.decide = () => undefined;
        expect(await b.exists("t/half")).toBe(false);
        await b.putFile("t/half", path);
        expect((await b.attributes("t/half")).size).toBe(40 << 20);
      }),
    120_000,
  );

  it(
    "gives up on a server that stops responding, also within a body",
    () =>
      behind(
        async (b, proxy) => {
          const bytes = Buffer.alloc(100_000, 7),
            path = join(temporaryFolder(), "small");
          writeFileSync(path, bytes);
          await b.put("t/silent", bytes);
          proxy.decide = first(Infinity, { silent: true });
          const operations = [b.get("t/silent"), b.getRange("t/silent", 10, 1000)];
          // Google's client accepts no signal: its own requests would continue after the test.
          if (backend !== "gcs")
            operations.push(
              ...[
                b.exists("t/silent"),
                b.put("t/other", bytes),
                b.putFile("t/other", path),
                b.list("t/"),
              ].map((p) => p as Promise<never>),
            );
          for (const message of await Promise.all(operations.map(failure)))
            expect(message).toMatch(/^unavailable: bucket blocks/);
          proxy.decide = first(Infinity, { stallAfter: 100 });
          expect(await failure(b.get("t/silent"))).toMatch(/^unavailable: bucket blocks/);
          proxy.decide = () => undefined;
          expect(await b.get("t/silent")).toHaveLength(bytes.length);
        },
        { requestTimeoutMs: 1000, connectTimeoutMs: 500 },
      ),
    60_000,
  );

  it(
    "reports an unreachable server",
    () =>
      behind(async (b, proxy) => {
        await b.put("t/away", Buffer.from("1"));
        proxy.decide = () => ({ cutAfterBytes: -1 });
        proxy.stop();
        expect(await failure(b.get("t/away"))).toMatch(/^unavailable: bucket blocks/);
      }),
    90_000,
  );
}
for (const backend of REMOTE)
  describeWith(PART_OF[backend], `a ${backend} bucket that cannot be used as asked`, () => {
    cannotBeUsed(backend);
  });

describeWith(["s3", "gcs", "azure", "swift"], "credentials that are refused", () => {
  beforeAll(() => stores.start(...REMOTE), 120_000);
  const check = async (backend: BackendName, more: More, message: RegExp): Promise<void> => {
    expect(await failure((await openBucket(stores.spec(backend, "", more))).list(""))).toMatch(message);
  };
  it("of S3", async () => {
    await check(
      "s3",
      { accessKeyId: "stranger" },
      /refuses the credentials \(InvalidAccessKeyId\): check -storage\.s3\.access-key-id and -storage\.s3\.secret-access-key$/,
    );
    await check("s3", { secretAccessKey: "wrong" }, /refuses the credentials \(SignatureDoesNotMatch\)/);
  }, 30_000);
  it("of Azure", async () => {
    const wrong = Buffer.alloc(64, 1).toString("base64");
    await check(
      "azure",
      {
        connectionString: stores.azure.connectionString().replace(/AccountKey=[^;]*/, `AccountKey=${wrong}`),
      },
      /refuses the credentials \(\w+\): check -storage\.azure\.connection-string$/,
    );
  }, 30_000);
  it("of Swift", async () => {
    await check(
      "swift",
      { password: "wrong" },
      /refuses the credentials \(authentication\): check -storage\.swift\.username, -storage\.swift\.password and -storage\.swift\.auth-url$/,
    );
  }, 30_000);
  it("of Google, by a double in front of the server: it asks for none itself", async () => {
    const proxy = await faultProxy(stores.gcs.address);
    try {
      proxy.decide = () => ({
        status: 401,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          error: { code: 401, message: "Invalid Credentials", errors: [{ reason: "authError" }] },
        }),
      });
      expect(await failure((await openBucket(stores.spec("gcs", "", {}, proxy.address)!)).list(""))).toMatch(
        /refuses the credentials \(authError\): check -storage\.gcs\.service-account$/,
      );
    } finally {
      proxy.stop();
    }
    expect(await failure(openBucket(stores.spec("gcs", "", { serviceAccount: "/etc/key.json" })!))).toBe(
      "invalid: -storage.gcs.service-account is not the JSON of a Google identity: set the content of the key file, not its path",
    );
  }, 30_000);
});

describeWith(["gcs"], "Google's credentials", () => {
  beforeAll(() => stores.start("gcs"), 60_000);
  it("are exchanged for a token that goes with each request", async () => {
    const seen: string[] = [];
    // A double of Google's token service (its address is part of a federated identity's JSON), and a server
    // that checks the token.
    const tokens = createServer((req, res) => {
      req.resume();
      req.on("end", () => {
        res.setHeader("content-type", "application/json");
        res.end(
          JSON.stringify({
            access_token: "token-1",
            issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
            expires_in: 3600,
            token_type: "Bearer",
          }),
        );
      });
    });
    const port = await new Promise<number>((done) => {
      tokens.listen(0, "127.0.0.1", () => done((tokens.address() as AddressInfo).port));
    });
    const proxy = await faultProxy(stores.gcs.address);
    proxy.decide = ({ headers }) => {
      seen.push(headers.authorization ?? "none");
      return undefined;
    };
    const file = join(temporaryFolder(), "subject");
    writeFileSync(file, "subject-token");
    try {
      const serviceAccount = JSON.stringify({
        type: "external_account",
        audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        token_url: `http://127.0.0.1:${port}/token`,
        credential_source: { file },
      });
      const bucket = await openBucket(stores.spec("gcs", "auth", { serviceAccount }, proxy.address)!);
      await bucket.put("a", Buffer.from("1"));
      expect(Buffer.from(await bucket.get("a")).toString()).toBe("1");
      expect(await bucket.list("")).toEqual(["a"]);
      expect(new Set(seen)).toEqual(new Set(["Bearer token-1"]));
    } finally {
      tokens.close();
      proxy.stop();
    }
  }, 60_000);
});

describeWith(["swift"], "Keystone", () => {
  beforeAll(() => stores.start("swift"), 60_000);
  /** A double of the identity API v3 in front of the real store: tempauth's token in Keystone's envelope. */
  async function keystone(
    answer: (body: {
      auth: { identity: { password: { user: Record<string, unknown> } }; scope?: unknown };
    }) => boolean,
  ): Promise<{ url: string; asked: unknown[]; expire(): void; stop(): void }> {
    const asked: unknown[] = [];
    let stale = false;
    const server = createServer((req, res) => {
      let text = "";
      req.on("data", (c: Buffer) => {
        text += c.toString();
      });
      req.on("end", () => {
        void (async () => {
          const body = JSON.parse(text) as Parameters<typeof answer>[0];
          asked.push(body);
          if (req.url !== "/v3/auth/tokens" || !answer(body)) {
            res.writeHead(401).end(JSON.stringify({ error: { code: 401, title: "Unauthorized" } }));
            return;
          }
          const r = await fetch(stores.swift!.authUrl, {
            headers: { "x-auth-user": stores.swift!.username, "x-auth-key": stores.swift!.password },
          });
          const token = stale ? "expired" : r.headers.get("x-auth-token")!;
          stale = false;
          const endpoints = [
            { interface: "internal", region: "one", url: "http://127.0.0.1:9" },
            { interface: "public", region: "one", url: "http://127.0.0.1:9" },
            { interface: "public", region: "two", url: stores.swift!.storageUrl },
          ];
          res.writeHead(201, { "x-subject-token": token, "content-type": "application/json" }).end(
            JSON.stringify({
              token: {
                catalog: [
                  { type: "identity", endpoints: [] },
                  { type: "object-store", endpoints },
                ],
              },
            }),
          );
        })();
      });
    });
    await new Promise<void>((done) => {
      server.listen(0, "127.0.0.1", done);
    });
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v3`,
      asked,
      expire: () => {
        stale = true;
      },
      stop: () => {
        server.close();
      },
    };
  }
  const open = (url: string, more: More = {}): Promise<Bucket> =>
    openBucket(
      stores.spec("swift", "keystone", {
        authUrl: url,
        username: "u",
        password: "p",
        userDomainName: "users",
        projectName: "project",
        projectDomainId: "d1",
        regionName: "two",
        ...more,
      })!,
    );

  it("requests a token for user and project, by names and domains, and the endpoint of the region", async () => {
    const k = await keystone((b) => b.auth.identity.password.user.password === "p");
    try {
      const bucket = await open(k.url);
      await bucket.put("a", Buffer.from("1"));
      expect(await bucket.list("")).toEqual(["a"]);
      expect(k.asked).toEqual([
        {
          auth: {
            identity: {
              methods: ["password"],
              password: { user: { name: "u", domain: { name: "users" }, password: "p" } },
            },
            scope: { project: { name: "project", domain: { id: "d1" } } },
          },
        },
      ]);
      expect(await failure((await open(k.url, { password: "wrong" })).list(""))).toMatch(
        /^unavailable: .*refuses the credentials/,
      );
      expect(await failure((await open(k.url, { regionName: "three", maxRetries: 1 })).list(""))).toMatch(
        /has no public endpoint of an object store in region three/,
      );
    } finally {
      k.stop();
    }
  }, 30_000);

  it("is renewed after expiry", async () => {
    const k = await keystone(() => true);
    try {
      k.expire();
      const bucket = await open(k.url);
      await bucket.put("b", Buffer.from("1"));
      expect(k.asked).toHaveLength(2);
    } finally {
      k.stop();
    }
  }, 30_000);
});

describeWith(["s3"], "S3 credentials that nobody configured", () => {
  beforeAll(() => stores.start("s3"), 60_000);
  const withEnv = async (env: Record<string, string>, work: () => Promise<void>): Promise<void> => {
    const before = { ...process.env };
    Object.assign(process.env, env);
    try {
      await work();
    } finally {
      for (const key of Object.keys(env)) {
        if (before[key] === undefined) delete process.env[key];
        else process.env[key] = before[key];
      }
    }
  };
  const without = { accessKeyId: "", secretAccessKey: "" };
  const usable = async (): Promise<void> => {
    const bucket = await openBucket(stores.spec("s3", "chain", without)!);
    await bucket.put("a", Buffer.from("1"));
    expect(await bucket.list("")).toEqual(["a"]);
  };
  it("come from the environment", async () => {
    await withEnv(
      { AWS_ACCESS_KEY_ID: stores.s3.accessKeyId, AWS_SECRET_ACCESS_KEY: stores.s3.secretAccessKey },
      usable,
    );
  }, 30_000);
  it("come from a role, by the service that gives them to a container", async () => {
    const { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey } = stores.s3;
    const asked: (string | undefined)[] = [];
    const roles = createServer((req, res) => {
      asked.push(req.headers.authorization);
      res.setHeader("content-type", "application/json");
      res.end(
        JSON.stringify({
          AccessKeyId,
          SecretAccessKey,
          Token: "session",
          Expiration: new Date(Date.now() + 3600_000).toISOString(),
        }),
      );
    });
    const port = await new Promise<number>((done) => {
      roles.listen(0, "127.0.0.1", () => done((roles.address() as AddressInfo).port));
    });
    try {
      await withEnv(
        {
          AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}/role`,
          AWS_CONTAINER_AUTHORIZATION_TOKEN: "pod",
          AWS_EC2_METADATA_DISABLED: "true",
        },
        async () => {
          // The client sends the session token. This server supports none, and refuses it where a normal key
          // would pass.
          expect(await failure((await openBucket(stores.spec("s3", "chain", without)!)).list(""))).toMatch(
            /refuses the credentials \(InvalidToken\)/,
          );
        },
      );
      expect(asked).toEqual(["pod"]);
    } finally {
      roles.close();
    }
  }, 30_000);
});

describeWith(["s3"], "an S3 server behind TLS", () => {
  beforeAll(() => stores.start("s3"), 60_000);
  // Node's own errors are of another realm than the test; the client would wrap them and lose their code.
  beforeAll(() => {
    const own = Function.prototype[Symbol.hasInstance];
    Object.defineProperty(Error, Symbol.hasInstance, {
      configurable: true,
      value(this: ErrorConstructor, value: unknown) {
        return own.call(this, value) || (this === Error && isNativeError(value));
      },
    });
  });
  afterAll(() => {
    Reflect.deleteProperty(Error, Symbol.hasInstance);
  });
  it("is trusted only by its authority, and the error names the flag", async () => {
    const { cert, key } = certificates().selfSigned("127.0.0.1");
    const server = await startS3Server(["blocks"], { cert, key });
    try {
      const open = (tls: { skipVerify: boolean; ca: string }): Promise<Bucket> =>
        openBucket(stores.spec("s3", "tls", { insecure: false, tls }, server.endpoint)!);
      expect(await failure((await open({ skipVerify: false, ca: "" })).list(""))).toMatch(
        /^unavailable: the certificate of bucket blocks at .* is not trusted \(.*self-signed certificate\): set its certificate authority/,
      );
      for (const tls of [
        { skipVerify: false, ca: readFileSync(cert, "utf8") },
        { skipVerify: true, ca: "" },
      ]) {
        const bucket = await open(tls);
        await bucket.put("a", Buffer.from("1"));
        expect(await bucket.list("")).toEqual(["a"]);
      }
    } finally {
      server.stop();
    }
  }, 60_000);
});

describeWith(["s3"], "requests in flight", () => {
  beforeAll(() => stores.start("s3"), 60_000);
  it("are bounded", async () => {
    const proxy = await faultProxy(stores.s3.endpoint);
    let now = 0,
      most = 0;
    proxy.decide = () => {
      now++;
      most = Math.max(most, now);
      setTimeout(() => {
        now--;
      }, 50);
      return { delayMs: 50 };
    };
    try {
      const bucket = await openBucket({
        ...stores.spec("s3", "bounded", { maxConnections: 64 }, proxy.address)!,
        maxRequests: 3,
      });
      await Promise.all(Array.from({ length: 20 }, (_, i) => bucket.put(`n${i}`, Buffer.from("1"))));
      expect(most).toBe(3);
    } finally {
      proxy.stop();
    }
  }, 30_000);
});
