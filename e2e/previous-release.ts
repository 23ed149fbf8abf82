import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { installing, missing, PARTS } from "@cinderblock/testkit";

const { commit } = JSON.parse(readFileSync(join(import.meta.dirname, "previous-release.json"), "utf8")) as {
  commit: string;
};

/** The folder of the release before this one, built from the history; undefined where there is no history. */
export async function previousRelease(): Promise<string | undefined> {
  const home = join(PARTS, `release-${commit}`);
  const built = (): boolean => existsSync(join(home, "dist/cinderblock/main.mjs"));
  if (built()) return home;
  return installing(() => {
    if (built()) return Promise.resolve(home);
    const making = `${home}.making`;
    try {
      rmSync(making, { recursive: true, force: true });
      mkdirSync(making, { recursive: true });
      process.stderr.write(`building the release before, ${commit} (some seconds)\n`);
      execFileSync("sh", ["-c", `git archive ${commit} | tar x -C ${making}`], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      // What it is built with is what is installed here; its own packages are its own.
      const modules = resolve("node_modules");
      mkdirSync(join(making, "node_modules/@cinderblock"), { recursive: true });
      for (const name of readdirSync(modules))
        if (name !== "@cinderblock" && !name.startsWith(".package"))
          symlinkSync(join(modules, name), join(making, "node_modules", name));
      for (const part of ["apps", "libs"]) {
        for (const name of readdirSync(join(making, part))) {
          const file = join(making, part, name, "package.json");
          if (!existsSync(file)) continue;
          const own = (JSON.parse(readFileSync(file, "utf8")) as { name: string }).name;
          symlinkSync(join(making, part, name), join(making, "node_modules", own));
        }
      }
      // Jest says "test" here, and the web UI would be built with React's checks, larger than it may be.
      const { scripts } = JSON.parse(readFileSync(join(making, "package.json"), "utf8")) as {
        scripts: { build: string };
      };
      execFileSync("sh", ["-c", scripts.build], {
        cwd: making,
        stdio: ["ignore", "ignore", "pipe"],
        env: {
          ...process.env,
          NODE_ENV: "production",
          PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
        },
      });
      rmSync(home, { recursive: true, force: true });
      renameSync(making, home);
      // Links to the folder's former name.
      for (const name of readdirSync(join(home, "node_modules/@cinderblock")))
        rmSync(join(home, "node_modules/@cinderblock", name));
      return Promise.resolve(home);
    } catch (err) {
      return Promise.resolve(
        missing(
          "the release before this one (git and the history of this repository)",
          String((err as { stderr?: Buffer }).stderr ?? (err as Error).message).slice(0, 400),
        ),
      );
    }
  });
}
