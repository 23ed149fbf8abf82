import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/** The steps of docs/operations/backing-up.md. */
describe("a copy of the bucket", () => {
  it("taken during pushes and compactions is a backup", async () => {
    const s = new Server();
    await s.start(
      "-pyroscopedb.ship-interval=200ms",
      "-blocks-storage.bucket-store.sync-interval=300ms",
      "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
      "-compactor.block-ranges=1h,2h",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
      "-compactor.cleanup-interval=300ms",
      "-compactor.deletion-delay=1h",
    );
    const early = new Pusher(() => [s], 2);
    for (let i = 0; i < 4; i++) {
      await settle(400);
      await s.flush();
    }
    await early.stop();
    const shipped = async (): Promise<boolean> =>
      Number(
        /^cinderblock_ingester_unshipped_bytes (\d+)/m.exec(
          await (await fetch(`${s.url}/metrics`)).text(),
        )![1],
      ) === 0;
    await s.flush();
    await until("early profiles are in the bucket", shipped);
    // Copies file by file while new files appear and compactions run.
    const late = new Pusher(() => [s], 2, early.start + 1_500_000);
    const flushes = (async () => {
      for (let i = 0; i < 5; i++) {
        await s.flush();
        await settle(200);
      }
    })();
    const copy = new Server(folder()),
      bucket = join(copy.dir, "bucket");
    for (let tries = 0; ; tries++) {
      // A rename during the copy fails it: repeat the copy, where rsync and rclone would continue with the
      // next file.
      try {
        cpSync(join(s.dir, "bucket"), bucket, { recursive: true, force: true });
        break;
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== "ENOENT" || tries > 20) throw err;
      }
    }
    await flushes;
    await late.stop();
    await s.stop("SIGKILL");
    const cli = (...args: string[]): string =>
      execFileSync("apps/cli/bin/cinderblock-cli", [...args, `-storage.filesystem.dir=${bucket}`], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
    cli("index", "rebuild");
    cli("blocks", "verify"); // exit code 0: no damage
    await copy.start("-compactor.enabled=false");
    const t = await total(copy, early);
    expect([t.status, t.partial]).toEqual([200, ""]);
    expect(t.sum).toBeGreaterThanOrEqual(early.acknowledged.size);
    expect(t.sum).toBeLessThanOrEqual(early.begun);
    expect(await copy.stop()).toBe(0);
  }, 120_000);
});
