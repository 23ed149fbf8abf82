import { spawnSync } from "node:child_process";
import { chromium, describeWith } from "@cinderblock/testkit";

// Performance budget of the web UI (docs/benchmarks-web.md), in a browser without a GPU: the best of three
// measurements, relative to this machine's speed of filling a canvas, plus half for other load. The build
// checks sizes.
describeWith(["chromium"], "budget of the web UI", () => {
  it("the web UI is within its budget: frames, blocking, first picture, memory", () => {
    const CHROMIUM = chromium();
    const { status, stdout, stderr } = spawnSync(process.execPath, ["tools/bench/web.ts", "--gate"], {
      encoding: "utf8",
      env: { ...process.env, CHROMIUM },
      timeout: 300_000,
    });
    expect([status, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining("all within")]);
  }, 320_000);
});
