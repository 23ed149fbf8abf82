import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import {
  describeWith,
  helm,
  type Helm,
  type KubernetesServer,
  part,
  startKubernetes,
} from "@cinderblock/testkit";
import { folder } from "./server.ts";

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

const start = async (): Promise<void> => {
  tool ??= helm();
  server ??= await startKubernetes();
};

interface Live {
  apiVersion: string;
  kind: string;
  metadata: { name: string; generation?: number; resourceVersion?: string; annotations?: object };
}
const PLURALS: Record<string, string> = {
  Ingress: "ingresses",
  NetworkPolicy: "networkpolicies",
};
/** Path of an object on the server. */
const pathOf = ({ apiVersion, kind, metadata }: Live): string =>
  `/${apiVersion.includes("/") ? "apis" : "api"}/${apiVersion}/namespaces/profiles/${
    PLURALS[kind] ?? `${kind.toLowerCase()}s`
  }/${metadata.name}`;
/** Objects of a release without its hooks, as rendered. */
const rendered = async (name: string): Promise<Live[]> =>
  parseAllDocuments(
    await tool.run("get", "manifest", name, "--kubeconfig", server.kubeconfig, "--namespace", "profiles"),
  )
    .map((d) => d.toJS() as Live | null)
    .filter((m) => m !== null);

/**
 * Paths at which a rendered object differs from the live one. Fields that the server adds differ in nothing; in
 * lists, elements have the same places.
 */
function differences(wanted: unknown, live: unknown, at = ""): string[] {
  if (Array.isArray(wanted))
    return Array.isArray(live) && live.length === wanted.length
      ? wanted.flatMap((w, i) => differences(w, live[i], `${at}/${i}`))
      : [at];
  if (wanted !== null && typeof wanted === "object")
    return Object.entries(wanted).flatMap(([k, w]) =>
      differences(w, (live as Record<string, unknown> | undefined)?.[k], `${at}/${k}`),
    );
  return wanted === live ? [] : [`${at}: ${JSON.stringify(wanted)} is ${JSON.stringify(live)}`];
}

