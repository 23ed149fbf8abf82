import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseAllDocuments, stringify } from "yaml";
import { describeWith, helm, type Helm, part } from "@cinderblock/testkit";
import { folder } from "./server.ts";

/**
 * Values of Pyroscope's chart, given to this chart: each has its effect, or is refused with its path and its
 * equivalent here.
 */
const CHART = "charts/cinderblock";
/** A rendered object, or values: the tests read deep into them. */
type Any = ReturnType<typeof JSON.parse>;

let tool: Helm;
const files = folder();
/** A file with values. */
const values = (name: string, content: object | string): string[] => {
  const file = join(files, name);
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return ["-f", file];
};
const render = async (...flags: string[]): Promise<Map<string, Any>> =>
  new Map(
    parseAllDocuments(await tool.template(CHART, ...flags))
      .map((d) => d.toJS() as Any | null)
      .filter((m) => m !== null)
      .map((m) => [`${m.kind} ${m.metadata.name}`, m]),
  );
const refused = (...flags: string[]): Promise<string> =>
  tool.template(CHART, ...flags).then(
    () => "rendered",
    (err: unknown) => (err as Error).message,
  );
const podOf = (m: Any | undefined): Any => m!.spec.template.spec;

/** Two components, a Redis and a bucket. */
const CLUSTER = {
  redis: { address: "redis:6379" },
  pyroscope: {
    structuredConfig: { storage: { backend: "s3" } },
    components: {
      distributor: { kind: "Deployment", replicaCount: 2 },
      ingester: { kind: "StatefulSet", replicaCount: 3 },
    },
  },
};
/** Values over those of CLUSTER, for all components and for the distributor. */
const cluster = (own: Any, distributor: Any = {}, top: Any = {}): Any => ({
  ...CLUSTER,
  ...top,
  pyroscope: {
    ...CLUSTER.pyroscope,
    ...own,
    components: {
      ...CLUSTER.pyroscope.components,
      distributor: { ...CLUSTER.pyroscope.components.distributor, ...distributor },
    },
  },
});

