import { readFileSync } from "node:fs";
import { Agent } from "node:https";
import {
  connect,
  createSecureContext,
  createServer,
  getCiphers,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from "node:tls";
import { CinderblockError } from "@cinderblock/errors";
import { Periodic } from "@cinderblock/async";
import type { Logger } from "@cinderblock/telemetry";

/** Policies for client certificates, with v1's names. */
export const CLIENT_AUTH = [
  "NoClientCert",
  "RequestClientCert",
  "RequireAnyClientCert",
  "VerifyClientCertIfGiven",
  "RequireAndVerifyClientCert",
] as const;

/** TLS settings of the port. Files are PEM and are reloaded at run time. */
export interface ServerTls {
  certPath: string;
  keyPath: string;
  /** authorities of client certificates; "": the system's */
  clientCaPath: string;
  clientAuth: (typeof CLIENT_AUTH)[number];
  minVersion: "TLSv1.2" | "TLSv1.3";
  /** cipher suites up to TLS 1.2, with IANA names; []: Node's default */
  cipherSuites: readonly string[];
}

/** TLS settings of calls to other processes of the cluster. */
export interface ClientTls {
  /** "": the system's authorities and those in NODE_EXTRA_CA_CERTS */
  caPath: string;
  /** client certificate of this process; "": none */
  certPath: string;
  keyPath: string;
  /** name in the other processes' certificates; "": the called address */
  serverName: string;
  insecureSkipVerify: boolean;
}

/** Interval between checks of the files. */
const RELOAD_MS = 10_000;

/**
 * PEM files as a TLS context, which is recreated when a file changes. An unreadable file leaves the last
 * context in force.
 */
class Files {
  private read: { text: string; context: SecureContext; options: SecureContextOptions } | undefined;
  private lookedAt = -Infinity;
  private readonly paths: { cert: string; key: string; ca: string };
  private readonly more: SecureContextOptions;
  private readonly log: Logger;
  constructor(paths: { cert: string; key: string; ca: string }, more: SecureContextOptions, log: Logger) {
    this.paths = paths;
    this.more = more;
    this.log = log;
  }

  /** The current context. @throws `invalid` when the files are unusable and no earlier context exists */
  get current(): { context: SecureContext; options: SecureContextOptions } {
    const now = performance.now();
    if (this.read && now - this.lookedAt < RELOAD_MS) return this.read;
    this.lookedAt = now;
    try {
      const { cert, key, ca } = this.paths;
      const text = (path: string): string | undefined =>
        path === "" ? undefined : readFileSync(path, "utf8");
      const options: SecureContextOptions = { ...this.more, cert: text(cert), key: text(key), ca: text(ca) };
      const all = JSON.stringify(options);
      if (all !== this.read?.text) {
        const context = createSecureContext(options);
        if (this.read) this.log.info({ cert, ca }, "certificates reloaded");
        this.read = { text: all, context, options };
      }
    } catch (err) {
      if (!this.read)
        throw new CinderblockError(
          "invalid",
          `TLS files are not usable: ${(err as Error).message} (certificate ${this.paths.cert === "" ? "none" : this.paths.cert}, key ${this.paths.key === "" ? "none" : this.paths.key}, certificate authorities ${this.paths.ca === "" ? "of the system" : this.paths.ca})`,
          { cause: err },
        );
      this.log.error({ err, ...this.paths }, "reloading certificates failed, keeping the previous ones");
    }
    return this.read;
  }
}

/**
 * OpenSSL's name of a suite: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`. TLS
 * 1.3 suites cannot be selected, as in Go.
 */
export function opensslCipher(name: string): string {
  const own = name
    .replace(/^TLS_/, "")
    .replace("_WITH_", "_")
    .replace(/^RSA_/, "")
    .replace(/AES_(128|256)/, "AES$1")
    .replace(/^(.*)_CBC_SHA/, "$1_SHA")
    .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305")
    .replaceAll("_", "-");
  if (!getCiphers().includes(own.toLowerCase()))
    throw new CinderblockError(
      "invalid",
      `-server.tls-cipher-suites: ${name} is unknown; expected standard names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`,
    );
  return own;
}

function serverFiles(tls: ServerTls, log: Logger): Files {
  return new Files(
    { cert: tls.certPath, key: tls.keyPath, ca: tls.clientCaPath },
    {
      minVersion: tls.minVersion,
      ...(tls.cipherSuites.length > 0 ? { ciphers: tls.cipherSuites.map(opensslCipher).join(":") } : {}),
    },
    log,
  );
}
function clientFiles(tls: ClientTls, log: Logger): Files {
  return new Files({ cert: tls.certPath, key: tls.keyPath, ca: tls.caPath }, {}, log);
}

/** Checks the TLS files. @throws `invalid` when one is unusable */
export function checkTls(server: ServerTls | undefined, client: ClientTls | undefined, log: Logger): void {
  if (server) void serverFiles(server, log).current;
  if (client) void clientFiles(client, log).current;
}

/** Creates a port that decrypts TLS and passes on the connections; the client selects HTTP/2 or HTTP/1.1. */
export function createTlsServer(
  tls: ServerTls,
  handshakeTimeoutMs: number,
  log: Logger,
  onSocket: (socket: TLSSocket) => void,
): Server {
  const { clientAuth } = tls;
  const files = serverFiles(tls, log);
  const server = createServer(
    {
      ...files.current.options,
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: handshakeTimeoutMs,
      requestCert: clientAuth !== "NoClientCert",
      rejectUnauthorized: clientAuth === "RequireAndVerifyClientCert",
    },
    (socket) => {
      const shown = Object.keys(socket.getPeerCertificate()).length > 0;
      if (
        (clientAuth === "RequireAnyClientCert" && !shown) ||
        (clientAuth === "VerifyClientCertIfGiven" && shown && !socket.authorized)
      ) {
        socket.destroy();
        return;
      }
      onSocket(socket);
    },
  );
  server.on("tlsClientError", (err, socket) => {
    log.debug({ err, from: socket.remoteAddress }, "TLS handshake with a client failed");
  });
  let last = files.current.options;
  const loop = new Periodic(
    { everyMs: RELOAD_MS, deadlineMs: RELOAD_MS, jitter: 0 },
    () => {
      const { options } = files.current;
      if (options !== last) server.setSecureContext((last = options));
      return Promise.resolve();
    },
    (end) => {
      if (!end.ok) log.error({ err: end.err }, "reloading TLS files failed, keeping the previous ones");
    },
  );
  loop.start();
  server.once("close", () => void loop.stop(0));
  return server;
}

/** Agent for kept-alive connections to other processes; each new connection uses the current files. */
export function tlsAgent(
  tls: ClientTls,
  log: Logger,
  options: { keepAlive: boolean; maxSockets: number; keepAliveMsecs: number },
): Agent {
  const files = clientFiles(tls, log);
  const agent = new Agent({
    ...options,
    ...(tls.insecureSkipVerify ? { rejectUnauthorized: false } : {}),
    ...(tls.serverName === "" ? {} : { servername: tls.serverName }),
  });
  Object.assign(agent, {
    createConnection: (o: object) => connect({ ...o, secureContext: files.current.context }),
  });
  return agent;
}
