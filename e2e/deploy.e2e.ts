import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { parse } from "yaml";
import {
  certificates,
  describeWith,
  helm,
  type Helm,
  type KafkaServer,
  part,
  type RedisServer,
  type S3Server,
  startKafka,
  startRedis,
  startS3Server,
} from "@cinderblock/testkit";
import {
  keepsLinksAndFiles,
  manifests,
  passesHelmTest,
  pushedIsFound,
  ready,
  runsCommands,
  startContainer,
} from "./containers.ts";
import { until } from "./pusher.ts";
import { folder, type Server } from "./server.ts";

let tool: Helm, redis: RedisServer, s3: S3Server, kafka: KafkaServer;
const start = async (): Promise<void> => {
  redis ??= await startRedis();
  s3 ??= await startS3Server(["cinderblock"]);
  kafka ??= await startKafka();
};

const CHART = "charts/cinderblock";
const REFERENCES = [
  "--set",
  "redis.address=redis:6379,kafka.brokers=kafka:9092,pyroscope.structuredConfig.storage.backend=s3",
];

describeWith(["helm"], "the Helm chart", () => {
  beforeAll(() => {
    tool = helm();
  });

  it("passes helm lint, and renders every values file", async () => {
    expect(await tool.lint(CHART)).toContain("0 chart(s) failed");
    const single = manifests(await tool.template(CHART));
    expect(single.map((m) => m.kind).sort()).toEqual([
      "ConfigMap",
      "ConfigMap",
      "ConfigMap",
      "Pod",
      "Service",
      "Service",
      "ServiceAccount",
      "StatefulSet",
    ]);
    const services = manifests(
      await tool.template(CHART, "-f", `${CHART}/values-micro-services.yaml`, ...REFERENCES),
    );
    const workloads = services.filter((m) => m.kind === "Deployment" || m.kind === "StatefulSet");
    expect(workloads.map((m) => `${m.kind} ${m.metadata.name} ${m.spec.replicas}`).sort()).toEqual([
      "Deployment t-cinderblock-ad-hoc-profiles 1",
      "Deployment t-cinderblock-distributor 2",
      "Deployment t-cinderblock-overrides-exporter 1",
      "Deployment t-cinderblock-querier 3",
      "Deployment t-cinderblock-query-frontend 2",
      "Deployment t-cinderblock-query-scheduler 2",
      "Deployment t-cinderblock-tenant-settings 1",
      "StatefulSet t-cinderblock-compactor 1",
      "StatefulSet t-cinderblock-ingester-zone-a 1",
      "StatefulSet t-cinderblock-ingester-zone-b 1",
      "StatefulSet t-cinderblock-ingester-zone-c 1",
      "StatefulSet t-cinderblock-store-gateway 2",
    ]);
    for (const w of workloads)
      expect(w.spec.template.spec.containers[0]!.securityContext).toMatchObject({
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
      });
    expect(workloads.find((w) => w.metadata.name.endsWith("zone-b"))!.spec.template.spec).toMatchObject({
      terminationGracePeriodSeconds: 600,
      containers: [
        {
          args: expect.arrayContaining([
            "-target=ingester",
            "-ingester.availability-zone=zone-b",
            "-distributor.write-buffer=kafka",
          ]),
        },
      ],
    });
  });

  it("restricts the port of internal methods to the pods of the release", async () => {
    const all = manifests(
      await tool.template(
        CHART,
        "-f",
        `${CHART}/values-micro-services.yaml`,
        ...REFERENCES,
        "--set",
        "networkPolicy.enabled=true,ingress.enabled=true,ingress.hosts={p.example.org}",
      ),
    );
    const serving = all.filter((m) =>
      JSON.stringify(m.spec?.template?.spec.containers[0] ?? {}).includes('"containerPort":5040'),
    );
    expect([...new Set(serving.map((m) => m.metadata.name.replace(/-zone-.$/, "")))].sort()).toEqual([
      "t-cinderblock-ingester",
      "t-cinderblock-query-scheduler",
      "t-cinderblock-store-gateway",
    ]);
    for (const m of serving)
      expect(m.spec.template.spec.containers[0]!.args).toContain("-server.internal-listen-port=5040");
    for (const m of all)
      if (["Service", "Ingress", "HTTPRoute"].includes(m.kind))
        expect([m.kind, m.metadata.name, JSON.stringify(m.spec).includes("5040")]).toEqual([
          m.kind,
          m.metadata.name,
          false,
        ]);
    // Other pods reach only port 4040; the release's own pods reach every port.
    const { ingress } = all.find((m) => m.kind === "NetworkPolicy")!.spec as unknown as {
      ingress: { from: object[]; ports?: { port: number }[] }[];
    };
    expect(ingress.map((rule) => [rule.ports?.map((p) => p.port), Object.keys(rule.from[0]!)])).toEqual([
      [undefined, ["podSelector"]],
      [[4040], ["namespaceSelector"]],
    ]);
  });

  it("names the wrong key", async () => {
    const said = async (...flags: string[]): Promise<string> =>
      tool.template(CHART, ...flags).then(
        () => "rendered",
        (err: unknown) => (err as Error).message,
      );
    expect(await said("--set", "pyroscope.components.ingestor.kind=Deployment")).toContain(
      "'ingestor' not allowed",
    );
    expect(await said("--set", "pyroscope.replicas=2")).toContain(
      "at '/pyroscope': additional properties 'replicas' not allowed",
    );
    expect(await said("--set", "pyroscope.components.querier.kind=DaemonSet")).toContain(
      "/pyroscope/components/querier/kind",
    );
    expect(await said("-f", `${CHART}/values-micro-services.yaml`)).toMatch(
      /set redis\.address|structuredConfig\.storage|kafka\.brokers/,
    );
  });

  it("routes writes and reads, adds optional parts, and keeps passwords out of arguments", async () => {
    const text = await tool.template(
      CHART,
      "-f",
      `${CHART}/values-micro-services.yaml`,
      ...REFERENCES,
      "--set",
      "ingress.enabled=true,ingress.hosts={p.example.org},httpRoute.enabled=true,serviceMonitor.enabled=true,networkPolicy.enabled=true,redis.existingSecret=r,kafka.existingSecret=k,kafka.saslMechanism=SCRAM-SHA-512",
      "--set",
      "pyroscope.components.querier.autoscaling.enabled=true,pyroscope.components.querier.autoscaling.targetCPUUtilizationPercentage=70,pyroscope.tenantOverrides.big.ingestion_rate_mb=100",
    );
    const all = manifests(text);
    const kinds = new Set(all.map((m) => m.kind));
    for (const k of [
      "Ingress",
      "HTTPRoute",
      "ServiceMonitor",
      "NetworkPolicy",
      "HorizontalPodAutoscaler",
      "PodDisruptionBudget",
    ])
      expect([k, kinds.has(k)]).toEqual([k, true]);
    const paths = (
      all.find((m) => m.kind === "Ingress") as unknown as {
        spec: { rules: { http: { paths: { path: string; backend: { service: { name: string } } }[] } }[] };
      }
    ).spec.rules[0]!.http.paths.map((p) => [p.path, p.backend.service.name.replace("t-cinderblock-", "")]);
    expect(paths).toEqual([
      ["/push.v1.PusherService", "distributor"],
      ["/ingest", "distributor"],
      ["/pyroscope/ingest", "distributor"],
      ["/opentelemetry.proto.collector.profiles.v1development.ProfilesService", "distributor"],
      ["/v1development/profiles", "distributor"],
      ["/adhocprofiles.v1.AdHocProfileService", "ad-hoc-profiles"],
      ["/pyroscope/debug-files", "ad-hoc-profiles"],
      ["/settings.v1.SettingsService", "tenant-settings"],
      ["/", "query-frontend"],
    ]);
    for (const m of all)
      if (m.kind === "Deployment" || m.kind === "StatefulSet")
        expect(m.spec.template.spec.containers[0]!.args.join(" ")).not.toMatch(/password/i);
    expect(parse(all.find((m) => m.metadata.name.endsWith("-config"))!.data!["config.yaml"]!)).toMatchObject({
      redis: { password: "${REDIS_PASSWORD}" },
      kafka: { sasl: { password: "${KAFKA_PASSWORD}" } },
    });
    expect(parse(all.find((m) => m.metadata.name.endsWith("-overrides"))!.data!["overrides.yaml"]!)).toEqual({
      overrides: { big: { ingestion_rate_mb: 100 } },
    });
  });

  it("makes processes use TLS and tokens, from secrets", async () => {
    const own = certificates();
    const flags = [
      "--set",
      "tls.existingSecret=tls,tls.serverName=cinderblock,auth.existingSecret=auth,auth.internalSecret=internal,serviceMonitor.enabled=true",
    ];
    const all = manifests(
      await tool.template(CHART, "-f", `${CHART}/values-micro-services.yaml`, ...REFERENCES, ...flags),
    );
    const config = parse(
      all.find((m) => m.metadata.name.endsWith("-config"))!.data!["config.yaml"]!,
    ) as Record<string, unknown>;
    expect(config).toMatchObject({
      server: { http_tls_config: { cert_file: "/etc/cinderblock/tls/tls.crt" } },
      internal_client: { tls_enabled: true, tls_server_name: "cinderblock" },
      auth: {
        tokens_file: "/etc/cinderblock/auth/tokens.yaml",
        internal_token_file: "/etc/cinderblock/internal/internal-token",
      },
    });
    for (const m of all)
      if (m.kind === "Deployment" || m.kind === "StatefulSet")
        expect(m.spec.template.spec.containers[0]).toMatchObject({
          readinessProbe: { httpGet: { scheme: "HTTPS" } },
          volumeMounts: expect.arrayContaining([
            { name: "tls", mountPath: "/etc/cinderblock/tls", readOnly: true },
            { name: "auth", mountPath: "/etc/cinderblock/auth", readOnly: true },
            { name: "internal-token", mountPath: "/etc/cinderblock/internal", readOnly: true },
          ]),
        });
    expect(all.find((m) => m.kind === "ServiceMonitor")).toMatchObject({
      spec: { endpoints: [{ scheme: "https", tlsConfig: { serverName: "cinderblock" } }] },
    });
    // A process starts with this configuration.
    const single = manifests(await tool.template(CHART, ...flags)),
      secrets = folder(),
      { cert, key } = own.sign("cinderblock");
    for (const [from, to] of [
      [cert, "tls.crt"],
      [key, "tls.key"],
      [own.ca, "ca.crt"],
    ] as const)
      copyFileSync(from, join(secrets, to));
    writeFileSync(
      join(secrets, "tokens.yaml"),
      "tokens:\n  - {name: agents, token: a-token-of-agents, roles: [write]}\n",
    );
    const get = (server: Server, path: string, token = ""): Promise<number> =>
      new Promise((done, fail) => {
        request(
          {
            host: "127.0.0.1",
            port: server.port,
            path,
            method: path === "/ready" ? "GET" : "POST",
            ca: readFileSync(own.ca),
            agent: false,
            headers: {
              "content-type": "application/json",
              ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
            },
          },
          (r) => {
            r.resume();
            done(r.statusCode!);
          },
        )
          .on("error", fail)
          .end(path === "/ready" ? undefined : "{}");
      });
    const [container] = single.find((m) => m.kind === "StatefulSet")!.spec.template.spec.containers;
    const s = await startContainer(
      "secured",
      container!.args,
      single.find((m) => m.metadata.name.endsWith("-config"))!.data!["config.yaml"]!,
      {},
      { "/etc/cinderblock/tls": secrets, "/etc/cinderblock/auth": secrets },
    );
    await until("it is ready", async () => (await get(s, "/ready")) === 200);
    expect([
      await get(s, "/push.v1.PusherService/Push"),
      await get(s, "/push.v1.PusherService/Push", "a-token-of-agents"),
    ]).toEqual([401, 400]); // an empty push, read and refused
    expect(await s.stop("SIGTERM")).toBe(0);
  }, 120_000);
});

