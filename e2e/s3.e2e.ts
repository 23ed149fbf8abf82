import { cpSync, rmSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describeWith, type S3Server, startS3Server } from "@cinderblock/testkit";
import { Oracle } from "./oracle.ts";
import { Server } from "./server.ts";

const oracle = new Oracle();
let s3: S3Server;

const flags = (bucket: string): string[] => [
  "-storage.backend=s3",
  `-storage.s3.endpoint=${s3.endpoint}`,
  "-storage.s3.insecure=true",
  `-storage.s3.bucket-name=${bucket}`,
  `-storage.s3.access-key-id=${s3.accessKeyId}`,
  `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
];

describeWith(["s3", "oracle"], "a bucket on an S3 server", () => {
  beforeAll(async () => {
    s3 = await startS3Server(["blocks", "taken-over"]);
  }, 60_000);

  it("receives the blocks, and answers from them alone as the head did", async () => {
    const server = new Server();
    await server.start(...flags("blocks"), "-storage.prefix=team/profiles");
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(await oracle.push(server, base)).toContain("1040 profiles");
    const head = await oracle.ask(server, base, "s3-head");
    await server.flush();
    await server.stop();
    rmSync(join(server.dir, "db"), { recursive: true });
    await server.start(...flags("blocks"), "-storage.prefix=team/profiles");
    const { differ } = await oracle.compare(
      head,
      await oracle.ask(server, base, "s3-bucket"),
      "-tolerance",
      "0",
    );
    await server.stop();
    expect(differ.filter((d) => !d.startsWith("analyze."))).toEqual([]);
  });

  it("with v1's blocks is taken over: read, compacted, its blocks deleted, with v1's answers throughout", async () => {
    cpSync(join(oracle.data!, "buckets/ingester"), join(s3.directory, "taken-over"), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", join(s3.directory, "taken-over")]);
    const server = new Server();
    await server.start(...flags("taken-over"), "-compactor.enabled=false");
    await oracle.expectBucketAnswers(server, "s3-v1");
    await server.stop();
    await server.start(
      ...flags("taken-over"),
      "-pyroscopedb.max-block-duration=5m",
      "-compactor.block-ranges=5m,10m,20m",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
      "-compactor.cleanup-interval=300ms",
      "-compactor.deletion-delay=0s",
      "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
      "-blocks-storage.bucket-store.sync-interval=300ms",
    );
    for (let i = 0; i < 100 && !/msg="block deleted"/.test(server.log()); i++)
      await new Promise((r) => {
        setTimeout(r, 200);
      });
    await oracle.expectBucketAnswers(server, "s3-compacted");
    expect(server.log()).toMatch(/msg="blocks compacted"/);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(
      /objstore_bucket_operations_total\{bucket="taken-over",operation="get_range"\} [1-9]/,
    );
    await server.stop();
  });

  it("that is unreachable: pushes are accepted and found, the blocks are uploaded when it is back", async () => {
    const server = new Server();
    await server.start(...flags("blocks"), "-storage.prefix=away", "-pyroscopedb.ship-interval=500ms");
    s3.stop();
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(await oracle.push(server, base)).toContain("1040 profiles");
    await server.flush();
    const local = await oracle.ask(server, base, "s3-away");
    await s3.restart();
    for (let i = 0; i < 100 && !/msg="block uploaded"/.test(server.log()); i++)
      await new Promise((r) => {
        setTimeout(r, 200);
      });
    expect(server.log()).toMatch(/msg="block upload failed, retrying"/);
    expect(server.log()).toMatch(/msg="block uploaded"/);
    const { differ } = await oracle.compare(
      local,
      await oracle.ask(server, base, "s3-back"),
      "-tolerance",
      "0",
    );
    expect(differ.filter((d) => !d.startsWith("analyze."))).toEqual([]);
    await server.stop();
  });
});
