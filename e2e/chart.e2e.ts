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
  spec: { template: { spec: { containers: Container[] } } };
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