describeWith(["helm", "redis", "s3", "kafka"], "the Helm chart as processes", () => {
  beforeAll(async () => {
    tool = helm();
    await start();
  }, 180_000);

  it("starts real processes: the single binary, and a cluster with Kafka, Redis and an S3 server", async () => {
    const start = async (
      addresses: Record<string, string>,
      ...flags: string[]
    ): Promise<Map<string, Server>> => {
      const all = manifests(await tool.template(CHART, ...flags)),
        config = all.find((m) => m.metadata.name.endsWith("-config"))!.data!["config.yaml"]!;
      const out = new Map<string, Server>();
      for (const m of all) {
        const [container] = m.spec?.template?.spec?.containers ?? [];
        if (!container?.args?.some((a) => a.startsWith("-target="))) continue;
        for (let i = 0; i < m.spec.replicas!; i++)
          out.set(
            `${m.metadata.name.replace(/^t-cinderblock-?/, "") || container.name}-${i}`,
            await startContainer(`${m.metadata.name}-${i}`, container.args, config, {}, addresses),
          );
      }
      await ready([...out.values()]);
      return out;
    };
    const single = await start({});
    await pushedIsFound(single.get("cinderblock-0")!, single.get("cinderblock-0")!);
    passesHelmTest(await tool.template(CHART), single.get("cinderblock-0")!);
    for (const s of single.values()) expect(await s.stop("SIGTERM")).toBe(0);
    const cluster = await start(
      {
        "t-cinderblock-redis:6379": `127.0.0.1:${redis.port}`,
        "t-cinderblock-kafka:9092": kafka.brokers,
        "t-cinderblock-s3:7070": s3.endpoint,
        "access_key_id: cinderblock": `access_key_id: ${s3.accessKeyId}`,
        "cinderblock-try": s3.secretAccessKey,
      },
      "-f",
      `${CHART}/values-try.yaml`,
    );
    expect([...cluster.keys()].sort()).toEqual([
      "ad-hoc-profiles-0",
      "compactor-0",
      "distributor-0",
      "ingester-0",
      "ingester-1",
      "overrides-exporter-0",
      "querier-0",
      "query-frontend-0",
      "query-scheduler-0",
      "store-gateway-0",
      "tenant-settings-0",
    ]);
    await pushedIsFound(cluster.get("distributor-0")!, cluster.get("query-frontend-0")!);
    await keepsLinksAndFiles(cluster.get("tenant-settings-0")!, cluster.get("ad-hoc-profiles-0")!);
    runsCommands(cluster.get("query-frontend-0")!);
    await Promise.all([...cluster.values()].map((s) => s.stop("SIGKILL")));
    // Each component as separate processes, in the file's numbers: three zones, Kafka, sub-queries, results
    // cache.
    const storage = {
      backend: "s3",
      s3: {
        endpoint: s3.endpoint,
        insecure: true,
        bucket_name: "cinderblock",
        access_key_id: s3.accessKeyId,
        secret_access_key: s3.secretAccessKey,
      },
      prefix: "micro",
    };
    const many = await start(
      { "redis:6379": `127.0.0.1:${redis.port}`, "kafka:9092": kafka.brokers },
      "-f",
      `${CHART}/values-micro-services.yaml`,
      "--set",
      "redis.address=redis:6379,kafka.brokers=kafka:9092,kafka.topic=micro,kafka.replication=1,kafka.partitions=3",
      "--set-json",
      `pyroscope.structuredConfig.storage=${JSON.stringify(storage)}`,
      "--set",
      "pyroscope.structuredConfig.redis.key_prefix=micro/",
    );
    expect([...many.keys()].sort()).toEqual([
      "ad-hoc-profiles-0",
      "compactor-0",
      "distributor-0",
      "distributor-1",
      "ingester-zone-a-0",
      "ingester-zone-b-0",
      "ingester-zone-c-0",
      "overrides-exporter-0",
      "querier-0",
      "querier-1",
      "querier-2",
      "query-frontend-0",
      "query-frontend-1",
      "query-scheduler-0",
      "query-scheduler-1",
      "store-gateway-0",
      "store-gateway-1",
      "tenant-settings-0",
    ]);
    await pushedIsFound(many.get("distributor-1")!, many.get("query-frontend-1")!);
    await Promise.all([...many.values()].map((s) => s.stop("SIGKILL")));
  }, 300_000);
});

