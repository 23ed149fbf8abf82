import { type ChildProcess, execFile } from "node:child_process";
import { openSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { atEnd, killed, startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { freePort, listens } from "./ports.ts";

const JAVA = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/**
 * Settings of every broker of a cluster. Brokers with different settings of internal topics name different
 * coordinators of a group.
 */
const SHARED_PROPERTIES = `offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=2097152
`;

/**
 * Address of a broker that requires TLS and SASL: user alice with alice-secret by PLAIN and SCRAM-SHA-256, or
 * any unsigned token by OAUTHBEARER.
 */
export interface KafkaSecurity {
  brokers: string;
  ca: string;
}

/** A connection to the broker that can lose responses, and that can be cut. */
interface KafkaWire {
  brokers: string;
  /** requests arrive, responses are lost */
  loseAnswers(): void;
  /** closes all connections and accepts no new ones */
  cut(): void;
  mend(): void;
}

/** A running Kafka broker in a process of its own; `brokers` is host:port of its plain listener. */
export interface KafkaServer {
  brokers: string;
  secure: KafkaSecurity;
  wire: KafkaWire;
  /** ends it like a crash */
  kill(): Promise<void>;
  start(): Promise<void>;
  pause(): void;
  resume(): void;
  /**
   * Starts another broker of the cluster. Partitions on this broker alone have no leader while it is down.
   */
  addBroker(): Promise<KafkaBroker>;
}

/** A broker that can be lost while the cluster continues. */
export interface KafkaBroker {
  nodeId: number;
  kill(): Promise<void>;
}

/** Starts a real broker in a separate process; its data survives a kill. */
export async function startKafka(): Promise<KafkaServer> {
  const lib = part("kafka");
  const directory = temporaryFolder();
  const port = await freePort(),
    secured = await freePort(),
    controller = await freePort(),
    behindWire = await freePort(),
    config = join(directory, "server.properties");
  const wire = await startWire(behindWire);
  const store = join(directory, "keys.p12"),
    module = "org.apache.kafka.common.security";
  const keytool = (...args: string[]): Promise<{ stdout: string }> =>
    promisify(execFile)("keytool", [
      ...args,
      "-alias",
      "broker",
      "-keystore",
      store,
      "-storetype",
      "PKCS12",
      "-storepass",
      "secret-of-keys",
    ]);
  await keytool(
    "-genkeypair",
    "-keyalg",
    "EC",
    "-validity",
    "30",
    "-dname",
    "CN=127.0.0.1",
    "-ext",
    "SAN=ip:127.0.0.1",
  );
  const ca = (await keytool("-exportcert", "-rfc")).stdout;
  writeFileSync(
    config,
    `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${secured},WIRE://127.0.0.1:${behindWire},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${secured},WIRE://${wire.brokers}
ssl.keystore.location=${store}
ssl.keystore.type=PKCS12
ssl.keystore.password=secret-of-keys
ssl.key.password=secret-of-keys
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=${module}.plain.PlainLoginModule required user_alice="alice-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=${module}.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=${module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,WIRE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(directory, "data")}
${SHARED_PROPERTIES}`,
  );
  const classes = ["-cp", join(lib, "*")],
    clusterId = randomBytes(16).toString("base64url");
  await promisify(execFile)("java", [
    "-Xmx128m",
    ...JAVA,
    ...classes,
    "kafka.tools.StorageTool",
    "format",
    `--cluster-id=${clusterId}`,
    "-c",
    config,
    "--add-scram",
    "SCRAM-SHA-256=[name=alice,password=alice-secret]",
  ]);
  const run = async (properties: string, at: number): Promise<ChildProcess> => {
    const log = openSync(join(directory, "log"), "a");
    const broker = startProcess(
      "java",
      ["-Xms128m", "-Xmx256m", "-XX:MaxDirectMemorySize=64m", ...JAVA, ...classes, "kafka.Kafka", properties],
      { stdio: ["ignore", log, log] },
    );
    for (let i = 0; i < 600; i++) {
      if (broker.exitCode !== null) throw new Error(`Kafka ended: see ${join(directory, "log")}`);
      if (await listens(at)) return broker;
      await new Promise((r) => {
        setTimeout(r, 100);
      });
    }
    throw new Error("Kafka did not start");
  };
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = await run(config, port);
  };
  await start();
  let nodes = 1;
  const addBroker = async (): Promise<KafkaBroker> => {
    const nodeId = ++nodes,
      at = await freePort(),
      properties = join(directory, `node-${nodeId}.properties`);
    writeFileSync(
      properties,
      `process.roles=broker
node.id=${nodeId}
controller.quorum.voters=1@127.0.0.1:${controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:${at}
advertised.listeners=PLAINTEXT://127.0.0.1:${at}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=${join(directory, `data-${nodeId}`)}
${SHARED_PROPERTIES}`,
    );
    await promisify(execFile)("java", [
      "-Xmx128m",
      ...JAVA,
      ...classes,
      "kafka.tools.StorageTool",
      "format",
      `--cluster-id=${clusterId}`,
      "-c",
      properties,
    ]);
    const broker = await run(properties, at);
    return { nodeId, kill: () => killed(broker) };
  };
  return {
    brokers: `127.0.0.1:${port}`,
    secure: { brokers: `127.0.0.1:${secured}`, ca },
    wire,
    start,
    kill: () => killed(child),
    pause: () => {
      child.kill("SIGSTOP");
    },
    resume: () => {
      child.kill("SIGCONT");
    },
    addBroker,
  };
}

async function startWire(target: number): Promise<KafkaWire> {
  const open = new Set<Socket>();
  let lost = false,
    whole = true;
  const server = createServer((near) => {
    if (!whole) {
      near.destroy();
      return;
    }
    const far = connect(target, "127.0.0.1");
    for (const s of [near, far]) {
      open.add(s);
      s.on("error", () => undefined).once("close", () => {
        near.destroy();
        far.destroy();
        open.delete(s);
      });
    }
    near.on("data", (bytes) => far.write(bytes));
    far.on("data", (bytes) => {
      if (!lost) near.write(bytes);
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  server.unref();
  atEnd(() => {
    server.close();
    for (const s of open) s.destroy();
  });
  return {
    brokers: `127.0.0.1:${(server.address() as { port: number }).port}`,
    loseAnswers: () => {
      lost = true;
    },
    cut: () => {
      whole = false;
      for (const s of open) s.destroy();
    },
    mend: () => {
      whole = true;
      lost = false;
    },
  };
}
