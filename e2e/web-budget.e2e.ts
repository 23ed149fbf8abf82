import { spawnSync } from "node:child_process";
import { chromium, describeWith } from "@cinderblock/testkit";

// What the web UI may cost (docs/benchmarks-web.md), in a browser without a GPU: the best of three looks at each figure, measured
// against how fast this machine fills a canvas, with half as much again for what shares its cores. Sizes are the build's to check.
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
