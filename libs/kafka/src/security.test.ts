import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { sleep } from "@cinderblock/async";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { type KafkaServer, startKafka } from "@cinderblock/testkit";
import { type KafkaConfig, KafkaLog, tokenProvider } from "./index.ts";

const base = {
  log: createLogger({ level: "silent", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
let kafka: KafkaServer | undefined;
beforeAll(async () => {
  kafka = await startKafka();
}, 60_000);
afterAll(() => kafka?.kill());

const part = (o: object): string => Buffer.from(JSON.stringify(o)).toString("base64url");
/** A token that nobody signed: the test's broker takes it, a real one is told by whom it must be. */
const token = (seconds = 600): string =>
  `${part({ alg: "none" })}.${part({ sub: "alice", iat: Date.now() / 1000, exp: Date.now() / 1000 + seconds })}.`;

/** An endpoint that gives tokens to one client. */
async function tokenServer(): Promise<{
  url: string;
  asked: { authorization: string; body: string }[];
  stop(): void;
}> {
  const asked: { authorization: string; body: string }[] = [];
  const server = createServer((req, res) => {
    let body = "";
    req.on("data", (c: Buffer) => {
      body += c.toString();
    });
    req.on("end", () => {
      asked.push({ authorization: req.headers.authorization ?? "", body });
      if (req.headers.authorization !== `Basic ${Buffer.from("cinderblock:s3cr%26t").toString("base64")}`) {
        res.writeHead(401).end();
        return;
      }
      res.setHeader("content-type", "application/json");
      res.end(JSON.stringify({ access_token: token(), token_type: "Bearer", expires_in: 600 }));
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`,
    asked,
    stop: () => {
      server.close();
    },
  };
}

const config = (topic: string, sasl: KafkaConfig["sasl"], ca = kafka!.secure.ca): KafkaConfig => ({
  brokers: [kafka!.secure.brokers],
  clientId: "test",
  topic,
  createPartitions: 1,
  createReplication: 1,
  maxRecordBytes: 1 << 20,
  lingerMs: 0,
  tls: { ca, insecureSkipVerify: false },
  sasl,
});

/** Writes a record and reads it, as distributor and ingester do. */
async function roundTrip(c: KafkaConfig): Promise<string[]> {
  const log = new KafkaLog(c, base);
  await log.connect();
  const seen: string[] = [];
  const reader = await log.read(0, {
    group: c.topic,
    from: undefined,
    onRecords: (r) => {
      seen.push(...r.map((x) => Buffer.from(x.value).toString()));
      return Promise.resolve();
    },
    onGap: () => undefined,
  });
  await log.produce(0, Buffer.from("one"), 10_000);
  for (let i = 0; i < 200 && seen.length === 0; i++) await sleep(50);
  await reader.commit(1);
  await reader.stop();
  await log.close();
  return seen;
}

describe("a broker that asks for TLS and SASL", () => {
  it.each(["plain", "scram-sha-256"] as const)(
    "lets in who has a password: %s",
    async (mechanism) => {
      if (!kafka) return; // said loudly by startKafka, a failure in CI
      expect(
        await roundTrip(
          config(`secure-${mechanism}`, { mechanism, username: "alice", password: "alice-secret" }),
        ),
      ).toEqual(["one"]);
      const log = new KafkaLog(config("nobody", { mechanism, username: "alice", password: "wrong" }), base);
      await expect(log.connect()).rejects.toThrow(/cannot be used: .*(SASL|[Aa]uthentication)/);
      await log.close();
    },
    60_000,
  );
  it("lets in who has a token: oauthbearer", async () => {
    if (!kafka) return;
    const endpoint = await tokenServer();
    const oauth = {
      tokenEndpoint: endpoint.url,
      clientId: "cinderblock",
      clientSecret: "s3cr&t",
      scope: "kafka",
    };
    expect(await roundTrip(config("secure-oauth", { mechanism: "oauthbearer", oauth }))).toEqual(["one"]);
    expect(endpoint.asked).toEqual([
      { authorization: expect.any(String), body: "grant_type=client_credentials&scope=kafka" },
    ]); // once for all connections
    const log = new KafkaLog(
      config("nobody", { mechanism: "oauthbearer", oauth: { ...oauth, clientSecret: "wrong" } }),
      base,
    );
    await expect(log.connect()).rejects.toThrow(
      /no token for Kafka from http.*: status 401 \(-kafka.sasl.oauth.token-endpoint/,
    );
    await log.close();
    endpoint.stop();
  }, 60_000);
  it("is not believed without its certificate's authority, and does not let in who says nothing", async () => {
    if (!kafka) return;
    for (const c of [
      config("nobody", { mechanism: "plain", username: "alice", password: "alice-secret" }, ""),
      config("nobody", undefined),
      { ...config("nobody", undefined), tls: undefined },
    ]) {
      const log = new KafkaLog(c, base);
      await expect(log.connect()).rejects.toThrow(/Kafka at 127.0.0.1:\d+ cannot be used/);
      await log.close();
    }
  }, 120_000);
});

it("a token is asked for anew before it ends", async () => {
  const endpoint = await tokenServer();
  let now = 0;
  const give = tokenProvider(
    { tokenEndpoint: endpoint.url, clientId: "cinderblock", clientSecret: "s3cr&t", scope: "" },
    () => now,
  );
  await give();
  now = 569_000;
  await give();
  expect(endpoint.asked).toHaveLength(1);
  now = 571_000;
  await give();
  expect(endpoint.asked).toHaveLength(2);
  endpoint.stop();
});
