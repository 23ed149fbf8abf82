import { readFileSync } from "node:fs";
import { request } from "node:https";
import { connect } from "node:http2";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { certificates, describeWith, type RedisServer, startRedis, tinyPprof } from "@cinderblock/testkit";
import { until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

const own = certificates();

const PROFILE = gzipSync(
  tinyPprof({
    types: [["cpu", "nanoseconds"]],
    period: ["cpu", "nanoseconds"],
    stacks: [{ frames: ["main", "work"], values: [42] }],
    timeNanos: BigInt(Date.now()) * 1_000_000n,
  }),
).toString("base64");
const PUSH = {
  series: [
    {
      labels: [
        { name: "__name__", value: "process_cpu" },
        { name: "service_name", value: "secured" },
      ],
      samples: [{ rawProfile: PROFILE }],
    },
  ],
};

/** Sends a request over TLS with a client certificate. */
function ask(
  port: number,
  path: string,
  body?: unknown,
  shown?: { cert: string; key: string },
): Promise<{ status: number; text: string }> {
  return new Promise((done, fail) => {
    const req = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method: body === undefined ? "GET" : "POST",
        ca: readFileSync(own!.ca),
        agent: false,
        headers: { "content-type": "application/json" },
        ...(shown ? { cert: readFileSync(shown.cert), key: readFileSync(shown.key) } : {}),
      },
      (res) => {
        let text = "";
        res
          .setEncoding("utf8")
          .on("data", (c: string) => {
            text += c;
          })
          .on("end", () => done({ status: res.statusCode!, text }));
      },
    );
    req.on("error", fail).end(body === undefined ? undefined : JSON.stringify(body));
  });
}
const QUESTION = (): object => ({
  profileTypeID: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  labelSelector: '{service_name="secured"}',
  start: String(Date.now() - 3600_000),
  end: String(Date.now() + 60_000),
});

describeWith(["redis"], "TLS between components", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  }, 60_000);

  it("is used for all calls in a cluster, with a client certificate per process", async () => {
    const { cert, key } = own.sign("cinderblock", "DNS:cinderblock.internal,IP:127.0.0.1"),
      bucket = folder();
    const flags = [
      "-ring.store=redis",
      `-redis.address=127.0.0.1:${redis.port}`,
      "-ingester.heartbeat-period=500ms",
      `-storage.filesystem.dir=${bucket}`,
      `-server.http-tls-cert-path=${cert}`,
      `-server.http-tls-key-path=${key}`,
      `-server.http-tls-ca-path=${own.ca}`,
      "-server.http-tls-client-auth=RequireAndVerifyClientCert",
      "-internal-client.tls-enabled=true",
      `-internal-client.tls-ca-path=${own.ca}`,
      `-internal-client.tls-cert-path=${cert}`,
      `-internal-client.tls-key-path=${key}`,
      "-internal-client.tls-server-name=cinderblock.internal",
    ];
    const members = new Map<string, Server>();
    for (const target of [
      "ingester",
      "store-gateway",
      "query-scheduler",
      "querier",
      "query-frontend",
      "distributor",
    ]) {
      const s = new Server(folder());
      s.answers = (path) => ask(s.port, path, undefined, { cert, key }).then((r) => r.status === 200);
      members.set(target, s);
      await s.start(`-target=${target}`, `-ring.instance-id=${target}`, ...flags);
    }
    const [distributor, frontend] = [members.get("distributor")!, members.get("query-frontend")!];
    await until(
      "the push is taken",
      async () =>
        (await ask(distributor.port, "/push.v1.PusherService/Push", PUSH, { cert, key })).status === 200,
    );
    await until("the profile is found", async () =>
      (
        await ask(frontend.port, "/querier.v1.QuerierService/SelectMergeStacktraces", QUESTION(), {
          cert,
          key,
        })
      ).text.includes("work"),
    );
    await expect(ask(frontend.port, "/ready")).rejects.toThrow();
    await expect(fetch(`http://127.0.0.1:${frontend.port}/ready`)).rejects.toThrow();
    for (const s of [...members.values()].reverse()) expect(await s.stop("SIGTERM")).toBe(0);
  }, 120_000);
});

describe("TLS", () => {
  it("serves gRPC over HTTP/2, and the web UI, from the single binary", async () => {
    const { cert, key } = own.sign("single"),
      s = new Server();
    s.answers = (path) => ask(s.port, path).then((r) => r.status === 200);
    await s.start(`-server.http-tls-cert-path=${cert}`, `-server.http-tls-key-path=${key}`);
    expect((await ask(s.port, "/push.v1.PusherService/Push", PUSH)).status).toBe(200);
    expect((await ask(s.port, "/")).text).toContain("<!doctype html>");
    const session = connect(`https://127.0.0.1:${s.port}`, { ca: readFileSync(own.ca) });
    const health = await new Promise<unknown>((done, fail) => {
      session.on("error", fail);
      const stream = session.request({
        ":path": "/grpc.health.v1.Health/Check",
        ":method": "POST",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream
        .on("trailers", (t) => done(t["grpc-status"]))
        .on("error", fail)
        .resume();
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
    session.close();
    expect([health, session.alpnProtocol]).toEqual(["0", "h2"]);
    expect(await s.stop()).toBe(0);
  }, 60_000);

  it("names missing flags", async () => {
    const { cert, key } = own.sign("alone");
    const said = (...flags: string[]): Promise<string> =>
      new Server().start(...flags).then(
        () => "started",
        (err: unknown) => (err as Error).message,
      );
    expect(await said(`-server.http-tls-cert-path=${cert}`)).toContain(
      "-server.http-tls-cert-path and -server.http-tls-key-path must be set together",
    );
    expect(
      await said(`-server.http-tls-cert-path=${cert}`, `-server.http-tls-key-path=${join(folder(), "none")}`),
    ).toContain("TLS files are not usable: ENOENT");
    expect(
      await said(
        "-target=querier",
        "-ring.store=redis",
        `-server.http-tls-cert-path=${cert}`,
        `-server.http-tls-key-path=${key}`,
      ),
    ).toContain("set -internal-client.tls-enabled on all processes of the cluster");
  });
});
