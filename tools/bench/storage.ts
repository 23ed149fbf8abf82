// Compacts two gigabytes of source blocks in a separate process, and queries a bucket of thirty days, cold
// and warm; writes docs/benchmarks-storage.md. Needs the team's ../shared, 10 GB of disk and ten minutes.
// `--mib 200` uses less data.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const node = join(root, "node_modules/node/bin/node"),
  data = join(root, "../shared/testdata");
if (!existsSync(data)) {
  console.error("the team's ../shared is not beside this checkout: its blocks are the template");
  process.exit(1);
}
const mib = Number(process.argv[process.argv.indexOf("--mib") + 1]) || 2112;
const BLOCKS = 12,
  MEMORY_MIB = 49;
const work = mkdtempSync(join(tmpdir(), "cinderblock-storage-"));
const step = (n: number, what: string): boolean =>
  process.stderr.write(`[${"#".repeat(n)}${".".repeat(4 - n)}] ${what}\n`);
try {
  step(0, "a template block");
  const bucket = join(work, "bucket"),
    blocks = join(bucket, "anonymous/phlaredb");
  cpSync(join(data, "buckets/ingester"), bucket, { recursive: true });
  execFileSync("chmod", ["-R", "u+w", bucket]);
  const cli = (...args: string[]): string =>
    execFileSync(join(root, "apps/cli/bin/cinderblock-cli"), [...args, `-storage.filesystem.dir=${bucket}`], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  cli(
    "blocks",
    "compact",
    ...readdirSync(blocks)
      .filter((n) => n.length === 26)
      .slice(0, 2),
  );
  const template = join(
    blocks,
    (JSON.parse(cli("blocks", "list", "-output=json")) as { level: number; block: string }[]).find(
      (b) => b.level === 2,
    )!.block,
  );
  const run = (env: NodeJS.ProcessEnv): string =>
    execFileSync(
      node,
      [
        "--no-warnings",
        "--max-semi-space-size=4",
        join(root, "tools/bench/large-blocks.ts"),
        template,
        join(work, "large"),
        String(BLOCKS),
        String(Math.round((mib / BLOCKS) * 2.33)),
        String(MEMORY_MIB),
      ],
      {
        encoding: "utf8",
        env: { ...process.env, MALLOC_ARENA_MAX: "2", ...env },
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
  step(1, `${BLOCKS} source blocks of about ${Math.round(mib / BLOCKS)} MiB`);
  run({ MAKE: "1" });
  step(2, "merging them into one");
  const c = JSON.parse(run({}));
  step(3, "thirty days");
  const asked = spawnSync(
    node,
    [
      "--experimental-vm-modules",
      "--no-warnings",
      join(root, "node_modules/jest/bin/jest.js"),
      "--config",
      "jest.e2e.config.mjs",
      "--runInBand",
      "e2e/thirty-days",
    ],
    { cwd: root, encoding: "utf8", env: { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` } },
  );
  const line = /thirty days: (\{.*\})/.exec(asked.stderr + asked.stdout);
  if (!line) throw new Error(`the thirty days did not pass: ${asked.stderr.slice(-500)}`);
  const days = JSON.parse(line[1]!);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], {
    cwd: root,
    encoding: "utf8",
  }).trim();
  const most = Math.max(...c.curve.map(([, m]: [number, number]) => m), c.peakMib);
  writeFileSync(
    join(root, "docs/benchmarks-storage.md"),
    `# Benchmarks of storage

Written by \`node tools/bench/storage.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}).

## Two gigabytes, one process

${c.blocks} blocks of an hour, ${(c.inBytes / 2 ** 30).toFixed(2)} GiB, ${c.rows.toLocaleString("en")} rows of a hundred samples and more with values that do not compress, merged into one of ${(c.outBytes / 2 ** 30).toFixed(2)} GiB with \`-compactor.memory-limit\` of ${MEMORY_MIB} MiB (what \`-memory.limit-bytes\` of 512 MiB leaves for it), then read back whole.

| figure | value | goal |
|---|---:|---|
| peak RSS of the process, MiB | ${c.peakMib} | ≤ 512 |
| rows per CPU second, verification included | ${Math.round(c.rows / c.secondsWithVerify).toLocaleString("en")} | ≥ 1,920 (3 × v1's 640 rows a CPU second, measured elsewhere on small rows) |
| MB of blocks per CPU second | ${(c.inBytes / 1e6 / c.secondsWithVerify).toFixed(1)} | |

Memory while it goes, by share of the rows:

\`\`\`
${[[0, c.startMib], ...c.curve].map(([share, m]) => `${String(Math.round(share * 100)).padStart(3)} % ${"#".repeat(Math.round((50 * m) / 512)).padEnd(50, ".")} ${m} MiB`).join("\n")}
      ${" ".repeat(45)}512 ^   most: ${most} MiB
\`\`\`

## A flame graph of thirty days

${days.blocks} compacted blocks of a day in an S3 bucket, \`e2e/thirty-days.e2e.ts\`:

| | requests | ms |
|---|---:|---:|
| never asked before | ${days.cold.requests} | ${days.cold.ms} |
| again | ${days.warm.requests} | ${days.warm.ms} |
| after a restart, with the cache on disk | ${days.disk.requests} | ${days.disk.ms} |
`,
  );
  step(4, "done: docs/benchmarks-storage.md");
} finally {
  rmSync(work, { recursive: true, force: true });
}
