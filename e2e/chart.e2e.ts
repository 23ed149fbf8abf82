import { parseAllDocuments } from "yaml";
import { describeWith, helm, type Helm } from "@cinderblock/testkit";

const CHART = "charts/cinderblock",
  MICRO = [
    ...["-f", `${CHART}/values-micro-services.yaml`],
    ...["--set", "redis.address=redis:6379,kafka.brokers=kafka:9092"],
    ...["--set", "pyroscope.structuredConfig.storage.backend=s3"],
  ];

interface Probe {
  httpGet?: { path: string; port: string; scheme?: string };
  tcpSocket?: object;
  periodSeconds: number;
  failureThreshold: number;
  initialDelaySeconds?: number;
}
interface Container {
  name: string;
  args: string[];
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
}
interface Workload {
  kind: string;
  metadata: { name: string; annotations?: Record<string, string>; labels: Record<string, string> };
  spec: {
    updateStrategy?: { type: string };
    template: {
      metadata: { annotations: Record<string, string>; labels: Record<string, string> };
      spec: {
        containers: Container[];
        nodeSelector?: Record<string, string>;
        affinity?: { nodeAffinity?: object; podAntiAffinity?: Record<string, Term[]> };
      };
    };
  };
}
interface Term {
  topologyKey: string;
  labelSelector: {
    matchLabels: Record<string, string>;
    matchExpressions: { key: string; operator: string; values?: string[] }[];
  };
}

let tool: Helm;
const workloads = async (...flags: string[]): Promise<Map<string, Workload>> =>
  new Map(
    parseAllDocuments(await tool.template(CHART, ...flags))
      .map((d) => d.toJS() as Workload | null)
      .filter((m) => m !== null && ["StatefulSet", "Deployment"].includes(m.kind))
      .map((m) => [m!.metadata.name.replace(/^t-cinderblock-?/, ""), m!]),
  );
const container = (w: Workload): Container => w.spec.template.spec.containers[0]!;

const DIRECT = [...MICRO, "--set", "kafka.enabled=false"],
  ZONES = ["zone-a", "zone-b", "zone-c"];

describeWith(["helm"], "the chart's alerts", () => {
  it("read the namespace and the jobs of the release alone", async () => {
    const rendered = parseAllDocuments(
      await helm().template(CHART, ...MICRO, "--set", "monitoring.rules.enabled=true"),
    )
      .map((d) => d.toJS() as { kind: string; spec: { groups: { rules: { expr: string }[] }[] } } | null)
      .find((m) => m?.kind === "PrometheusRule")!;
    const expressions = rendered.spec.groups.flatMap((g) => g.rules.map((r) => r.expr));
    expect(expressions.length).toBeGreaterThan(40);
    for (const expr of expressions) {
      const metrics = expr.match(/\b(pyroscope|cinderblock|objstore|process|up)(_[a-z_]+)?\{/g)!.length,
        scopes = expr.match(/namespace="profiles",job=~"t-cinderblock\(-\.\*\)\?"/g) ?? [];
      expect([expr, scopes.length]).toEqual([expr, metrics]);
    }
  });
});

describeWith(["helm"], "the chart's zones", () => {
  beforeAll(() => {
    tool = helm();
  });

  /** Whether a required term of a pod's anti-affinity keeps it out of the domain of a pod with some labels. */
  const repels = (term: Term, labels: Record<string, string>): boolean =>
    Object.entries(term.labelSelector.matchLabels).every(([k, v]) => labels[k] === v) &&
    term.labelSelector.matchExpressions.every(({ key, operator, values }) =>
      operator === "Exists" ? key in labels : operator === "NotIn" && !values!.includes(labels[key]!),
    );
  const anti = (w: Workload): Term[] =>
    w.spec.template.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];

  it("are known to every component that places replicas", async () => {
    for (const [name, w] of await workloads(...DIRECT)) {
      const { args } = container(w);
      expect([name, args.includes("-distributor.zone-awareness-enabled=true")]).toEqual([name, true]);
      expect([name, args.filter((a) => a.startsWith("-ingester.availability-zone="))]).toEqual([
        name,
        name.startsWith("ingester-") ? [`-ingester.availability-zone=${name.slice("ingester-".length)}`] : [],
      ]);
    }
    // Through Kafka each zone reads all partitions: no replica is placed.
    for (const w of (await workloads(...MICRO)).values())
      expect(container(w).args.join(" ")).not.toContain("zone-awareness");
  });

  it("never share a failure domain, and are pinned by a selector each", async () => {
    const plain = await workloads(...DIRECT),
      pods = ZONES.map((z) => plain.get(`ingester-${z}`)!);
    for (const [i, w] of pods.entries()) {
      expect(anti(w).map((t) => t.topologyKey)).toEqual(["topology.kubernetes.io/zone"]);
      for (const [k, other] of pods.entries())
        expect([i, k, repels(anti(w)[0]!, other.spec.template.metadata.labels)]).toEqual([i, k, i !== k]);
      // Other components, and ingesters without zones, are welcome.
      expect(repels(anti(w)[0]!, plain.get("distributor")!.spec.template.metadata.labels)).toBe(false);
      const { "cinderblock/zone": _, ...zoneless } = w.spec.template.metadata.labels;
      expect(repels(anti(w)[0]!, zoneless)).toBe(false);
    }
    const own = await workloads(
      ...DIRECT,
      "--set-json",
      `pyroscope.components.ingester.zones=${JSON.stringify([
        { name: "a", nodeSelector: { "topology.kubernetes.io/zone": "eu-1a" } },
        { name: "b", topologyKey: "kubernetes.io/hostname" },
        { name: "c", topologyKey: "" },
      ])}`,
      "--set-json",
      `pyroscope.components.ingester.affinity=${JSON.stringify({
        nodeAffinity: {},
        podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "rack" }] },
      })}`,
      ...["--set", "pyroscope.components.ingester.nodeSelector.disk=fast"],
    );
    const of = (z: string) => own.get(`ingester-${z}`)!.spec.template.spec;
    expect(of("a").nodeSelector).toEqual({ disk: "fast", "topology.kubernetes.io/zone": "eu-1a" });
    expect(of("b").nodeSelector).toEqual({ disk: "fast" });
    expect(["a", "b", "c"].map((z) => anti(own.get(`ingester-${z}`)!).map((t) => t.topologyKey))).toEqual([
      ["rack", "topology.kubernetes.io/zone"],
      ["rack", "kubernetes.io/hostname"],
      ["rack"],
    ]);
    expect(of("a").affinity!.nodeAffinity).toEqual({});
  });

  it("have one disruption budget, and roll one after the other", async () => {
    const all = parseAllDocuments(await tool.template(CHART, ...DIRECT)).map(
      (d) => d.toJS() as { kind: string; metadata: { name: string }; spec: object } | null,
    );
    expect(
      all.filter((m) => m?.kind === "PodDisruptionBudget" && m.metadata.name.includes("ingester")),
    ).toEqual([
      expect.objectContaining({
        metadata: expect.objectContaining({ name: "t-cinderblock-ingester" }),
        spec: {
          maxUnavailable: 1,
          selector: {
            matchLabels: {
              "app.kubernetes.io/name": "cinderblock",
              "app.kubernetes.io/instance": "t",
              "app.kubernetes.io/component": "ingester",
            },
          },
        },
      }),
    ]);
    const plain = await workloads(...DIRECT);
    for (const [name, w] of plain) {
      const zoned = name.startsWith("ingester-"),
        group = zoned ? "t-cinderblock-ingester" : undefined;
      expect([name, w.spec.updateStrategy?.type, w.metadata.labels["rollout-group"]]).toEqual([
        name,
        zoned ? "OnDelete" : undefined,
        group,
      ]);
      if (!zoned) continue;
      expect(w.metadata.annotations).toEqual({ "rollout-max-unavailable": "1" });
      expect(w.spec.template.metadata.labels).toMatchObject({
        name: w.metadata.name,
        "rollout-group": group,
      });
    }
  });
});

