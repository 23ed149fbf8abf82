import { describeWith, helm, type Helm, type KubernetesServer, startKubernetes } from "@cinderblock/testkit";

/**
 * Installs the chart into a real API server, which checks every object. There are no nodes, so no pod starts.
 */
const CHART = "charts/cinderblock";
let tool: Helm, server: KubernetesServer;

/** Kinds of operators whose objects the chart creates if the kinds exist. */
const FOREIGN = [
  ["monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"],
  ["monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"],
  ["gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"],
] as const;
const ALL =
  "ingress.enabled=true,ingress.hosts={p.example.org},httpRoute.enabled=true,serviceMonitor.enabled=true,networkPolicy.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true";
const REFERENCES = [
  "-f",
  `${CHART}/values-micro-services.yaml`,
  "--set",
  "redis.address=redis:6379,redis.existingSecret=r,kafka.brokers=kafka:9092,kafka.existingSecret=k,kafka.saslMechanism=SCRAM-SHA-512,pyroscope.structuredConfig.storage.backend=s3,tls.existingSecret=t,tls.serverName=cinderblock,auth.existingSecret=a",
];
const tried = (command: string, name: string, ...flags: string[]): Promise<string> =>
  tool.run(
    command,
    name,
    ...(command === "uninstall" ? [] : [CHART]),
    "--kubeconfig",
    server.kubeconfig,
    "--namespace",
    "profiles",
    ...flags,
  );
/** The API server only warns of unknown fields; the test treats such a warning as an error of the chart. */
const run = async (command: string, name: string, ...flags: string[]): Promise<string> => {
  const said = await tried(command, name, ...flags);
  expect(said).not.toMatch(/warning/i);
  return said;
};
interface Item {
  metadata: { name: string; labels: Record<string, string> };
  spec: {
    replicas?: number;
    clusterIP?: string;
    strategy?: { type: string };
    template?: { spec: { containers: { args: string[] }[] } };
    minReplicas?: number;
  };
}
const list = async (path: string): Promise<Item[]> => (await server.get<{ items: Item[] }>(path))!.items;
const apps = (kind: string): Promise<Item[]> => list(`/apis/apps/v1/namespaces/profiles/${kind}`);

describeWith(["helm", "kubernetes"], "the chart in a cluster", () => {
  beforeAll(async () => {
    tool = helm();
    server = await startKubernetes();
  }, 120_000);

  it("finds the operators' kinds", async () => {
    for (const [group, version, kind, plural] of FOREIGN) {
      await server.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: {
          name: `${plural}.${group}`,
          annotations: { "api-approved.kubernetes.io": "unapproved, for a test" },
        },
        spec: {
          group,
          scope: "Namespaced",
          names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
          versions: [
            {
              name: version,
              served: true,
              storage: true,
              schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
            },
          ],
        },
      });
    }
    for (let i = 0; i < 100 && !(await server.get("/apis/gateway.networking.k8s.io/v1/httproutes")); i++)
      await new Promise((r) => {
        setTimeout(r, 100);
      });
  });

  it("is installed from every values file with all options, upgraded and removed", async () => {
    expect(await run("install", "one", "--set", ALL)).toContain("STATUS: deployed");
    expect((await apps("statefulsets")).map((s) => [s.metadata.name, s.spec.replicas])).toEqual([
      ["one-cinderblock", 1],
    ]);
    expect(
      (await list("/apis/gateway.networking.k8s.io/v1/namespaces/profiles/httproutes")).map(
        (r) => r.metadata.name,
      ),
    ).toEqual(["one-cinderblock"]);
    expect(
      await run(
        "install",
        "all",
        ...REFERENCES,
        "--set",
        ALL,
        "--set",
        "pyroscope.components.querier.autoscaling.enabled=true,pyroscope.components.querier.autoscaling.targetCPUUtilizationPercentage=70",
      ),
    ).toContain("STATUS: deployed");
    const deployments = await apps("deployments");
    expect(
      deployments
        .map((d) => d.metadata.name)
        .filter((n) => n.startsWith("all-"))
        .sort(),
    ).toEqual(
      [
        "ad-hoc-profiles",
        "distributor",
        "overrides-exporter",
        "querier",
        "query-frontend",
        "query-scheduler",
        "tenant-settings",
      ].map((c) => `all-cinderblock-${c}`),
    );
    // The cluster added its defaults, so it understood the objects.
    for (const d of deployments) expect(d.spec.strategy?.type).toBe("RollingUpdate");
    expect(
      (await list("/api/v1/namespaces/profiles/services")).find(
        (s) => s.metadata.name === "all-cinderblock-distributor",
      )!.spec.clusterIP,
    ).toMatch(/^10\.0\.0\.\d+$/);
    expect(
      (await list("/apis/autoscaling/v2/namespaces/profiles/horizontalpodautoscalers")).map(
        (h) => h.metadata.name,
      ),
    ).toEqual(["all-cinderblock-querier"]);
    expect((await list("/apis/policy/v1/namespaces/profiles/poddisruptionbudgets")).length).toBeGreaterThan(
      3,
    );
    expect(await run("install", "try", "-f", `${CHART}/values-try.yaml`)).toContain("STATUS: deployed");
    // An upgrade changes existing objects, and does not change immutable fields.
    expect(
      await run(
        "upgrade",
        "all",
        ...REFERENCES,
        "--set",
        ALL,
        "--set",
        "pyroscope.components.distributor.replicaCount=5,pyroscope.extraArgs.log\\.level=debug",
      ),
    ).toContain("STATUS: deployed");
    const distributor = (await apps("deployments")).find(
      (d) => d.metadata.name === "all-cinderblock-distributor",
    )!;
    expect([distributor.spec.replicas, distributor.spec.template!.spec.containers[0]!.args]).toEqual([
      5,
      expect.arrayContaining(["-log.level=debug"]),
    ]);
    for (const name of ["one", "all", "try"]) await run("uninstall", name);
    expect([...(await apps("deployments")), ...(await apps("statefulsets"))]).toEqual([]);
  }, 300_000);

  it("has no unknown field; the server names one if present", async () => {
    const said = await tried(
      "install",
      "wrong",
      "--set-json",
      'pyroscope.readinessProbe={"httpGett":{},"httpGet":{"path":"/ready","port":4040}}',
    );
    expect(said).toMatch(/unknown field .*readinessProbe\.httpGett/);
    await run("uninstall", "wrong");
  });
});
