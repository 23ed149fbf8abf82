import { sleep } from "@cinderblock/async";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { describeWith, type KafkaServer, startKafka } from "@cinderblock/testkit";
import { type KafkaConfig, KafkaLog } from "./index.ts";
import { tokenServer } from "./oauth.testing.ts";

const base = {
  log: createLogger({ level: "silent", format: "json" }),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => Date.now(),
};
let kafka: KafkaServer;

const config = (topic: string, sasl: KafkaConfig["sasl"], ca = kafka.secure.ca): KafkaConfig => ({
  brokers: [kafka.secure.brokers],
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
    topicId: log.topicId,
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

describeWith(["kafka"], "a broker that asks for TLS and SASL", () => {
  beforeAll(async () => {
    kafka = await startKafka();
  }, 60_000);

  it.each(["plain", "scram-sha-256"] as const)(
    "accepts a password: %s",
    async (mechanism) => {
      expect(
        await roundTrip(
          config(`secure-${mechanism}`, { mechanism, username: "alice", password: "alice-secret" }),
        ),
      ).toEqual(["one"]);
      const log = new KafkaLog(config("nobody", { mechanism, username: "alice", password: "wrong" }), base);
      await expect(log.connect()).rejects.toThrow(/is unavailable: .*(SASL|[Aa]uthentication)/);
      await log.close();
    },
    60_000,
  );
  it("accepts a token: oauthbearer", async () => {
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
    ]); // one token request for all connections
    const log = new KafkaLog(
      config("nobody", { mechanism: "oauthbearer", oauth: { ...oauth, clientSecret: "wrong" } }),
      base,
    );
    await expect(log.connect()).rejects.toThrow(
      /no Kafka token from http.*: status 401 \(-kafka.sasl.oauth.token-endpoint/,
    );
    await log.close();
    endpoint.stop();
  }, 60_000);
  it("is refused without its certificate authority, and refuses clients without credentials", async () => {
    for (const c of [
      config("nobody", { mechanism: "plain", username: "alice", password: "alice-secret" }, ""),
      config("nobody", undefined),
      { ...config("nobody", undefined), tls: undefined },
    ]) {
      const log = new KafkaLog(c, base);
      await expect(log.connect()).rejects.toThrow(/Kafka at 127.0.0.1:\d+ is unavailable/);
      await log.close();
    }
  }, 120_000);
});