describeWith(["helm"], "a change of configuration", () => {
  beforeAll(() => {
    tool = helm();
  });

  /** Workloads whose pods differ from those without the values. */
  const restarted = async (...values: string[]): Promise<string[]> => {
    const before = await workloads(...DIRECT),
      after = await workloads(...DIRECT, ...values);
    return [...after]
      .filter(
        ([name, w]) => JSON.stringify(w.spec.template) !== JSON.stringify(before.get(name)!.spec.template),
      )
      .map(([name]) => name)
      .sort();
  };
  const set = (key: string): string[] => ["--set", `pyroscope.structuredConfig.${key}`];

  it("restarts the components that read the key, and no other", async () => {
    expect(await restarted(...set("compactor.compaction_interval=1m"))).toEqual(["compactor"]);
    expect(await restarted(...set("query_scheduler.max_outstanding_requests_per_tenant=7"))).toEqual([
      "query-scheduler",
    ]);
    expect(await restarted(...set("pyroscopedb.ship_interval=10s"))).toEqual(
      ZONES.map((z) => `ingester-${z}`),
    );
    const every = [...(await workloads(...DIRECT)).keys()].sort();
    expect(await restarted(...set("storage.prefix=p"))).toEqual(every);
    // A key that no component is known to read counts for all.
    expect(await restarted(...set("unknown.key=1"))).toEqual(every);
    expect(await restarted("--set", "pyroscope.tenantOverrides.a.ingestion_rate_mb=9")).toEqual([]);
  });
});

describeWith(["helm"], "the chart's probes", () => {
  beforeAll(() => {
    tool = helm();
  });

  it("wait an hour for a replay, and do not restart a process that waits for Redis or the bucket", async () => {
    const all = await workloads(...MICRO);
    expect(all.size).toBeGreaterThan(10);
    for (const [name, w] of all) {
      const { startupProbe, readinessProbe, livenessProbe } = container(w);
      expect([name, startupProbe, readinessProbe, livenessProbe]).toEqual([
        name,
        { httpGet: { path: "/started", port: "http2" }, periodSeconds: 5, failureThreshold: 720 },
        { httpGet: { path: "/ready", port: "http2" }, periodSeconds: 5, failureThreshold: 3 },
        undefined,
      ]);
    }
  });

  it("take single keys over the chart's, or another handler", async () => {
    const at = "pyroscope.components.store-gateway";
    const all = await workloads(
      ...MICRO,
      ...["--set", `${at}.readinessProbe.initialDelaySeconds=60,tls.existingSecret=tls`],
      ...["--set", `${at}.startupProbe.failureThreshold=9,${at}.livenessProbe.tcpSocket.port=4040`],
    );
    expect(container(all.get("store-gateway")!)).toMatchObject({
      startupProbe: { httpGet: { path: "/started", port: "http2", scheme: "HTTPS" }, failureThreshold: 9 },
      readinessProbe: {
        httpGet: { path: "/ready", port: "http2", scheme: "HTTPS" },
        initialDelaySeconds: 60,
        periodSeconds: 5,
        failureThreshold: 3,
      },
      livenessProbe: { tcpSocket: { port: 4040 }, periodSeconds: 10, failureThreshold: 6 },
    });
    expect(container(all.get("store-gateway")!).livenessProbe!.httpGet).toBeUndefined();
  });
});
