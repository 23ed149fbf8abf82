import { execFile, spawn } from "node:child_process";
import { symlinkSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "@cinderblock/testkit";
import { DirectoryInUse, lockDirectory } from "./index.ts";

const MODULE = resolve("libs/files/src/index.ts");
/** Node arguments for a script in a separate process that may lock a folder. */
const script = (text: string): string[] => [
  "--no-warnings",
  "--input-type=module",
  "-e",
  `import { lockDirectory } from ${JSON.stringify(MODULE)};\n${text}`,
];
const otherTakes = async (dir: string): Promise<string> =>
  (
    await promisify(execFile)(
      process.execPath,
      script(
        `try { lockDirectory(${JSON.stringify(dir)}, "-data"); console.log("taken"); } catch (err) { console.log(err.message); }`,
      ),
    )
  ).stdout.trim();

describe("the lock of a folder", () => {
  it("keeps other processes out until it is released, and names its owner", async () => {
    const dir = temporaryFolder(),
      lock = lockDirectory(dir, "-data");
    expect(await otherTakes(dir)).toMatch(
      new RegExp(
        `^${dir} is in use by process ${process.pid} on host ${hostname()}, started at \\S+; .*\\(-data\\)$`,
      ),
    );
    lock.release();
    expect(await otherTakes(dir)).toBe("taken");
  });

  it("keeps this process out too, also by another name of the folder", () => {
    const dir = temporaryFolder(),
      name = join(temporaryFolder(), "link");
    symlinkSync(dir, name);
    const lock = lockDirectory(dir, "-data");
    expect(() => lockDirectory(name, "-data")).toThrow(DirectoryInUse);
    lock.release();
    lockDirectory(name, "-data").release();
  });

  it("is released when its process is killed", async () => {
    const dir = temporaryFolder();
    const owner = spawn(
      process.execPath,
      script(
        `globalThis.lock = lockDirectory(${JSON.stringify(dir)}, "-data"); console.log("taken"); setInterval(() => {}, 1000);`,
      ),
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await new Promise((done) => owner.stdout.once("data", done));
    expect(() => lockDirectory(dir, "-data")).toThrow(`is in use by process ${owner.pid} on host`);
    owner.kill("SIGKILL");
    await new Promise((done) => owner.once("exit", done));
    lockDirectory(dir, "-data").release();
  });
});
