import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeWith } from "@cinderblock/testkit";
import { Oracle } from "./oracle.ts";
import { Server } from "./server.ts";

const oracle = new Oracle();
const { data, work } = oracle;
const run: Oracle["run"] = (...args) => oracle.run(...args);

describeWith(["oracle"], "answers of Pyroscope v1", () => {
  const load = data ? oracle.load : "";
  const ask: Oracle["ask"] = (...args) => oracle.ask(...args);
  const compare: Oracle["compare"] = (...args) => oracle.compare(...args);

  it.each(process.env.CINDERBLOCK_LONG ? ["connect", "json", "grpc", "grpcweb"] : ["connect", "grpc"])(
    "pushed and queried by %s: from memory, after a flush, after a restart, from the bucket alone",
    async (protocol) => {
      const server = new Server();
      await server.start();
      const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
      expect(await oracle.push(server, base, "-protocol", protocol)).toContain("1040 profiles");
      const head = await compare(
        join(data!, "answers/head"),
        await ask(server, base, `${protocol}-head`, "-protocol", protocol),
      );
      expect(oracle.surprising(head.differ)).toEqual([]);
      expect(head.equal).toBeGreaterThanOrEqual(351);
      await server.flush();
      // Only `analyze` answers, which count heads and blocks, may depend on the place of the data.
      const own = async (name: string): Promise<string[]> => {
        const answers = await ask(server, base, name, "-protocol", protocol),
          { differ } = await compare(join(work, `${protocol}-head`), answers, "-tolerance", "0");
        return differ.filter((d) => !d.startsWith("analyze."));
      };
      expect(await own(`${protocol}-flushed`)).toEqual([]);
      await server.stop();
      await server.start();
      expect(await own(`${protocol}-restarted`)).toEqual([]);
      await server.stop();
      execFileSync("rm", ["-rf", join(server.dir, "db")]);
      await server.start();
      expect(await own(`${protocol}-bucket`)).toEqual([]);
      await server.stop();
    },
  );

  it.each(["ingester", "compacted", "split"])("over v1's bucket %s", async (bucket) => {
    const server = new Server();
    mkdirSync(join(server.dir, "bucket"), { recursive: true });
    cpSync(join(data!, "buckets", bucket), join(server.dir, "bucket"), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", join(server.dir, "bucket")]);
    await server.start();
    await oracle.expectBucketAnswers(server, `bucket-${bucket}`);
    await server.stop();
  });

  it("split by time and by series, then from the cache, also during compactions", async () => {
    const server = new Server();
    mkdirSync(join(server.dir, "bucket"), { recursive: true });
    cpSync(join(data!, "buckets/ingester"), join(server.dir, "bucket"), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", join(server.dir, "bucket")]);
    const flags = [
      "-querier.split-queries-by-interval=11m",
      "-querier.split-queries-by-shards=2",
      "-querier.max-query-parallelism=3",
      "-query-frontend.results-cache.backend=memory",
      "-query-scheduler.max-outstanding-requests-per-tenant=4",
    ];
    await server.start(...flags, "-compactor.enabled=false");
    const metric = async (name: string): Promise<number> =>
      Number(
        new RegExp(`^cinderblock_query_frontend_${name} (\\d+)`, "m").exec(
          await (await fetch(`${server.url}/metrics`)).text(),
        )![1],
      );
    await oracle.expectBucketAnswers(server, "parts");
    const ran = await metric("subqueries_total");
    expect(ran).toBeGreaterThan(900);
    const hits = await metric("results_cache_hits_total");
    await oracle.expectBucketAnswers(server, "parts-again");
    expect((await metric("results_cache_hits_total")) - hits).toBeGreaterThan(ran / 2);
    const again = (await metric("subqueries_total")) - ran;
    expect(again).toBeLessThan(ran / 20); // queries of current ranges
    // Cached answers stay valid while compactions replace the blocks.
    await server.stop();
    await server.start(
      ...flags,
      "-pyroscopedb.max-block-duration=5m",
      "-compactor.block-ranges=5m,10m,20m",
      "-compactor.first-level-compaction-wait-period=0s",
      "-compactor.compaction-interval=300ms",
      "-blocks-storage.bucket-store.sync-interval=300ms",
    );
    await oracle.expectBucketAnswers(server, "parts-compacted");
    // Queries of the suite share sub-queries.
    expect(await metric("results_cache_hits_total")).toBeGreaterThan(0);
    await server.stop();
  });

  it("over a v1 ingester's data directory: adopts and uploads its blocks", async () => {
    const server = new Server();
    mkdirSync(join(server.dir, "db/anonymous"), { recursive: true });
    cpSync(join(data!, "buckets/ingester/anonymous/phlaredb"), join(server.dir, "db/anonymous/local"), {
      recursive: true,
    });
    execFileSync("chmod", ["-R", "u+w", join(server.dir, "db")]);
    // Otherwise the ingester deletes these old blocks from disk as soon as a store-gateway serves them.
    await server.start("-pyroscopedb.retention-policy-disable=true");
    await oracle.expectBucketAnswers(server, "adopted");
    await server.stop();
    const ulids = (dir: string): string[] =>
      readdirSync(join(server.dir, dir))
        .filter((f) => f.length === 26)
        .sort();
    expect(ulids("bucket/anonymous/phlaredb")).toEqual(ulids("db/anonymous/local"));
    expect(JSON.parse(readFileSync(join(server.dir, "db/anonymous/local/shipper.json"), "utf8"))).toEqual({
      version: 1,
      uploaded: ulids("db/anonymous/local"),
    });
  });

  it("to bad requests: the same status and code, except those in docs/differences.md", async () => {
    const server = new Server();
    await server.start("-querier.max-query-lookback=7d", "-querier.max-query-length=24h");
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    await oracle.push(server, base);
    const out = join(work, "bad");
    await run(
      "query",
      "-load",
      load,
      "-url",
      server.url,
      "-base",
      String(base),
      "-suite",
      "bad",
      "-k",
      "1",
      "-out",
      out,
    );
    const { differ } = await compare(join(data!, "answers/bad"), out);
    await server.stop();
    const listed = new Set(
      [...readFileSync(resolve("docs/differences.md"), "utf8").matchAll(/^\| `(bad[^`]*)`/gm)].map(
        (m) => m[1]!,
      ),
    );
    const groups = [...listed].filter((l) => l.endsWith("*")).map((l) => l.slice(0, -1));
    expect(differ.filter((d) => !listed.has(d) && !groups.some((g) => d.startsWith(g)))).toEqual([]);
    expect(existsSync(join(out, "_dump.json"))).toBe(true);
  });
});
