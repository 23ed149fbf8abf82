import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { describeWith, startProcess, tinyPprof } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";
import { until } from "./pusher.ts";

const HOUR = 3600_000;
const T0 = Math.floor(Date.now() / HOUR) * HOUR - HOUR / 2;
const FLAGS = ["-ingester.workers=2", "-pyroscopedb.log-segment-mb=1", "-pyroscopedb.disk-ballast-mb=1"];

/** A disk of a given size in megabytes, in a separate mount namespace that ends with the test file. */
class SmallDisk {
  /** mount path for the server */
  readonly path = folder();
  private readonly holder: number;

  constructor(megabytes: number) {
    const child = startProcess(
      "unshare",
      [
        "--mount",
        "sh",
        "-c",
        `mount -t tmpfs -o size=${megabytes}m tmpfs ${this.path} && touch ${this.path}/mounted && exec sleep 600`,
      ],
      { stdio: "ignore" },
    );
    this.holder = child.pid!;
  }

  /** Path of the same folder for this process. */
  get outside(): string {
    return `/proc/${this.holder}/root${this.path}`;
  }
  mounted(): Promise<void> {
    return until("the disk is mounted", () => Promise.resolve(existsSync(join(this.outside, "mounted"))));
  }

  /** A server in the mount namespace of this disk. */
  server(): Server {
    const s = new Server(),
      root = join(s.dir, "root"),
      program = join(root, "apps/cinderblock/bin/cinderblock");
    mkdirSync(dirname(program), { recursive: true });
    writeFileSync(
      program,
      `#!/bin/sh\nexec nsenter -t ${this.holder} -m "${resolve("apps/cinderblock/bin/cinderblock")}" "$@"\n`,
      { mode: 0o755 },
    );
    s.root = root;
    return s;
  }

  /** A file of another program that uses all free space. */
  fill(): void {
    spawnSync("dd", ["if=/dev/zero", `of=${this.outside}/filler`, "bs=64k"]);
    spawnSync("dd", ["if=/dev/zero", `of=${this.outside}/filler`, "bs=1", "oflag=append", "conv=notrunc"]);
  }
  empty(): void {
    rmSync(join(this.outside, "filler"), { force: true });
  }
}

/** Pushes with unique values: afterwards each acknowledged push exists exactly once. */
class Pushes {
  readonly acknowledged = new Map<string, number>();
  readonly sent = new Map<string, number>();
  readonly refusals: string[] = [];
  private readonly server: Server;
  constructor(server: Server) {
    this.server = server;
  }

  /** @returns HTTP status; 0: the server ended */
  async one(functions = 300): Promise<number> {
    const n = this.sent.size + 1,
      id = String(n);
    this.sent.set(id, 1000 + n);
    const stacks = Array.from({ length: functions }, (_, k) => ({
      frames: ["main", `function_${n}_${k}_${"x".repeat(20)}`],
      values: [0],
    }));
    const raw = gzipSync(
      tinyPprof({
        stacks: [{ frames: ["main"], values: [1000 + n] }, ...stacks],
        timeNanos: BigInt(T0 + n) * 1_000_000n,
      }),
    );
    const labels = [
      { name: "__name__", value: "process_cpu" },
      { name: "service_name", value: `s${n % 4}` },
      { name: "id", value: id },
    ];
    const { status, body } = await this.server.json("/push.v1.PusherService/Push", {
      series: [{ labels, samples: [{ rawProfile: raw.toString("base64") }] }],
    });
    if (status === 200) this.acknowledged.set(id, 1000 + n);
    else this.refusals.push(`${status} ${String(body.message)}`);
    return status;
  }

  /** Checks that the answer has every acknowledged profile, and only sent profiles. */
  async check(): Promise<void> {
    const sums = await this.server.sums(["id"], CPU, T0 - HOUR, T0 + HOUR);
    for (const [id, value] of this.acknowledged) expect([id, sums.get(id)]).toEqual([id, value]);
    for (const [id, value] of sums) expect([id, value]).toEqual([id, this.sent.get(id)]);
  }
}

describeWith(["small-disk"], "a server on a disk that fills", () => {
  for (const [place, bucket] of [
    ["elsewhere", undefined],
    ["on the same disk", "bucket"],
  ] as const)
    it(`continues with its bucket ${place}, refuses pushes, loses nothing, and starts on the full disk`, async () => {
      const disk = new SmallDisk(32);
      await disk.mounted();
      const server = disk.server(),
        pushes = new Pushes(server);
      const flags = [
        ...FLAGS,
        `-pyroscopedb.data-path=${disk.path}/db`,
        ...(bucket === undefined ? [] : [`-storage.filesystem.dir=${disk.path}/${bucket}`]),
      ];
      await server.start(...flags);
      for (let i = 0; i < 40; i++) await pushes.one();
      // Pushes more than the disk can hold, as fast as possible.
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          for (let i = 0; i < 60; i++) await pushes.one(600);
        }),
      );
      expect(server.child?.exitCode).toBeNull();
      expect(pushes.acknowledged.size).toBeGreaterThan(40);
      await pushes.check();

      // Another program uses the remaining space faster than the ingester checks.
      disk.fill();
      for (let i = 0; i < 30; i++) await pushes.one();
      // The other program also uses space that the server frees meanwhile by cuts and uploads.
      await until("pushes are refused", async () => {
        disk.fill();
        return (await pushes.one()) === 429;
      });
      expect(pushes.refusals.at(-1)).toMatch(/disk of .* (free bytes|does not accept writes)/);
      expect(server.child?.exitCode).toBeNull();
      await server.flush();
      await pushes.check();

      await server.stop("SIGKILL");
      await server.start(...flags);
      await pushes.check();
      // The start freed some space, and another program uses it at once.
      await until("pushes are refused", async () => {
        disk.fill();
        return (await pushes.one()) === 429;
      });
      await pushes.check();

      disk.empty();
      await until("pushes are taken again", async () => (await pushes.one()) === 200);
      await server.flush();
      await pushes.check();
      expect(await server.stop()).toBe(0);
      await server.start(...flags);
      await pushes.check();
      await server.stop();
    }, 120_000);
});
