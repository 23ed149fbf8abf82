// Computes a table of sizes from the benchmarks: node tools/bench/sizing.ts reads docs/benchmarks*.md and
// writes docs/sizing.md.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const bench = readFileSync(join(root, "docs/benchmarks.md"), "utf8"),
  storage = readFileSync(join(root, "docs/benchmarks-storage.md"), "utf8");
/** The first number after a row's label. @throws if the row is missing */
const figure = (text: string, label: string): number => {
  const line = text.split("\n").find((l) => l.startsWith(`| ${label}`)),
    value = line && /\| ([\d.,]+) \|/.exec(line.slice(label.length + 2));
  if (!value) throw new Error(`no figure ${JSON.stringify(label)} in the benchmarks`);
  return Number(value[1]!.replaceAll(",", ""));
};
const [, commit, date] = /at commit (\w+), ([\d-]+)/.exec(bench)!;
const perCpuSecond = figure(bench, "push and flush, profiles per CPU second"),
  bytesStored = figure(bench, "bytes in the bucket per profile"),
  hot = figure(bench, "queries hot, CPU s");
// The load: 3,200 profiles of 80 MB gzip; the compaction: twelve hours of it.
const GZIP_BYTES = 80e6 / 3200,
  QUERIES = 282;
const compaction = bench
  .split("\n")
  .filter((l) => /^\| \d+ MiB \|/.test(l))
  .at(-1)!
  .split("|")
  .map((c) => c.trim());
const rows = Number(compaction[2]!.replaceAll(",", "")),
  rowsPerCpuSecond = Number(compaction[3]!.replaceAll(",", "")),
  mbIn = Number(compaction[5]),
  mbOut = Number(compaction[6]);
const rowsPerProfile = rows / (12 * 3200),
  kept = mbOut / mbIn;
const coldRequests = figure(storage, "never asked before");

/** An agent of a typical SDK: four profiles (CPU, heap, locks, …) every fifteen seconds. */
const PROFILES = 4,
  SECONDS = 15,
  BUSY = 0.5,
  REPLICAS = 3,
  DAYS = 30;
const round = (n: number): string =>
  n >= 100 ? Math.round(n).toLocaleString("en") : n >= 10 ? n.toFixed(0) : n.toFixed(1);
const bytes = (n: number): string =>
  n >= 1e12
    ? `${(n / 1e12).toFixed(1)} TB`
    : n >= 1e9
      ? `${(n / 1e9).toFixed(1)} GB`
      : `${(n / 1e6).toFixed(0)} MB`;
const table = [100, 1000, 10_000, 100_000].map((agents) => {
  const rate = (agents * PROFILES) / SECONDS,
    cores = rate / perCpuSecond / BUSY,
    day = rate * 86_400;
  const levels = 3; // a row is merged about three times until its block covers eight hours
  return [
    agents.toLocaleString("en"),
    round(rate),
    bytes(rate * GZIP_BYTES)
      .replace("MB", "MB/s")
      .replace("GB", "GB/s"),
    round(Math.max(0.1, cores)),
    round(Math.max(0.1, cores * REPLICAS)),
    round(Math.max(0.1, (day * rowsPerProfile * levels) / rowsPerCpuSecond / 86_400 / BUSY)),
    bytes(day * bytesStored * kept),
    bytes(day * bytesStored * kept * DAYS),
    bytes(rate * GZIP_BYTES * 86_400),
  ];
});
writeFileSync(
  join(root, "docs/sizing.md"),
  `# Sizing

Written by \`node tools/bench/sizing.ts\` from the benchmarks at commit ${commit}, ${date} ([benchmarks](benchmarks.md), [storage](benchmarks-storage.md)): change nothing here, measure again. Cores are those of the machine that the benchmarks name, half of them busy, so that a peak of twice the mean has room. An agent sends ${PROFILES} profiles every ${SECONDS} s, of ${Math.round(GZIP_BYTES / 1000)} kB compressed each, as the measured load does.

| agents | profiles a second | in | cores, single binary | cores of ingesters, ${REPLICAS} replicas | cores of compactors | a day in the bucket | ${DAYS} days | Kafka's topic, a day |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
${table.map((r) => `| ${r.join(" | ")} |`).join("\n")}

| from | value |
|---|---:|
| profiles taken in and made blocks, per CPU second | ${Math.round(perCpuSecond).toLocaleString("en")} |
| bytes in the bucket of a profile, before compaction | ${Math.round(bytesStored).toLocaleString("en")} |
| of these kept after compaction | ${Math.round(100 * kept)} % |
| rows a compaction merges and verifies, per CPU second | ${rowsPerCpuSecond.toLocaleString("en")} |
| rows of a profile (one for each sample type) | ${rowsPerProfile.toFixed(1)} |
| a question of the suite, CPU ms | ${Math.round((1000 * hot) / QUERIES)} |
| requests to the bucket of a flame graph over thirty days, cold | ${coldRequests} |

## How to read it

- **Direct writes.** Each of the ${REPLICAS} replicas decodes a push; distributors pass bytes on (their own CPU use is not measured yet). Give at least ${REPLICAS} ingesters, in ${REPLICAS} zones where there are such.
- **Through Kafka.** Distributors check the pushes, one ingester of each zone reads them: with two zones two thirds of the ingesters' cores above. The topic keeps what the last column says for each day of retention.
- **Memory.** \`-memory.limit-bytes\` is half of the container's memory by default and is shared out by the process; the page [running](operations/running.md#memory) has the shares for containers of 512 MiB to 64 GiB. Measured, an idle ingester takes 133 MB with one ingest and one query thread, 347 MB with 7 of each and 649 MB with 15; by default threads follow the container's CPUs, at most 7 of each. 1 GiB for each core of an ingester or store-gateway is where to start, by judgement rather than measurement. A compactor needs 512 MiB for blocks of any size.
- **Disk.** An ingester keeps its log (at most 256 MB to replay) and blocks until the bucket answers for them: a few hours of the column "in" at ${Math.round((100 * bytesStored) / GZIP_BYTES)} % of its size. A store-gateway's cache is what \`-blocks-storage.bucket-store.disk-cache-bytes\` says.
- **Requests.** A level-1 block is four objects and a meta; an hour of one ingester makes one for each tenant and ingest thread. Compactions read and write each block about three times on the way to eight hours.
- Replicas count only until the first compaction, which keeps one of each profile.
`,
);
