import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeWith } from "@cinderblock/testkit";
import { BUCKET_BASE, Oracle } from "./oracle.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

/**
 * Runs the steps of docs/operations/moving-in.md with the page's commands. No Pyroscope v1 runs here: the
 * test uploads the blocks of v1's ingesters like v1's shipper, meta.json last.
 */
const oracle = new Oracle(),
  PAGE = readFileSync("docs/operations/moving-in.md", "utf8");

/** Arguments of a command of the page: of its only line with the given beginning. */
function command(begin: string): string[] {
  const lines = [...PAGE.matchAll(/(?:^ {4}|`)([^`\n]+)/gm)]
    .map((m) => m[1]!)
    .filter((l) => l.startsWith(begin));
  expect(lines).toHaveLength(1);
  return lines[0]!.split(" ").slice(1);
}

/** Path and content hash of each file. */
function contents(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((f) => statSync(join(dir, f)).isFile())
    .sort()
    .map(
      (f) =>
        `${f} ${createHash("sha256")
          .update(readFileSync(join(dir, f)))
          .digest("hex")}`,
    );
}

describeWith(["oracle"], "moving in from Pyroscope v1, and back", () => {
  const shared = folder(),
    bucket = join(shared, "v1-bucket"),
    blocks = join(bucket, "anonymous/phlaredb"),
    config = join(shared, "pyroscope.yaml");
  const shipped = oracle.ready ? join(oracle.data!, "buckets/ingester/anonymous/phlaredb") : "",
    all = oracle.ready ? readdirSync(shipped).sort() : [];
  const ship = (ulid: string): void => {
    const to = join(blocks, ulid);
    mkdirSync(to, { recursive: true });
    for (const f of readdirSync(join(shipped, ulid)).sort(
      (a, b) => Number(a === "meta.json") - Number(b === "meta.json"),
    ))
      cpSync(join(shipped, ulid, f), join(to, f), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", to]);
  };
  // The configuration of v1's operator; its limits allow queries about the recorded days.
  writeFileSync(
    config,
    `target: all\nstorage: { backend: filesystem, filesystem: { dir: ${bucket} } }\nanalytics: { reporting_enabled: false }\nmemberlist: { join_members: [pyroscope-0] }\nlimits: { max_query_lookback: 0s, max_query_length: 0s, reject_older_than: 0s }\n`,
  );

  /**
   * A server started with the page's command, with paths and intervals of this test, with a separate port.
   */
  function start(server: Server, ...flags: string[]): Promise<void> {
    const own: Record<string, string> = {
      "-config.file": config,
      "-pyroscopedb.data-path": join(server.dir, "db"),
    };
    const told = flags
      .filter((f) => !f.startsWith("-server.http-listen-port="))
      .map((f) => {
        const [name, value] = f.split("=") as [string, string];
        return `${name}=${own[name] ?? value}`;
      });
    return server.start(
      ...told,
      `-storage.filesystem.dir=${bucket}`,
      "-blocks-storage.bucket-store.sync-interval=300ms",
      "-pyroscopedb.max-block-duration=5m",
      "-compactor.block-ranges=5m,10m,20m",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
    );
  }
  // The server may still be reading the bucket; the last comparison reports the differences.
  const answers = async (server: Server, name: string): Promise<void> => {
    await until(
      `v1's answers: ${name}`,
      async () => {
        await oracle.expectBucketAnswers(server, name);
        return true;
      },
      30_000,
    ).catch(() => oracle.expectBucketAnswers(server, name));
  };
  const cli = (...args: string[]): string => {
    const r = spawnSync(
      resolve("apps/cli/bin/cinderblock-cli"),
      [...args, `-storage.filesystem.dir=${bucket}`],
      { encoding: "utf8" },
    );
    expect([r.status, r.stderr]).toEqual([0, ""]);
    return r.stdout;
  };
  const ours = new Server();
  let pusher: Pusher | undefined;
  const pushed = async (): Promise<number> =>
    (await total(ours, pusher!, { "x-read-consistency": "strong" })).sum;

  it("1. reads first: answers are v1's, every block is complete, and the bucket does not change", async () => {
    for (const ulid of all) ship(ulid);
    const before = contents(bucket);
    await start(ours, ...command("cinderblock -config.file"));
    await answers(ours, "look");
    expect(await (await fetch(`${ours.url}/store-gateway/tenants`)).text()).toContain("anonymous");
    expect(cli(...command("cinderblock-cli blocks verify").slice(0, 2)).match(/ sound$/gm)).toHaveLength(
      all.length,
    );
    await settle(1500); // several rounds of all background loops
    expect(contents(bucket)).toEqual(before);
    expect(ours.log()).toMatch(/configuration keys have no effect" keys=memberlist.join_members reason=/);
    await ours.stop();
    expect(contents(bucket)).toEqual(before);
  }, 120_000);

  it("2. and 3. moves writes and reads: data in v1's ingesters appears after its upload", async () => {
    // The bucket while v1 runs: the newest blocks are still in v1's ingesters.
    const late = all.slice(-3);
    for (const ulid of late) execFileSync("rm", ["-r", join(blocks, ulid)]);
    await start(ours, ...command("cinderblock -config.file"));
    pusher = new Pusher(() => [ours], 2, Date.now() - 60_000);
    await until("it knows the bucket", async () =>
      (await (await fetch(`${ours.url}/store-gateway/tenants`)).text()).includes("anonymous"),
    );
    expect(
      oracle.surprising(
        (
          await oracle.compare(
            join(oracle.data!, "answers/compacted"),
            await oracle.ask(ours, BUCKET_BASE, "some"),
          )
        ).differ,
      ),
    ).not.toEqual([]);
    for (const ulid of late) {
      ship(ulid);
      await settle(300);
    }
    await answers(ours, "shipped");
    await pusher.stop();
    expect(await pushed()).toBe(pusher.acknowledged.size);
    // No compaction happened: only v1's compactor is enabled.
    for (const ulid of all)
      expect(readdirSync(join(blocks, ulid)).some((f) => f.includes("deletion-mark"))).toBe(false);
  }, 180_000);

  it("4. moves compaction: our compactor merges v1's blocks and its own, and every answer stays", async () => {
    await ours.stop();
    await start(ours, ...command("cinderblock -config.file").filter((f) => f !== "-compactor.enabled=false"));
    const level = (): number =>
      Math.max(
        ...readdirSync(blocks)
          .filter((n) => n.length === 26)
          .map((n) => {
            try {
              return (
                JSON.parse(readFileSync(join(blocks, n, "meta.json"), "utf8")) as {
                  compaction: { level: number };
                }
              ).compaction.level;
            } catch {
              return 0; /* being uploaded */
            }
          }),
      );
    await until("v1's blocks are compacted", () => Promise.resolve(level() >= 3), 60_000);
    await settle(2000);
    await answers(ours, "compacted");
    expect(await pushed()).toBe(pusher!.acknowledged.size);
  }, 180_000);

  it("moves back: the bucket has only v1's files, and another reader finds all data", async () => {
    expect(PAGE).toContain(
      "curl -X POST -H 'content-type: application/json' -d '{}' http://<v1 ingester>:4040/ingester.v1.IngesterService/Flush",
    );
    const r = await fetch(`${ours.url}/ingester.v1.IngesterService/Flush`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(r.status).toBe(200);
    await ours.stop();
    const files = new Set(
      contents(bucket).map((l) => l.split(" ")[0]!.replace(/[0-9A-HJKMNP-TV-Z]{26}/g, "<block>")),
    );
    const V1 =
      /^anonymous\/phlaredb\/(bucket-index\.json\.gz|markers\/<block>-(deletion|no-compact)-mark\.json|<block>\/(index\.tsdb|meta\.json|deletion-mark\.json|profiles(_5m_sum|_1h_sum)?\.parquet|symbols\.symdb|symbols\/\w+\.(parquet|symdb)))$/;
    expect([...files].filter((f) => !V1.test(f))).toEqual([]);
    const after = new Server();
    await start(after, ...command("cinderblock -config.file"));
    await answers(after, "back");
    expect((await total(after, pusher!)).sum).toBe(pusher!.acknowledged.size);
    await after.stop();
  }, 180_000);
});