describeWith(["helm", "kubernetes"], "the chart in a cluster", () => {
  beforeAll(start, 120_000);

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

  it("is in sync with the cluster after a second apply, which changes no object", async () => {
    const flags = [
      ...REFERENCES,
      "--set",
      `${ALL},pyroscope.persistence.enabled=true,pyroscope.extraLabels.team=a,extraObjects[0].apiVersion=v1,extraObjects[0].kind=ConfigMap,extraObjects[0].metadata.name=mine`,
      "--set",
      "pyroscope.components.querier.autoscaling.enabled=true",
    ];
    await run("install", "sync", ...flags);
    const objects = await rendered("sync");
    expect(objects.length).toBeGreaterThan(40);
    const live = async (): Promise<Live[]> =>
      Promise.all(objects.map(async (m) => (await server.get<Live>(pathOf(m)))!));
    const before = await live();
    for (const [i, m] of objects.entries())
      expect([m.kind, m.metadata.name, differences(m, before[i])]).toEqual([m.kind, m.metadata.name, []]);
    const claims = before
      .filter((m) => m.kind === "StatefulSet")
      .flatMap((m) => (m as unknown as { spec: { volumeClaimTemplates: Live[] } }).spec.volumeClaimTemplates);
    expect(claims.length).toBeGreaterThan(4);
    await run("upgrade", "sync", ...flags);
    expect((await live()).map((m) => [m.kind, m.metadata.name, m.metadata.resourceVersion])).toEqual(
      before.map((m) => [m.kind, m.metadata.name, m.metadata.resourceVersion]),
    );
    await run("uninstall", "sync");
  }, 300_000);

  it("has a test whose pod the cluster accepts", async () => {
    await run("install", "tested", "--set", "tls.existingSecret=t,test.token.name=a,test.token.key=b");
    // No node runs the pod.
    await expect(
      tool.run(
        "test",
        "tested",
        "--kubeconfig",
        server.kubeconfig,
        "--namespace",
        "profiles",
        "--timeout",
        "2s",
      ),
    ).rejects.toThrow(/timed out/);
    const pod = (await server.get<{ spec: { containers: { name: string }[] } }>(
      "/api/v1/namespaces/profiles/pods/tested-cinderblock-test",
    ))!;
    expect(pod.spec.containers.map((c) => c.name)).toEqual(["query"]);
    await run("uninstall", "tested");
  }, 60_000);

  it("names values of Pyroscope's chart without an effect, where they differ from v1's defaults", async () => {
    const without = await run(
      "install",
      "quiet",
      "--set",
      "pyroscope.memberlist.port=7946,pyroscope.grpc.port=9095",
    );
    expect(without).not.toContain("without an effect");
    expect(
      await run(
        "upgrade",
        "quiet",
        "--set",
        "pyroscope.memberlist.port=1,pyroscope.persistence.metastore.subPath=m",
      ),
    ).toMatch(
      /without an effect here:\n {2}pyroscope\.memberlist\.port: rings live in Redis\n {2}pyroscope\.persistence\.metastore\.subPath: there is no metastore/,
    );
    await run("uninstall", "quiet");
  }, 60_000);

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

describeWith(
  ["helm", "kubernetes", "pyroscope-source"],
  "the values files of Pyroscope's chart in a cluster",
  () => {
    beforeAll(start, 120_000);

    /** Overlays of the chart's README. */
    const overlay = (title: string): string => {
      const file = join(folder(), "overlay.yaml"),
        readme = readFileSync(`${CHART}/README.md`, "utf8"),
        block = readme.slice(readme.indexOf(`    # over ${title}`)).split("\n\n")[0]!;
      writeFileSync(file, block.replaceAll(/^ {4}/gm, ""));
      return file;
    };

    it.each([
      ["values.yaml", "values.yaml, whole"],
      ["values-micro-services.yaml", "values-micro-services.yaml"],
      ["values-micro-services-hpa.yaml", "values-micro-services.yaml"],
    ])(
      "are installed with an overlay of the README: %s",
      async (file, title) => {
        const theirs = join(part("pyroscope-source"), "operations/pyroscope/helm/pyroscope", file);
        expect(await run("install", "v1", "-f", theirs, "-f", overlay(title))).toContain("STATUS: deployed");
        for (const m of await rendered("v1"))
          expect([m.kind, m.metadata.name, await server.get(pathOf(m))]).not.toContain(undefined);
        await run("uninstall", "v1");
      },
      120_000,
    );

    it("move in by the page, one compactor at a time, adopt v1's claims, and move back", async () => {
      const page = readFileSync("docs/operations/moving-in-kubernetes.md", "utf8"),
        dir = folder(),
        chart = join(part("pyroscope-source"), "operations/pyroscope/helm/pyroscope"),
        block = (begin: string): string =>
          page
            .slice(page.indexOf(`    ${begin}`))
            .split("\n\n")[0]!
            .replaceAll(/^ {4}/gm, "");
      const v1 = parse(readFileSync(join(chart, "values-micro-services.yaml"), "utf8"), { merge: true }) as {
          pyroscope: { components: Record<string, object>; structuredConfig?: object };
        },
        adopt = parse(block("fullnameOverride")) as { pyroscope: { structuredConfig: object } };
      v1.pyroscope.structuredConfig = adopt.pyroscope.structuredConfig;
      v1.pyroscope.components.ingester = {
        ...v1.pyroscope.components.ingester,
        persistence: { enabled: true },
      };
      for (const [name, text] of [
        // v1's storage and nothing bundled, which the checkout's chart has otherwise.
        [
          "v1.yaml",
          JSON.stringify({
            ...v1,
            minio: { enabled: false },
            alloy: { enabled: false },
            architecture: { storage: { v1: true, v2: false } },
          }),
        ],
        ["ours.yaml", block("pyroscope: { image:")],
        ["adopt.yaml", block("fullnameOverride")],
      ] as const)
        writeFileSync(join(dir, name), text);
      const helmOf = (line: string): Promise<string> =>
        tool.run(
          ...line
            .replace("grafana/pyroscope", chart)
            .replaceAll(/-f (\S+)/g, (_, f: string) => `-f ${join(dir, f)}`)
            .replace(" --wait", "")
            .split(" "),
          "--kubeconfig",
          server.kubeconfig,
        );
      const claims = async (): Promise<string[]> => {
        const set = (await apps("statefulsets")).find((s) => s.metadata.name === "pyroscope-ingester")!;
        return Array.from({ length: set.spec.replicas! }, (_, i) => `data-${set.metadata.name}-${i}`);
      };
      await helmOf("install pyroscope grafana/pyroscope --namespace profiles -f v1.yaml");
      const theirs = await claims();
      expect(theirs).toEqual([0, 1, 2].map((i) => `data-pyroscope-ingester-${i}`));
      const steps = [...page.matchAll(/^ {4}helm (.+)$/gm)].map(([, line]) => line!),
        compacting: [string, string[]][] = [];
      for (const step of steps) {
        await helmOf(step);
        compacting.push([
          step.split(" --namespace")[0]!.replace(/ \S+\/\S+$/, ""),
          (await apps("statefulsets"))
            .filter((s) => s.metadata.name.endsWith("-compactor") && s.spec.replicas! > 0)
            .map((s) => s.metadata.name),
        ]);
        if (step.startsWith("install adopt")) expect(await claims()).toEqual(theirs);
      }
      const v1s = ["pyroscope-compactor"],
        ours = ["profiles-cinderblock-compactor"];
      expect(compacting).toEqual([
        ["install profiles", v1s],
        ["upgrade pyroscope", []],
        ["upgrade profiles", ours],
        ["uninstall pyroscope", ours],
        ["install adopt", ours],
        ["uninstall adopt", ours],
        ["upgrade profiles", []],
        ["upgrade --install pyroscope", v1s],
        ["uninstall profiles", v1s],
      ]);
      await run("uninstall", "pyroscope");
    }, 300_000);
  },
);
