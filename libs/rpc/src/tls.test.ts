import { StoreGatewayService } from "@cinderblock/api";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:http2";
import { join } from "node:path";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { certificates, freePort, temporaryFolder } from "@cinderblock/testkit";
import { InternalClient } from "./internal-client.ts";
import { internalService } from "./internal-service.ts";
import { ApiServer } from "./server.ts";
import { type ClientTls, opensslCipher, type ServerTls, tlsAgent } from "./tls.ts";
import { jest } from "@jest/globals";
import { testServer } from "./testing.ts";

const log = createLogger({ level: "fatal", format: "json" });
const base = { log, metrics: new Metrics(), tracer: startTracing("", "0"), now: () => Date.now() };
const own = certificates(),
  server = own.sign("server"),
  client = own.sign("client");

/** Credentials for a server without a gate, which requires no token. */
const NO_TOKEN = {
  current: () => undefined,
  accepts: () => false,
  refresh: () => Promise.resolve(),
};
const serving = async (tls: Partial<ServerTls>, run: (port: number) => Promise<void>): Promise<void> => {
  const port = await freePort();
  const s = new ApiServer(
    testServer({
      port,
      tls: {
        certPath: server.cert,
        keyPath: server.key,
        clientCaPath: own.ca,
        clientAuth: "NoClientCert",
        minVersion: "TLSv1.2",
        cipherSuites: [],
        ...tls,
      },
    }),
    [
      {
        http: (app) => {
          app.get("/hello", () => "hello");
        },
      },
      internalService(StoreGatewayService, {
        canServe: () => Promise.resolve({ serves: true }),
        registerBlock: () => Promise.resolve({ known: true }),
      }),
    ],
    { ...base, metrics: new Metrics() },
  );
  await s.start();
  try {
    await run(port);
  } finally {
    await s.stop();
  }
};

/** Sends GET over HTTP/1.1; resolves to the error code if there is no answer. */
function get(port: number, options: object = {}): Promise<string> {
  return new Promise((done) => {
    const req = request(
      { host: "127.0.0.1", port, path: "/hello", ca: readFileSync(own.ca), agent: false, ...options },
      (res) => {
        let text = "";
        res
          .setEncoding("utf8")
          .on("data", (c: string) => {
            text += c;
          })
          .on("end", () => done(`${res.statusCode} ${text}`));
      },
    );
    req.on("error", (err) => done((err as NodeJS.ErrnoException).code ?? err.message));
    req.end();
  });
}
/** The handshake failed, or the server closed the connection after it. */
const REFUSED = /^(ECONNRESET|EPROTO|ERR_SSL.*)$/;
const shown = (): object => ({ cert: readFileSync(client.cert), key: readFileSync(client.key) });
const call = (port: number, tls: Partial<ClientTls>): Promise<unknown> => {
  const c = new InternalClient(NO_TOKEN, undefined, (options) =>
    tlsAgent(
      { caPath: own.ca, certPath: "", keyPath: "", serverName: "", insecureSkipVerify: false, ...tls },
      log,
      options,
    ),
  );
  return c
    .of(StoreGatewayService, `127.0.0.1:${port}`)
    .canServe({}, { timeoutMs: 2000 })
    .then(({ serves }) => serves)
    .finally(() => c.close());
};

