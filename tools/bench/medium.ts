// Runs one round of the oracle's benchmark with its `medium` preset; writes docs/benchmarks-medium.md. Takes
// about three minutes.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const shared = resolve(root, "../shared");
const work = mkdtempSync(join(tmpdir(), "cinderblock-medium-"));
const oracle = join(work, "oracle"),
  json = join(work, "runs.json");
const step = (n: number, text: string): void => console.log(`[${"#".repeat(n)}${".".repeat(3 - n)}] ${text}`);
step(0, "building");
execFileSync("go", ["build", "-o", oracle, "."], { cwd: join(shared, "oracle") });
execFileSync("node", ["tools/build/main.ts"], { cwd: root, stdio: "inherit" });
step(1, "making the load");
execFileSync(oracle, ["gen", "-preset", "medium", "-out", join(work, "load")], { stdio: "ignore" });
step(2, "benching");
const run = spawnSync(
  oracle,
  [
    "bench",
    "-server",
    `ours=${shared}/oracle/scripts/cinderblock.cmd`,
    "-load",
    join(work, "load"),
    "-rounds",
    "1",
    "-k",
    "2",
    "-json",
    json,
  ],
  {
    env: { ...process.env, CINDERBLOCK: join(root, "node_modules/.bin/cinderblock") },
    encoding: "utf8",
    maxBuffer: 1 << 28,
  },
);
if (run.status !== 0) {
  console.error(run.stderr.slice(-2000));
  process.exit(1);
}
/** The figures of one round, as the oracle prints them. */
interface Run {
  push: { profiles: number; gz_bytes: number; raw_bytes: number };
  peak_rss_bytes: number;
  profiles_per_cpu_s_with_flush: number;
  hot_cpu_s: number;
  hot_p50_ms: Record<string, number>;
  disk_by_dir: { bucket: number };
  hot_against_cold?: string;
}
const [r] = JSON.parse(readFileSync(json, "utf8")) as [Run];
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
const n = (v: number): string => v.toLocaleString("en", { maximumSignificantDigits: 3 });
writeFileSync(
  join(root, "docs/benchmarks-medium.md"),
  `# Benchmarks, medium load

Written by \`node tools/bench/medium.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}), Node ${process.version}. The \`medium\` preset: ${n(r.push.profiles)} profiles, ${n(r.push.gz_bytes / 1e6)} MB gzip, ${n(r.push.raw_bytes / 1e6)} MB raw; one round. The client runs on the same cores. Goals are set from a Pyroscope v1 measured elsewhere.

| figure | ours | goal |
|---|---:|---|
| peak RSS, MB | ${n(r.peak_rss_bytes / 1e6)} | ≤ 1,033 (0.9 × 1,148) |
| push and flush, profiles per CPU second | ${n(r.profiles_per_cpu_s_with_flush)} | |
| queries hot, CPU s | ${n(r.hot_cpu_s)} | |
| p50 ms flamegraph / tree / pprof / render / diff / select_series | ${["flamegraph", "tree", "pprof", "render", "diff", "select_series"].map((k) => n(r.hot_p50_ms[k]!)).join(" / ")} | |
| bytes in the bucket per profile | ${n(r.disk_by_dir.bucket / r.push.profiles)} | |
| hot against cold | ${r.hot_against_cold ?? "equal"} | |
`,
);
step(3, "done: docs/benchmarks-medium.md");
