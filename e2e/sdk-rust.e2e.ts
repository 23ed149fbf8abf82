import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { installing, missing, PARTS } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";

// A file of its own: the crate and what it needs take minutes to build, once (`npm run test:long`).
const CRATE = "2.1.5",
  PROGRAM = `
use pyroscope::backend::{pprof_backend, BackendConfig, PprofConfig};
use pyroscope::pyroscope::PyroscopeAgentBuilder;
use std::time::{Duration, Instant};

#[inline(never)]
fn burn_cpu_in_rust(until: Instant) -> f64 {
    let mut x = 0.0f64;
    while Instant::now() < until { for i in 0..1000 { x += std::hint::black_box(i as f64).sqrt(); } }
    x
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("URL")?;
    let agent = PyroscopeAgentBuilder::new(url, "sdk.rust", 100, "pyroscope-rs", "0.1.0", pprof_backend(PprofConfig::default(), BackendConfig::default()))
        .tags(vec![("lang", "rust")])
        .build()?;
    let running = agent.start()?;
    println!("{}", burn_cpu_in_rust(Instant::now() + Duration::from_secs(14)));
    running.stop()?.shutdown();
    Ok(())
}
`;

/** The program, built once; undefined where it cannot be. */
function built(): Promise<string | undefined> {
  const path = join(PARTS, `rust-sdk-${CRATE}`);
  if (existsSync(path)) return Promise.resolve(path);
  return installing(() => {
    if (existsSync(path)) return Promise.resolve(path);
    process.stderr.write(`building a program with the crate pyroscope ${CRATE} (some minutes)\n`);
    const dir = folder();
    mkdirSync(join(dir, "src"));
    writeFileSync(
      join(dir, "Cargo.toml"),
      `[package]\nname = "agent"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\npyroscope = { version = "=${CRATE}", features = ["backend-pprof-rs"] }\n\n[profile.dev]\ndebug = 1\n`,
    );
    writeFileSync(join(dir, "src/main.rs"), PROGRAM);
    const r = spawnSync("cargo", ["build", "-j", "2"], {
      cwd: dir,
      encoding: "utf8",
      timeout: 1_000_000,
      maxBuffer: 1 << 26,
    });
    if (r.status !== 0)
      return Promise.resolve(
        missing("a program with the crate pyroscope (cargo)", (r.error?.message ?? r.stderr).slice(-600)),
      );
    copyFileSync(join(dir, "target/debug/agent"), path);
    rmSync(dir, { recursive: true, force: true });
    return Promise.resolve(path);
  });
}

it("Rust: the crate pyroscope with pprof-rs", async () => {
  const program = await built();
  if (program === undefined) return;
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
