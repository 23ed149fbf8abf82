import { readFileSync } from "node:fs";
import { CinderblockError } from "@cinderblock/errors";
import { connectWithRetries, type KafkaConfig, KafkaLog, type PartitionedLog } from "@cinderblock/kafka";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { CommonConfig } from "./config.ts";

/** Kafka settings from the flags. @throws `invalid` for impossible settings */
export function kafkaOf(c: CommonConfig): KafkaConfig {
  const brokers = c.kafkaBrokers
    .split(",")
    .map((b) => b.trim())
    .filter((b) => b !== "");
  if (brokers.length === 0)
    throw new CinderblockError(
      "invalid",
      "-distributor.write-buffer=kafka needs -kafka.brokers=host:port[,host:port…]",
    );
  for (const b of brokers)
    if (!/^.+:\d+$/.test(b))
      throw new CinderblockError("invalid", `-kafka.brokers: expected host:port, found ${JSON.stringify(b)}`);
  if (
    c.kafkaSasl === "OAUTHBEARER" &&
    c.kafkaTokenFile === "" &&
    (c.kafkaTokenEndpoint === "" || c.kafkaClientId === "")
  )
    throw new CinderblockError(
      "invalid",
      "-kafka.sasl.mechanism=OAUTHBEARER needs -kafka.sasl.oauth.token-file, or -kafka.sasl.oauth.token-endpoint, -kafka.sasl.oauth.client-id and -kafka.sasl.oauth.client-secret",
    );
  if (c.kafkaSasl !== "" && c.kafkaSasl !== "OAUTHBEARER" && c.kafkaUsername === "")
    throw new CinderblockError(
      "invalid",
      `-kafka.sasl.mechanism=${c.kafkaSasl} needs -kafka.sasl.username and -kafka.sasl.password`,
    );
  let ca = "";
  if (c.kafkaTlsCa !== "") {
    try {
      ca = readFileSync(c.kafkaTlsCa, "utf8");
    } catch (err) {
      throw new CinderblockError("invalid", `-kafka.tls-ca-path: ${(err as Error).message}`, { cause: err });
    }
  }
  return {
    brokers,
    clientId: "cinderblock",
    topic: c.kafkaTopic,
    createPartitions: c.kafkaCreate ? c.kafkaPartitions : 0,
    createReplication: c.kafkaReplication,
    maxRecordBytes: c.kafkaMaxRecord,
    lingerMs: c.kafkaLinger,
    tls: c.kafkaTls ? { ca, insecureSkipVerify: c.kafkaTlsInsecure } : undefined,
    sasl: saslOf(c),
  };
}

function saslOf(c: CommonConfig): KafkaConfig["sasl"] {
  if (c.kafkaSasl === "") return undefined;
  if (c.kafkaSasl !== "OAUTHBEARER")
    return {
      mechanism: c.kafkaSasl.toLowerCase() as "plain",
      username: c.kafkaUsername,
      password: c.kafkaPassword,
    };
  return {
    mechanism: "oauthbearer",
    oauth:
      c.kafkaTokenFile !== ""
        ? { tokenFile: c.kafkaTokenFile }
        : {
            tokenEndpoint: c.kafkaTokenEndpoint,
            clientId: c.kafkaClientId,
            clientSecret: c.kafkaClientSecret,
            scope: c.kafkaScope,
          },
  };
}

/** The log between distributors and ingesters, and a service that connects it before its users start. */
export function partitionedLog(config: CommonConfig, base: Base): { log: PartitionedLog; service: Service } {
  const log = new KafkaLog(kafkaOf(config), base);
  return {
    log,
    service: { name: "kafka", start: () => connectWithRetries(log, base), stop: () => log.close() },
  };
}
