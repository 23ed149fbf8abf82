import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");

/** Lints one file that a project would not be allowed to have, with the project graph, as `nx lint` does. */
function lint(project: string, code: string): string {
  const file = join(root, project, "src", "deliberate-mistake.ts");
  writeFileSync(file, code);
  try {
    execFileSync(process.execPath, [join(root, "node_modules/eslint/bin/eslint.js"), "--no-cache", file], {
      cwd: root,
      env: { ...process.env, NX_DAEMON: "false", NODE_OPTIONS: "" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    return "";
  } catch (err) {
    const { stdout, stderr, message } = err as Error & { stdout?: Buffer; stderr?: Buffer };
    return stdout === undefined ? `eslint could not be started: ${message}` : String(stdout) + String(stderr);
  } finally {
    rmSync(file);
  }
}

describe("module boundaries", () => {
  it("refuse a format that imports the platform", () => {
    expect(
      lint(
        "libs/pprof",
        'import { createLogger } from "@cinderblock/telemetry";\nexport const x = createLogger;\n',
      ),
    ).toContain("@nx/enforce-module-boundaries");
  }, 60_000);
  it("refuse a component that imports another", () => {
    expect(
      lint(
        "apps/querier",
        'import { Distributor } from "@cinderblock/distributor";\nexport const x = Distributor;\n',
      ),
    ).toContain("@nx/enforce-module-boundaries");
  }, 60_000);
  it("refuse a vendor's client outside its door", () => {
    expect(lint("libs/head", 'import Fastify from "fastify";\nexport const x = Fastify;\n')).toContain(
      "@nx/enforce-module-boundaries",
    );
  }, 60_000);
  it("accept what points downwards", () => {
    expect(
      lint("libs/head", 'import { crc32c } from "@cinderblock/bytes";\nexport const x = crc32c;\n'),
    ).toBe("");
  }, 60_000);
});