describeWith(["helm"], "values of Pyroscope's chart", () => {
  beforeAll(() => {
    tool = helm();
  });

  it("shape pods: sidecars, priority, DNS, environment, registry, labels, the account", async () => {
    const all = await render(
      ...values(
        "pods.json",
        cluster(
          {
            fullnameOverride: "pyroscope",
            serviceAccount: { name: "irsa", annotations: { "eks.amazonaws.com/role-arn": "arn" } },
            image: { registry: "quay.io" },
            extraLabels: { team: "profiles" },
            extraContainers: [{ name: "auth", image: "auth:1" }],
            extraCustomEnvVars: [{ name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }],
            priorityClassName: "high",
            disableSelfProfile: false,
          },
          { dnsPolicy: "ClusterFirstWithHostNet", hostNetwork: true, priorityClassName: "higher" },
        ),
      ),
    );
    const distributor = podOf(all.get("Deployment pyroscope-distributor")),
      ingester = podOf(all.get("StatefulSet pyroscope-ingester"));
    expect(distributor).toMatchObject({
      priorityClassName: "higher",
      dnsPolicy: "ClusterFirstWithHostNet",
      hostNetwork: true,
      serviceAccountName: "irsa",
      automountServiceAccountToken: false,
      containers: [{ name: "distributor", image: "quay.io/cinderblock:0.1.0" }, { name: "auth" }],
    });
    expect(ingester).toMatchObject({ priorityClassName: "high", dnsPolicy: "ClusterFirst" });
    expect(ingester.hostNetwork).toBeUndefined();
    expect(ingester.containers[0].env).toContainEqual({
      name: "NODE",
      valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } },
    });
    expect(ingester.containers[0].args).toContain("-self-profiling.disable-push=false");
    expect(all.get("ServiceAccount irsa")!.metadata.annotations).toEqual({
      "eks.amazonaws.com/role-arn": "arn",
    });
    for (const [name, m] of all) expect([name, m.metadata.labels.team]).toEqual([name, "profiles"]);
    // The registry of all images wins.
    const air = await render(
      ...values("air.json", {
        ...CLUSTER,
        global: { imageRegistry: "mirror.example" },
        redis: { bundled: { enabled: true } },
        s3: { bundled: { enabled: true } },
      }),
    );
    const images = [...air.values()].flatMap((m) =>
      [...(m.spec?.template?.spec?.containers ?? []), ...(m.spec?.template?.spec?.initContainers ?? [])].map(
        (c: Any) => c.image as string,
      ),
    );
    expect(images.length).toBeGreaterThan(4);
    for (const image of images) expect(image).toMatch(/^mirror\.example\//);
  });

  it("shape disks: an existing claim, a selector, a folder, further claims; a Deployment has none", async () => {
    const all = await render(
        ...values("disks.json", {
          ...cluster({
            persistence: { enabled: true, selector: { matchLabels: { disk: "a" } }, subPath: "x" },
          }),
        }),
      ),
      claim = all.get("StatefulSet t-cinderblock-ingester")!.spec.volumeClaimTemplates[0];
    expect(claim).toMatchObject({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data" },
      spec: { selector: { matchLabels: { disk: "a" } } },
    });
    expect(podOf(all.get("StatefulSet t-cinderblock-ingester")).containers[0].volumeMounts).toContainEqual({
      name: "data",
      mountPath: "/data",
      subPath: "x",
    });
    expect(podOf(all.get("Deployment t-cinderblock-distributor")).volumes).toContainEqual({
      name: "data",
      emptyDir: {},
    });
    const single = (
      await render(
        ...values("claim.json", {
          pyroscope: {
            persistence: {
              enabled: true,
              existingClaim: "mine",
              extraVolumeClaimTemplates: [{ metadata: { name: "more" }, spec: {} }],
            },
          },
        }),
      )
    ).get("StatefulSet t-cinderblock")!;
    expect(podOf(single).volumes).toContainEqual({
      name: "data",
      persistentVolumeClaim: { claimName: "mine" },
    });
    expect(single.spec.volumeClaimTemplates).toEqual([
      { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "more" }, spec: {} },
    ]);
  });

  it("shape Services, autoscalers, budgets, routes and monitors", async () => {
    const all = await render(
      ...values(
        "around.json",
        cluster(
          {
            service: {
              port_name: "http",
              headlessAnnotations: { a: "b" },
              extraPorts: [{ name: "auth", port: 8080 }],
              publishNotReadyAddresses: false,
            },
            podDisruptionBudget: { minAvailable: 2 },
          },
          {
            service: { port: 9999 },
            autoscaling: {
              enabled: true,
              targetCPUUtilizationPercentage: null,
              customMetrics: [{ type: "Pods" }],
              behavior: { enabled: true, scaleUp: { stabilizationWindowSeconds: 5 } },
            },
          },
          {
            ingress: { enabled: true, hosts: ["p"], pathType: "ImplementationSpecific" },
            httpRoute: {
              enabled: true,
              gateway: { name: "g", namespace: "infra", sectionName: null },
              labels: { l: "m" },
              timeouts: { request: "0s" },
            },
            serviceMonitor: {
              enabled: true,
              interval: null,
              scrapeTimeout: "9s",
              annotations: { a: "b" },
              namespaceSelector: { any: true },
              matchExpressions: [{ key: "k", operator: "Exists" }],
              relabelings: [{ targetLabel: "cluster", replacement: "eu" }],
              metricRelabelings: [{ action: "drop" }],
              targetLabels: ["team"],
              scheme: "https",
              tlsConfig: { insecureSkipVerify: true },
            },
          },
        ),
      ),
    );
    expect(all.get("Service t-cinderblock-distributor")!.spec.ports).toEqual([
      { name: "http", port: 9999, targetPort: "http", protocol: "TCP" },
      { name: "auth", port: 8080 },
    ]);
    expect(all.get("Service t-cinderblock-ingester-headless")).toMatchObject({
      metadata: { annotations: { a: "b" } },
      spec: { publishNotReadyAddresses: false },
    });
    const { metrics, behavior } = all.get("HorizontalPodAutoscaler t-cinderblock-distributor")!.spec;
    expect([metrics, behavior]).toEqual([[{ type: "Pods" }], { scaleUp: { stabilizationWindowSeconds: 5 } }]);
    const budget = all.get("PodDisruptionBudget t-cinderblock-ingester")!.spec;
    expect([budget.minAvailable, budget.maxUnavailable]).toEqual([2, undefined]);
    const [path] = all.get("Ingress t-cinderblock")!.spec.rules[0].http.paths;
    expect([path.pathType, path.backend.service.port]).toEqual(["ImplementationSpecific", { name: "http" }]);
    const route = all.get("HTTPRoute t-cinderblock")!;
    expect([route.metadata.labels.l, route.spec.parentRefs]).toEqual([
      "m",
      [{ name: "g", namespace: "infra" }],
    ]);
    expect(route.spec.rules[0]).toMatchObject({
      backendRefs: [{ name: "t-cinderblock-distributor", port: 9999 }],
      timeouts: { request: "0s" },
    });
    expect(route.spec.rules.at(-1).backendRefs).toEqual([
      { name: "t-cinderblock-query-frontend", port: 4040 },
    ]);
    const monitor = all.get("ServiceMonitor t-cinderblock")!;
    expect(monitor.metadata.annotations).toEqual({ a: "b" });
    expect(monitor.spec).toEqual({
      namespaceSelector: { any: true },
      targetLabels: ["team"],
      selector: {
        matchLabels: { "app.kubernetes.io/name": "cinderblock", "app.kubernetes.io/instance": "t" },
        matchExpressions: [
          { key: "app.kubernetes.io/component", operator: "Exists" },
          { key: "k", operator: "Exists" },
        ],
      },
      endpoints: [
        {
          port: "http",
          path: "/metrics",
          scrapeTimeout: "9s",
          relabelings: [{ targetLabel: "cluster", replacement: "eu" }],
          metricRelabelings: [{ action: "drop" }],
          scheme: "https",
          tlsConfig: { insecureSkipVerify: true },
        },
      ],
    });
    // Without a target, an autoscaler follows 60 % of the CPU request; ingesters always leave one by one.
    const plain = (
      await render(
        ...values("hpa.json", CLUSTER),
        ...["--set", "pyroscope.components.ingester.autoscaling.enabled=true"],
      )
    ).get("HorizontalPodAutoscaler t-cinderblock-ingester")!.spec;
    expect(plain.metrics[0].resource.target.averageUtilization).toBe(60);
    expect(plain.behavior.scaleDown.policies).toEqual([{ type: "Pods", value: 1, periodSeconds: 600 }]);
  });

  it("are unset by null, whole objects too", async () => {
    for (const key of ["image", "service", "persistence", "podDisruptionBudget", "resources", "affinity"]) {
      const all = await render(
        ...values("null.json", { ...CLUSTER, pyroscope: { ...CLUSTER.pyroscope, [key]: null } }),
      );
      expect([key, all.has("StatefulSet t-cinderblock-ingester")]).toEqual([key, true]);
    }
  });

  it("are templates where v1's are: the configuration, further objects", async () => {
    const object = {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: '{{ include "pyroscope.fullname" . }}-a' },
      },
      all = await render(
        ...values("templates.json", {
          pyroscope: {
            config:
              'limits: { max_query_length: {{ default "1d" .Values.none }} }\n' +
              "{{ if .Values.minio.enabled }}storage: { backend: s3 }{{ end }}",
            structuredConfig: { storage: { s3: { bucket_name: "{{ .Release.Namespace }}-x" } } },
          },
          extraObjects: [object, stringify(object).replace("-a", "-b")],
        }),
      );
    expect(parse(all.get("ConfigMap t-cinderblock-config")!.data["config.yaml"])).toEqual({
      limits: { max_query_length: "1d" },
      storage: { s3: { bucket_name: "profiles-x" } },
    });
    expect([...all.keys()].filter((k) => k.startsWith("Secret"))).toEqual([
      "Secret t-cinderblock-a",
      "Secret t-cinderblock-b",
    ]);
  });

  it.each<[string, Any, RegExp]>([
    ["an unknown key", { pyroscope: { replicas: 2 } }, /at '\/pyroscope': additional properties 'replicas'/],
    [
      "an unknown key of a component",
      cluster({}, { priorityClass: "x" }),
      /at '\/pyroscope\/components\/distributor': additional properties 'priorityClass'/,
    ],
    ["the bundled MinIO", { minio: { enabled: true } }, /minio\.enabled=true: s3\.bundled/],
    ["Alloy", { alloy: { enabled: true } }, /alloy\.enabled=true: install Alloy/],
    ["v2", { architecture: { storage: { v2: true } } }, /architecture\.storage\.v2=true: Cinderblock/],
    [
      "microservices",
      { architecture: { microservices: { enabled: true } } },
      /architecture\.microservices\.enabled=true: pyroscope\.components/,
    ],
    [
      "a component of v2",
      { pyroscope: { components: { "segment-writer": { kind: "StatefulSet" } } } },
      /pyroscope\.components\.segment-writer: a component of Pyroscope v2; ingester/,
    ],
    [
      "v1's image",
      { pyroscope: { image: { repository: "docker.io/grafana/pyroscope" } } },
      /pyroscope\.image\.repository=docker\.io\/grafana\/pyroscope: that image is Pyroscope's/,
    ],
    [
      "a component's own configuration",
      cluster({}, { structuredConfig: { limits: {} } }),
      /pyroscope\.components\.distributor\.structuredConfig=.*: all components read/,
    ],
    [
      "an autoscaler or zones of all",
      { pyroscope: { autoscaling: { enabled: true }, zones: ["a"] } },
      /pyroscope\.zones=.*components\.ingester\.zones\n- pyroscope\.autoscaling=/,
    ],
    [
      "a second single binary",
      { pyroscope: { replicaCount: 2, structuredConfig: { storage: { backend: "s3" } } } },
      /pyroscope\.replicaCount=2: the single binary runs once.*values-micro-services\.yaml/,
    ],
    [
      "two pods on one claim",
      cluster({}, { persistence: { enabled: true, existingClaim: "c" } }),
      /components\.distributor\.persistence\.existingClaim=c: one claim is the disk of one pod/,
    ],
    ["HTTPS without a certificate", { pyroscope: { service: { scheme: "HTTPS" } } }, /tls\.existingSecret/],
    ["a long name", { fullnameOverride: "x".repeat(41) }, /fullnameOverride: longer than 40/],
    [
      "two names",
      { fullnameOverride: "a", pyroscope: { fullnameOverride: "b" } },
      /fullnameOverride=a and pyroscope\.fullnameOverride=b/,
    ],
  ])("are refused by name: %s", async (_, wrong, message) => {
    expect(await refused(...values("wrong.json", wrong))).toMatch(message);
  });
});

