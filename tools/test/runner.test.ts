import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "@cinderblock/testkit";
import { type JestResult, runJest } from "./jest.ts";
import { NODE, ROOT } from "./root.ts";
import { runStep } from "./step.ts";
import { processes } from "./processes.ts";
import { sumOf } from "./totals.ts";

/** Suites that fail in different ways, and the runner's expected results. */
const SUITES = {
  sound: 'it("passes", () => expect(1).toBe(1));',
  broken: 'it("passes", () => undefined); it("fails", () => expect(1).toBe(2));',
  hangs: `
    it("fails first", () => expect(1).toBe(2));
    it("never ends", () => { for (;;); });`,
  "part-dies": `
    const { spawn } = require("node:child_process");
    it("asks a server that dies", async () => {
      const server = spawn(process.execPath, ["-e", "require('node:http').createServer((q, r) => r.end()).listen(0, '127.0.0.1', function () { console.log(this.address().port) })"]);
      const port = await new Promise((done) => server.stdout.once("data", (d) => done(Number(d))));
      expect((await fetch("http://127.0.0.1:" + port)).ok).toBe(true);
      server.kill("SIGKILL");
      await new Promise((done) => server.once("exit", done));
      expect((await fetch("http://127.0.0.1:" + port)).ok).toBe(true);
    });`,
  "leaves-process": `
    it("starts a process and forgets it", () => {
      require("node:child_process").spawn("sleep", ["60"], { stdio: "ignore" });
    });`,
  "leaves-file": `
    it("writes a file and forgets it", () => {
      require("node:fs").writeFileSync(require("node:path").join(require("node:os").tmpdir(), "forgotten"), "");
    });`,
  rejects:
    'it("forgets a promise", () => { void Promise.reject(new Error("forgotten")); }); it("b", () => undefined);',
  skipped:
    'describe.skip("a server [skipped: kafka: not on PATH]", () => { it("a", () => undefined); it("b", () => undefined); });',
  orphan: `
    it("starts a process that outlives its parent", () => {
      require("node:child_process").execFileSync("sh", ["-c", "sleep 60 >/dev/null 2>&1 &"]);
    });`,
  "keeps-jest": 'it("passes", () => { setInterval(() => undefined, 1000); });',
} as const;

async function run(
  names: readonly (keyof typeof SUITES)[],
  seconds = 60,
): Promise<JestResult & { output: string }> {
  const root = temporaryFolder(),
    output: string[] = [];
  writeFileSync(
    join(root, "jest.config.json"),
    JSON.stringify({
      testEnvironment: join(ROOT, "tools/jest-environment.ts"),
      reporters: [join(ROOT, "tools/jest-reporter.ts")],
      testMatch: ["**/*.suite.cjs"],
      cacheDirectory: join(root, "cache"),
      transform: {},
      waitForUnhandledRejections: true,
    }),
  );
  for (const name of names) writeFileSync(join(root, `${name}.suite.cjs`), SUITES[name]);
  const result = await runJest({
    config: join(root, "jest.config.json"),
    files: names.map((n) => `${n}.suite.cjs`),
    workers: 1,
    deadline: (file) => (file.startsWith("hangs") ? 3 : seconds),
    exitSeconds: 3,
    folder: root,
    run: (options) =>
      runStep({
        ...options,
        cwd: root,
        env: { ...process.env, TMPDIR: root, ...options.env },
        onLine: (line) => output.push(line),
      }),
  });
  return { ...result, output: output.join("\n") };
}

