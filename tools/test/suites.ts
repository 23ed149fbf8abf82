import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { declaredIn, type PartId } from "@cinderblock/testkit/parts";
import { ROOT } from "./root.ts";

/** Suite of the built programs, or of a library and a real server. The suite itself declares its parts. */
export interface Suite {
  readonly file: string;
  /**
   * Seconds on two idle cores. The run reports a suite that takes longer, and fails at three times the
   * budget.
   */
  readonly budget: number;
  /**
   * Projects whose behavior the suite checks; a change of one of them, or of their dependencies, selects the
   * suite.
   */
  readonly subjects: readonly string[];
  /** Additional paths that the suite reads, besides sources of its subjects and imports. */
  readonly inputs: readonly string[];
  /** Runs in `npm test` as well, without the groups that need a part. */
  readonly core: boolean;
  /** Runs only in `npm run test:long`. */
  readonly long: boolean;
  /** Measures time or memory, or injects faults against the clock: no other suite runs at the same time. */
  readonly alone: boolean;
}

type Options = Partial<Omit<Suite, "file" | "budget">>;
/** Suite of the single binary, which contains every library. */
const suite = (file: string, budget: number, options: Options = {}): Suite => ({
  file,
  budget,
  subjects: ["cinderblock"],
  inputs: [],
  core: false,
  long: false,
  alone: false,
  ...options,
});
const e2e = (name: string, budget: number, options: Options = {}): Suite =>
  suite(`e2e/${name}.e2e.ts`, budget, options);
const lib = (name: string, test: string, budget: number, options: Options = {}): Suite =>
  suite(`libs/${name}/src/${test}.integration.test.ts`, budget, { subjects: [name], ...options });

const CHART = ["charts/"],
  IMAGE = ["Dockerfile", ".dockerignore", "docker-compose.yml", "tools/compose/", "tools/build/"],
  core = true,
  long = true,
  alone = true;

/**
 * Every suite with its budget; tools/test/suites.test.ts checks the table against the files, and the sum
 * against its bound.
 */
export const SUITES: readonly Suite[] = [
  // Without any part.
  e2e("admin", 5, { core }),
  e2e("api", 25, { core }),
  e2e("backup", 10, { core }),
  e2e("beyond-v1", 10, { core }),
  e2e("bombs", 25, { core }),
  e2e("cli", 20, { core, subjects: ["cinderblock", "cli"] }),
  e2e("conformance", 10, { core }),
  e2e("crash", 25, { core }),
  e2e("golden-own", 5, { core, inputs: ["testdata/"] }),
  e2e("golden-v1", 20, { core, inputs: ["testdata/"] }),
  e2e("odd-bucket", 10, { core }),
  e2e("retention", 30, { core }),
  e2e("source-code", 5, { core }),
  e2e("startup", 10, { core }),
  e2e("ceiling", 60, { long, alone }),
  e2e("memory-limit", 300, { long, alone }),
  // Suites with some groups that need no part.
  e2e("aggregation", 60, { core }),
  e2e("exports", 20, { core }),
  e2e("monitoring", 60, { core, inputs: CHART, alone }),
  e2e("sdk", 75, { core, inputs: ["e2e/programs/"] }),
  e2e("self", 20, { core }),
  e2e("tls", 50, { core }),
  e2e("v1-config", 15, { core }),
  // Clusters of processes.
  e2e("readiness", 40),
  e2e("cluster", 180),
  e2e("crash-points", 200, { alone }),
  e2e("chart", 5, { subjects: [], inputs: CHART }),
  e2e("chart-values", 5, { subjects: [], inputs: CHART }),
  e2e("deploy", 60, { inputs: [...CHART, ...IMAGE] }),
  e2e("docker", 220, { inputs: IMAGE, alone }),
  e2e("faults-direct", 150, { alone }),
  e2e("faults-kafka", 200, { alone }),
  e2e("history", 480, { alone }),
  e2e("holders", 45),
  e2e("image", 260, { inputs: IMAGE, alone }),
  e2e("internal", 50),
  e2e("kafka", 200),
  e2e("kubernetes", 20, { subjects: [], inputs: [...CHART, "docs/operations/moving-in-kubernetes.md"] }),
  e2e("upgrade", 120, { inputs: ["e2e/previous-release.json"], long, alone }),
  // Answers of Pyroscope v1, and its blocks.
  e2e("compaction", 270),
  e2e("compaction-memory", 25, { subjects: ["cli"], alone }),
  e2e("beside-v1", 600, { long }),
  e2e("moving-in", 100, { inputs: ["docs/operations/moving-in.md"] }),
  e2e("oracle", 300),
  e2e("v1-reader", 15, { inputs: ["e2e/programs/"] }),
  // Object stores.
  e2e("s3", 130),
  e2e("stores", 145),
  e2e("thirty-days", 30),
  // Other programs.
  e2e("full-disk", 40),
  e2e("native-symbols", 15),
  e2e("sdk-rust", 40, { long, inputs: ["e2e/programs/"] }),
  e2e("web", 100, { subjects: ["cinderblock", "web"] }),
  e2e("web-budget", 60, { subjects: ["web", "tools"], long, alone }),
  e2e("web-faults", 85, { subjects: ["cinderblock", "web"], inputs: ["docs/operations/web-ui.md"] }),
  e2e("web-layout", 50, { subjects: ["cinderblock", "web"], long }),
  e2e("web-numbers", 60, { subjects: ["cinderblock", "web"] }),
  // Libraries with real servers.
  lib("block", "v1-blocks", 10),
  lib("compact", "compact", 60),
  lib("compact", "rewrite", 15),
  lib("kafka", "conformance", 90),
  lib("kafka", "security", 20),
  lib("kafka", "topic-faults", 110),
  lib("native-symbols", "toolchain", 10),
  lib("objstore", "conformance", 40),
  lib("objstore", "failures", 70),
  lib("profile-kernel", "kernel", 5),
  lib("redis", "blob-cache", 5),
  lib("redis", "connection", 5),
  lib("symdb", "v1-folders", 5),
];

/** Parts that a suite declares. */
export function partsOf(suite: Suite): PartId[] {
  return declaredIn(readFileSync(join(ROOT, suite.file), "utf8"));
}

/** Total seconds of suites by their budgets: two at a time, except suites that run alone. */
export function makespan(suites: readonly Suite[]): number {
  const lanes = [0, 0];
  let alone = 0;
  for (const s of [...suites].sort((a, b) => b.budget - a.budget)) {
    if (s.alone) alone += s.budget;
    else lanes[lanes[0]! <= lanes[1]! ? 0 : 1]! += s.budget;
  }
  return alone + Math.max(...lanes);
}

/** Test files of the tree whose path matches. */
function testFiles(wanted: RegExp): string[] {
  const found: string[] = [];
  for (const top of ["apps", "e2e", "libs", "tools"])
    for (const f of readdirSync(join(ROOT, top), { recursive: true, encoding: "utf8" }))
      if (wanted.test(f) && !/(^|\/)(node_modules|dist)\//.test(f)) found.push(`${top}/${f}`);
  return found.sort();
}

/** Test files that the table must name. */
export const suiteFiles = (): string[] => testFiles(/\.e2e\.ts$|\.integration\.test\.ts$/);

/** Test files that are hermetic. */
export const unitTests = (): string[] => testFiles(/(?<!\.integration)\.test\.ts$/);
