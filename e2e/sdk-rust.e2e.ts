import { spawnSync } from "node:child_process";
import { describeWith, part } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";

describeWith(["sdk-rust"], "published SDKs", () => {
  it("Rust: the crate pyroscope with pprof-rs", async () => {
    const program = part("sdk-rust");
    const server = new Server();
    await server.start("-validation.reject-older-than=1h");
    const r = spawnSync(program, {
      env: { ...process.env, URL: server.url },
      encoding: "utf8",
      timeout: 60_000,
    });
    expect([r.status, r.stderr]).toEqual([0, ""]);
    const range: [number, number] = [Date.now() - 120_000, Date.now() + 60_000];
    expect(
      (await server.functions(CPU, ...range, '{service_name="sdk.rust",lang="rust"}')).some((n) =>
        n.includes("burn_cpu_in_rust"),
      ),
    ).toBe(true);
    await server.stop();
  });
});