describe("a TLS port", () => {
  it("serves HTTP/1.1 and HTTP/2, and no cleartext", async () => {
    await serving({}, async (port) => {
      expect(await get(port)).toBe("200 hello");
      const session = connect(`https://127.0.0.1:${port}`, { ca: readFileSync(own.ca) });
      const answer = await new Promise<string>((done, fail) => {
        session.on("error", fail);
        const s = session.request({ ":path": "/hello" });
        let text = "";
        s.setEncoding("utf8")
          .on("data", (c: string) => {
            text += c;
          })
          .on("end", () => done(text));
      });
      expect([answer, session.alpnProtocol]).toEqual(["hello", "h2"]);
      session.close();
      await expect(fetch(`http://127.0.0.1:${port}/hello`)).rejects.toThrow();
      // A client that does not trust the authority aborts.
      expect(await get(port, { ca: undefined })).toBe("SELF_SIGNED_CERT_IN_CHAIN");
    });
  });

  it("requests client certificates according to its policy", async () => {
    await serving({ clientAuth: "RequireAndVerifyClientCert" }, async (port) => {
      expect(await get(port)).toMatch(REFUSED);
      expect(await get(port, shown())).toBe("200 hello");
    });
    await serving({ clientAuth: "RequireAnyClientCert" }, async (port) => {
      expect(await get(port)).toMatch(REFUSED);
      expect(await get(port, shown())).toBe("200 hello");
    });
    await serving({ clientAuth: "VerifyClientCertIfGiven" }, async (port) => {
      expect(await get(port)).toBe("200 hello");
      expect(await get(port, shown())).toBe("200 hello");
      const foreign = certificates().sign("foreign");
      expect(await get(port, { cert: readFileSync(foreign.cert), key: readFileSync(foreign.key) })).toMatch(
        REFUSED,
      );
    });
  });

  it("enforces its minimum version and cipher suites", async () => {
    await serving({ minVersion: "TLSv1.3" }, async (port) => {
      expect(await get(port, { maxVersion: "TLSv1.2" })).toMatch(REFUSED);
      expect(await get(port)).toBe("200 hello");
    });
    await serving({ cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] }, async (port) => {
      expect(await get(port, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toMatch(
        REFUSED,
      );
      expect(await get(port, { maxVersion: "TLSv1.2" })).toBe("200 hello");
    });
    expect(
      [
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
      ].map(opensslCipher),
    ).toEqual(["AES128-SHA", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA256"]);
    expect(() => opensslCipher("TLS_NONE")).toThrow("TLS_NONE is unknown");
  });

  it("reloads a renewed certificate, and keeps the last one if its file is damaged", async () => {
    const dir = temporaryFolder(),
      cert = join(dir, "tls.crt"),
      key = join(dir, "tls.key");
    const serialOf = (port: number): Promise<string> =>
      new Promise((done, fail) => {
        const req = request(
          { host: "127.0.0.1", port, path: "/hello", ca: readFileSync(own.ca), agent: false },
          (res) => {
            done(
              (
                res.socket as unknown as { getPeerCertificate(): { serialNumber: string } }
              ).getPeerCertificate().serialNumber,
            );
            res.resume();
          },
        );
        req.on("error", fail).end();
      });
    const put = (from: { cert: string; key: string }): void => {
      copyFileSync(from.cert, cert);
      copyFileSync(from.key, key);
    };
    put(server);
    jest.useFakeTimers({
      doNotFake: ["setImmediate", "nextTick", "queueMicrotask"],
      advanceTimers: true,
    });
    try {
      await serving({ certPath: cert, keyPath: key }, async (port) => {
        const first = await serialOf(port);
        writeFileSync(cert, "broken");
        jest.advanceTimersByTime(11_000);
        expect(await serialOf(port)).toBe(first);
        put(own.sign("renewed"));
        jest.advanceTimersByTime(11_000);
        expect(await serialOf(port)).not.toBe(first);
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it("names the wrong file", async () => {
    await expect(serving({ keyPath: "/nowhere/tls.key" }, () => Promise.resolve())).rejects.toThrow(
      /TLS files are not usable: ENOENT.*\/nowhere\/tls\.key/,
    );
    await expect(serving({ keyPath: client.key }, () => Promise.resolve())).rejects.toThrow(
      /TLS files are not usable: .*(mismatch|key)/,
    );
  });
});

describe("calls between processes", () => {
  it("use TLS, present a certificate, and do not trust unknown ones", async () => {
    await serving({ clientAuth: "RequireAndVerifyClientCert" }, async (port) => {
      expect(await call(port, { certPath: client.cert, keyPath: client.key })).toBe(true);
      await expect(call(port, {})).rejects.toThrow(/did not answer CanServe/);
    });
    const named = own.sign("named", "DNS:cinderblock.internal");
    await serving({ certPath: named.cert, keyPath: named.key }, async (port) => {
      await expect(call(port, {})).rejects.toThrow(/IP: 127\.0\.0\.1 is not in the cert/);
      expect(await call(port, { serverName: "cinderblock.internal" })).toBe(true);
      expect(await call(port, { insecureSkipVerify: true, caPath: "" })).toBe(true);
      await expect(call(port, { caPath: "", serverName: "cinderblock.internal" })).rejects.toThrow(
        /self-signed certificate/,
      );
    });
  });
});
