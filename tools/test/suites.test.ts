import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProjectGraph } from "@nx/devkit";
import { PART_IDS, PARTS, type PartId } from "@cinderblock/testkit/parts";
import { affectedProjects, closure, suitesFor } from "./changed.ts";
import { ROOT } from "./root.ts";
import { makespan, partsOf, suiteFiles, SUITES } from "./suites.ts";

/** Maximum seconds of all suites on two cores. */
const BOUND = 50 * 60;

describe("the table of suites", () => {
  it("names every file of integration tests once", () => {
    expect(SUITES.map((s) => s.file).sort()).toEqual(suiteFiles());
  });
  it("keeps the sum of the budgets below fifty minutes", () => {
    expect(makespan(SUITES.filter((s) => !s.long))).toBeLessThanOrEqual(BOUND);
  });
  it("runs every suite somewhere: without a part in npm test, or in the long run", () => {
    expect(SUITES.filter((s) => partsOf(s).length === 0 && !s.core && !s.long)).toEqual([]);
  });
  it("reads the parts of a suite from the suite", () => {
    const of = (name: string): PartId[] => partsOf(SUITES.find((s) => s.file.includes(name))!);
    expect(of("e2e/stores")).toEqual(["gcs", "oracle", "azure", "swift"]);
    expect(of("e2e/upgrade")).toEqual(["redis", "s3", "kafka", "previous-release"]);
    expect(of("e2e/history")).toEqual(["redis", "s3", "kafka"]);
    expect(of("e2e/crash")).toEqual([]);
  });
});

describe("the table of parts", () => {
  it("has no unused part", () => {
    const needed = new Set<string>([
      ...SUITES.flatMap(partsOf),
      ...PART_IDS.flatMap((id) => PARTS[id].needs ?? []),
    ]);
    // Suites that need the real Pyroscope v1 may be absent.
    expect(PART_IDS.filter((id) => !needed.has(id) && !id.startsWith("pyroscope"))).toEqual([]);
  });
});

describe("suites for a change", () => {
  const node = (name: string, root: string) => ({ name, type: "lib", data: { root } }) as const;
  const graph = {
    nodes: Object.fromEntries(
      [
        node("cinderblock", "apps/cinderblock"),
        node("web", "apps/web"),
        node("head", "libs/head"),
        node("kafka", "libs/kafka"),
        node("e2e", "e2e"),
      ].map((n) => [n.name, n]),
    ),
    dependencies: {
      cinderblock: [
        { source: "cinderblock", target: "head", type: "static" },
        { source: "cinderblock", target: "kafka", type: "static" },
      ],
    },
  } as unknown as ProjectGraph;
  const names = (...files: string[]): string[] =>
    suitesFor(files, SUITES, affectedProjects(graph, files)).map((s) => s.file);

  it("follow the projects that depend on the changed one", () => {
    expect(names("libs/head/src/index.ts")).toContain("e2e/kafka.e2e.ts");
    expect(names("libs/head/src/index.ts")).not.toContain("libs/kafka/src/conformance.integration.test.ts");
    expect(names("libs/kafka/src/index.ts")).toContain("libs/kafka/src/conformance.integration.test.ts");
    expect(names("libs/head/src/index.ts")).not.toContain("e2e/kubernetes.e2e.ts");
  });
  it("follow the inputs that a suite names", () => {
    expect(names("charts/cinderblock/values.yaml")).toEqual([
      "e2e/monitoring.e2e.ts",
      "e2e/chart.e2e.ts",
      "e2e/chart-values.e2e.ts",
      "e2e/deploy.e2e.ts",
      "e2e/kubernetes.e2e.ts",
    ]);
    expect(names("docs/operations/moving-in.md")).toEqual(["e2e/moving-in.e2e.ts"]);
    expect(names("docs/architecture.md", "README.md")).toEqual([]);
  });
  it("follow the helpers that a suite imports", () => {
    expect(names("e2e/drill.ts")).toEqual([
      "e2e/faults-direct.e2e.ts",
      "e2e/faults-kafka.e2e.ts",
      "e2e/upgrade.e2e.ts",
    ]);
    expect([...closure("e2e/s3.e2e.ts")].sort()).toEqual(["e2e/oracle.ts", "e2e/s3.e2e.ts", "e2e/server.ts"]);
  });
  it("are all suites if the runner, the fixtures or the packages changed", () => {
    for (const file of ["tools/test/step.ts", "libs/testkit/src/kafka.ts", "package-lock.json"])
      expect(names(file)).toHaveLength(SUITES.length);
  });
  it("name projects of this workspace", () => {
    const names = ["apps", "libs"].flatMap((top) =>
      readdirSync(join(ROOT, top))
        .map((name) => join(ROOT, top, name, "package.json"))
        .filter((file) => existsSync(file))
        .map((file) => (JSON.parse(readFileSync(file, "utf8")) as { nx: { name: string } }).nx.name),
    );
    const known = new Set([...names, "tools"]);
    expect(SUITES.flatMap((s) => s.subjects).filter((p) => !known.has(p))).toEqual([]);
  });
});