describeWith(["helm", "pyroscope-source"], "the values files of Pyroscope's chart", () => {
  beforeAll(() => {
    tool = helm();
  });

  /** Overlays of the README by the files that they are for. */
  const overlay = (file: string): string => {
    const [, block] = new RegExp(
      `\\n {4}# over .*\\b${file.replaceAll(".", "\\.")}\\b.*\\n((?: {4}.+\\n)+)`,
    ).exec(readFileSync(`${CHART}/README.md`, "utf8"))!;
    const lines = block!.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(5);
    return lines.map((l) => l.slice(4)).join("\n");
  };

  it.each(["values.yaml", "values-micro-services.yaml", "values-micro-services-hpa.yaml"])(
    "render with an overlay of the README: %s",
    async (file) => {
      const theirs = join(part("pyroscope-source"), "operations/pyroscope/helm/pyroscope", file),
        v1 = parse(readFileSync(theirs, "utf8"), { merge: true }) as Any,
        all = await render("-f", theirs, ...values("overlay.yaml", overlay(file)));
      const workloads = [...all.values()].filter(
          (m) =>
            ["Deployment", "StatefulSet"].includes(m.kind) && podOf(m).containers[0].args?.[0] !== undefined,
        ),
        names = Object.keys(v1.pyroscope.components ?? {});
      for (const name of names) {
        const m = workloads.find((w) => w.metadata.name === `t-cinderblock-${name}`)!,
          own = v1.pyroscope.components[name];
        expect([name, m.kind]).toEqual([name, own.kind]);
        expect(podOf(m).containers[0].resources).toEqual(own.resources);
        if (own.autoscaling === undefined) expect([name, m.spec.replicas]).toEqual([name, own.replicaCount]);
        else
          expect(all.get(`HorizontalPodAutoscaler t-cinderblock-${name}`)!.spec).toMatchObject({
            minReplicas: own.autoscaling.minReplicas,
            maxReplicas: own.autoscaling.maxReplicas ?? 3,
          });
        expect(podOf(m).containers[0].readinessProbe).toMatchObject({
          ...own.readinessProbe,
          httpGet: { path: "/ready" },
        });
      }
      if (names.length === 0) expect(all.has("StatefulSet t-cinderblock")).toBe(true);
    },
  );
});