describeWith(["check-jsonschema", "hadolint"], "docker-compose", () => {
  it("is valid by the schema of compose files, and the Dockerfiles by a linter", async () => {
    const schema = part("check-jsonschema"),
      lint = part("hadolint");
    const run = (program: string, ...args: string[]): string => {
      const r = spawnSync(program, args, { encoding: "utf8" });
      return `${r.stdout}${r.stderr}${r.status === 0 ? "" : `status ${r.status}`}`;
    };
    expect(
      run(
        schema,
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
        "tools/compose/cluster.yml",
      ),
    ).toContain("ok -- validation done");
    const wrong = join(folder(), "wrong.yml");
    writeFileSync(wrong, "services: {a: {image: b, portz: []}}");
    expect(run(schema, "--builtin-schema", "vendor.compose-spec", wrong)).toContain("portz");
    expect(run(lint, "Dockerfile", "tools/compose/demo/Dockerfile")).toBe("");
  }, 120_000);
});

describeWith(["redis", "s3", "kafka"], "docker-compose", () => {
  beforeAll(start, 180_000);

  it("describes a single binary, and a cluster that starts as processes, accepts pushes and finds them", async () => {
    const quick = parse(readFileSync("docker-compose.yml", "utf8")) as {
      services: Record<string, { command: string[] }>;
    };
    expect(Object.keys(quick.services)).toEqual(["cinderblock", "grafana", "demo"]);
    const alone = await startContainer("alone", quick.services.cinderblock!.command, "", {}, {});
    await ready([alone]);
    await pushedIsFound(alone, alone);
    await alone.stop("SIGKILL");
    const { services } = parse(readFileSync("tools/compose/cluster.yml", "utf8"), { merge: true }) as {
      services: Record<string, { command?: string[]; environment?: Record<string, string> }>;
    };
    const addresses = {
      "redis:6379": `127.0.0.1:${redis.port}`,
      "kafka:9092": kafka.brokers,
      "s3:7070": s3.endpoint,
    };
    // A separate cluster on the same servers.
    const config = readFileSync("tools/compose/cinderblock.yaml", "utf8")
      .replace("redis: {", "redis: { key_prefix: compose/, ")
      .replace("kafka: {", "kafka: { topic: compose, ");
    const started = new Map<string, Server>();
    for (const [name, s] of Object.entries(services)) {
      if (!s.command?.some((a) => a.startsWith("-target="))) continue;
      started.set(
        name,
        await startContainer(
          name,
          s.command,
          config,
          { ...s.environment, S3_ACCESS_KEY: s3.accessKeyId, S3_SECRET_KEY: s3.secretAccessKey },
          addresses,
        ),
      );
    }
    expect(started.size).toBe(8);
    await ready([...started.values()]);
    await pushedIsFound(started.get("gateway")!, started.get("gateway")!);
    await keepsLinksAndFiles(started.get("gateway")!, started.get("gateway")!);
    await Promise.all([...started.values()].map((s) => s.stop("SIGKILL")));
  }, 200_000);
});
