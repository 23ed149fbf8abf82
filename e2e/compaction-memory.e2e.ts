import { execFileSync } from "node:child_process";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describeWith } from "@cinderblock/testkit";
import { Oracle } from "./oracle.ts";
import { folder } from "./server.ts";

const oracle = new Oracle();

/**
 * A compaction streams: its memory does not grow with the blocks. docs/benchmarks-storage.md uses two
 * gigabytes; this test uses a twentieth of that, under the same limit.
 */
describeWith(["shared-testdata"], "memory of a compaction", () => {
  it("merges a hundred megabytes of source blocks below 512 MiB, and the last tenth needs no more memory than the second", () => {
    const bucket = folder(),
      blocks = join(bucket, "anonymous/phlaredb"),
      work = folder();
    cpSync(join(oracle.data!, "buckets/ingester"), bucket, { recursive: true });
    execFileSync("chmod", ["-R", "u+w", bucket]);
    const cli = (...args: string[]): string =>
      execFileSync("apps/cli/bin/cinderblock-cli", [...args, `-storage.filesystem.dir=${bucket}`], {
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
    const run = (make: string): string =>
      execFileSync(
        process.execPath,
        [
          "--no-warnings",
          "--max-semi-space-size=4",
          "tools/bench/large-blocks.ts",
          template,
          work,
          "12",
          "20",
          "49",
        ],
        {
          encoding: "utf8",
          env: { ...process.env, MAKE: make, MALLOC_ARENA_MAX: "2" },
          stdio: ["ignore", "pipe", "ignore"],
        },
      );
    run("1");
    const { inBytes, rows, peakMib, curve } = JSON.parse(run("")) as {
      inBytes: number;
      rows: number;
      peakMib: number;
      curve: [number, number][];
    };
    expect(inBytes).toBeGreaterThan(90e6);
    expect(rows).toBeGreaterThan(10_000);
    expect(peakMib).toBeLessThan(512);
    expect(curve.at(-1)![1]).toBeLessThan(curve[1]![1] + 128);
  }, 120_000);
});
