// Compacts all blocks of a tenant into one, in this process. Prints figures as JSON:
// node tools/bench/compaction.ts <tenant folder> <work folder> <memory MiB>
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { decodeMeta, isUlid } from "@cinderblock/block-meta";
import { compactBlocks, verifyBlock } from "@cinderblock/compact";
import { filesIn } from "./block-files.ts";

const [tenant, workDir, memoryMib] = process.argv.slice(2) as [string, string, string];

const blocks = readdirSync(tenant)
  .filter(isUlid)
  .map((u) => ({
    meta: decodeMeta(readFileSync(join(tenant, u, "meta.json"))),
    files: filesIn(join(tenant, u)),
  }));
const bytesOf = (metas: readonly { files: readonly { sizeBytes: number }[] }[]): number =>
  metas.reduce((n, m) => n + m.files.reduce((s, f) => s + f.sizeBytes, 0), 0);
const seconds = (since: NodeJS.CpuUsage): number => {
  const c = process.cpuUsage(since);
  return (c.user + c.system) / 1e6;
};

const before = process.memoryUsage().rss,
  started = process.cpuUsage();
const { outputs, rows } = await compactBlocks(blocks, {
  shards: 0,
  splitBy: "fingerprint",
  downsample: false,
  memoryBytes: Number(memoryMib) << 20,
  workDir,
});
const compactSeconds = seconds(started),
  peak = process.resourceUsage().maxRSS * 1024,
  verifying = process.cpuUsage();
for (const o of outputs) await verifyBlock(o.meta, filesIn(o.dir));
process.stdout.write(
  JSON.stringify({
    blocks: blocks.length,
    rows,
    inBytes: bytesOf(blocks.map((b) => b.meta)),
    outBytes: bytesOf(outputs.map((o) => o.meta)),
    compactSeconds,
    verifySeconds: seconds(verifying),
    startBytes: before,
    peakBytes: peak,
  }),
);
rmSync(workDir, { recursive: true, force: true });
