import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CPU, folder, Server } from "./server.ts";

/** Programs that use the published SDKs push to the server; their functions are found by name in the flame graph. */
const work = folder();

function sh(command: string, cwd: string, env: Record<string, string> = {}): { ok: boolean; output: string } {
  const r = spawnSync("bash", ["-c", command], { cwd, env: { ...process.env, NODE_OPTIONS: "", ...env }, encoding: "utf8", timeout: 300_000 });
  return { ok: r.status === 0, output: `${r.stdout}\n${r.stderr}` };
}

/** Installs a client; where it cannot be installed the test says so, and in CI it fails. */
function install(name: string, command: string, cwd: string): boolean {
  mkdirSync(cwd, { recursive: true });
  const { ok, output } = sh(command, cwd);
  if (ok) return true;
  if (process.env.CI === "true") throw new Error(`${name} could not be installed: ${output.slice(-1500)}`);
  process.stderr.write(`NOTE: ${name} could not be installed; its test is left out\n`);
  return false;
}

describe("published SDKs", () => {
  const server = new Server();
  beforeAll(() => server.start("-validation.reject-older-than=1h", "-querier.max-query-lookback=7d", "-querier.max-query-length=24h"));
  afterAll(() => server.stop());
  const range = (): [number, number] => [Date.now() - 600_000, Date.now() + 60_000];

  it("Node: @pyroscope/nodejs", async () => {
    const dir = join(work, "node");
    if (!install("@pyroscope/nodejs", "npm init -y >/dev/null && npm i --no-audit --no-fund @pyroscope/nodejs@0.6.4", dir)) return;
    writeFileSync(join(dir, "main.cjs"), `
      const P = require("@pyroscope/nodejs");
      P.init({ serverAddress: process.env.URL, appName: "sdk.node", flushIntervalMs: 2000, tags: { lang: "node" }, wall: { collectCpuTime: true } });
      P.start();
      function burnCpuInNode() { let x = 0; const t = Date.now(); while (Date.now() - t < 40) x += Math.sqrt(x + 1); return x; }
      const end = Date.now() + 6000;
      (function slice() { burnCpuInNode(); if (Date.now() < end) setImmediate(slice); else P.stop().then(() => process.exit(0)); })();
    `);
    const { ok, output } = sh("node main.cjs", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions("wall:wall:nanoseconds:wall:nanoseconds", ...range(), '{service_name="sdk.node"}');
    expect(names.some((n) => n.includes("burnCpuInNode"))).toBe(true);
  }, 120_000);

  it("Python: pyroscope-io", async () => {
    const dir = join(work, "python");
    if (!install("pyroscope-io", "python3 -m venv v && v/bin/pip -q install pyroscope-io==1.4.0", dir)) return;
    writeFileSync(join(dir, "main.py"), `
import os, time, pyroscope
pyroscope.configure(application_name="sdk.py", server_address=os.environ["URL"], sample_rate=100, tags={"lang": "py"})
def burn_cpu_in_python(t):
    x = 0
    while time.time() < t: x += 1
burn_cpu_in_python(time.time() + 14)
pyroscope.shutdown()
`);
    const { ok, output } = sh("v/bin/python main.py", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.py"}');
    expect(names.some((n) => n.includes("burn_cpu_in_python"))).toBe(true);
  }, 120_000);

  it("Go: github.com/grafana/pyroscope-go", async () => {
    const dir = join(work, "go");
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "main.go"), `package main

import (
	"os"
	"time"

	"github.com/grafana/pyroscope-go"
)

//go:noinline
func burnCpuInGo(d time.Duration) (x int) {
	for t := time.Now(); time.Since(t) < d; {
		for i := 0; i < 1e5; i++ {
			x += i * i
		}
	}
	return
}

func main() {
	p, err := pyroscope.Start(pyroscope.Config{ApplicationName: "sdk.go", ServerAddress: os.Getenv("URL"), UploadRate: 3 * time.Second,
		Tags: map[string]string{"lang": "go"}, ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileAllocSpace, pyroscope.ProfileGoroutines}})
	if err != nil {
		panic(err)
	}
	burnCpuInGo(8 * time.Second)
	p.Stop()
}
`);
    if (!install("pyroscope-go", "export GOFLAGS=-mod=mod && go mod init sdk >/dev/null 2>&1; go get github.com/grafana/pyroscope-go@v1.4.3 && go build -o sdk .", dir)) return;
    const { ok, output } = sh("./sdk", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.go"}');
    expect(names.some((n) => n.includes("burnCpuInGo"))).toBe(true);
    const types = await server.json("/querier.v1.QuerierService/ProfileTypes", { start: String(range()[0]), end: String(range()[1]) });
    expect(JSON.stringify(types.body)).toContain("goroutines");
  }, 300_000);
});