describe("the runner", () => {
  it("names every suite that fails, hangs, loses its part or leaves something behind, and runs the later suites", async () => {
    const { totals, output, files } = await run([
      "broken",
      "part-dies",
      "hangs",
      "leaves-process",
      "leaves-file",
      "rejects",
      "skipped",
      "sound",
    ]);
    expect(totals.failures.map((f) => f.split("\n")[0]).sort()).toEqual([
      "broken.suite.cjs: 1 failed",
      "hangs.suite.cjs: hangs.suite.cjs did not end within 3 s",
      "leaves-file.suite.cjs: 1 failed",
      "leaves-process.suite.cjs: 1 failed",
      "part-dies.suite.cjs: 1 failed",
      "rejects.suite.cjs: 1 failed",
    ]);
    // The end of a run repeats the name of each failed test and the beginning of its error.
    const hanging = totals.failures.find((f) => f.startsWith("hangs"));
    expect(hanging).toMatch(/\n {2}in: never ends\nfails first\n +Error: expect\(received\)/);
    const broken = totals.failures.find((f) => f.startsWith("broken"));
    expect(broken).toMatch(/^broken.*\n.+\n +Error: expect\(received\)/);
    expect([totals.passed, totals.failed, totals.skipped]).toEqual([5, 6, 2]);
    expect(files.map((f) => f.file)).not.toContain("hangs.suite.cjs");
    expect(output).toMatch(/left processes: \d+ sleep 60/);
    expect(output).toContain("left files in the temporary folder: forgotten");
    expect(output).toMatch(/^skip skipped\.suite\.cjs \(0 passed, 2 skipped/m);
    expect(output).toContain("skipped: kafka: not on PATH");
  }, 120_000);

  it("fails a suite whose process outlives Jest", async () => {
    const { totals } = await run(["orphan"]);
    expect(totals.failures).toEqual([expect.stringMatching(/^orphan.*: left processes: \d+ sleep 60$/)]);
  }, 60_000);

  it("ends if a suite keeps Jest from exiting, and reports it", async () => {
    const { totals } = await run(["keeps-jest"]);
    expect(totals.failures).toEqual([expect.stringMatching(/^keeps-jest.*: Jest did not exit/)]);
  }, 60_000);
});

/** Runs a program that uses a session, in a separate temporary folder. */
async function session(body: string): Promise<{ code: number; lines: string[]; left: string[] }> {
  const dir = temporaryFolder(),
    tmp = join(dir, "tmp"),
    program = join(dir, "program.mjs");
  mkdirSync(tmp);
  writeFileSync(
    program,
    `import { Session } from ${JSON.stringify(join(ROOT, "tools/test/session.ts"))};\n${body}`,
  );
  const env = { ...process.env, TMPDIR: tmp, CINDERBLOCK_TOTALS: join(dir, "totals") };
  const { code, stdout } = await promisify(execFile)(NODE, [program], { env }).then(
    (r) => ({ code: 0, ...r }),
    (err: { code: number; stdout: string }) => err,
  );
  expect(sumOf(env.CINDERBLOCK_TOTALS).commands).toBe(1);
  return { code, lines: stdout.trim().split("\n"), left: readdirSync(tmp) };
}

describe("a run", () => {
  it("counts its checks, and removes its temporary folder", async () => {
    const { code, lines, left } = await session(`
      const s = new Session(60_000);
      await s.check("writes a file", ["sh", "-c", "echo > $TMPDIR/x"]);
      await s.check("fails", ["sh", "-c", "echo because; exit 3"]);
      s.finish();`);
    expect([code, lines.at(-1), left]).toEqual([1, "1 passed, 1 failed, 0 skipped", []]);
    expect(lines).toEqual(expect.arrayContaining(["because", "  fails"]));
  }, 60_000);

  it("ends by its deadline when anything hangs, with the verdict as its last line", async () => {
    const { code, lines, left } = await session(`
      const s = new Session(1500);
      await s.check("hangs", ["sleep", "60"]);
      s.finish();`);
    expect([code, lines.at(-1), left]).toEqual([1, "0 passed, 1 failed, 0 skipped", []]);
    expect(lines).toContain("  no end after 1.5 s");
  }, 60_000);

  it("stops its steps with their detached processes, and removes its folder, when a signal ends it", async () => {
    const seconds = `6${process.pid}`,
      detached = `${NODE} -e 'require(\\"child_process\\").spawn(\\"sleep\\", [\\"${seconds}\\"], { detached: true })'`;
    const { code, lines, left } = await session(`
      const s = new Session(60_000);
      setTimeout(() => process.kill(process.pid, "SIGTERM"), 1000);
      await s.check("hangs", ["sh", "-c", "${detached} & sleep 60"]);`);
    expect([code, lines.at(-1), left]).toEqual([1, "0 passed, 1 failed, 0 skipped", []]);
    expect(lines).toContain("  stopped by SIGTERM");
    expect(processes().filter((p) => p.command.includes(seconds))).toEqual([]);
  }, 60_000);
});
