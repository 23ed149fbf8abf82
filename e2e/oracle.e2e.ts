import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { sharedTestdata } from "@cinderblock/testkit";
import { folder, Server } from "./server.ts";

/** Compares answers with those that Pyroscope v1 gave, by the team's measuring program. A user's clone has neither. */
const data = sharedTestdata();
const work = folder();
const oracle = join(work, "oracle");

function build(): boolean {
  if (!data) return false;
  const r = spawnSync("go", ["build", "-o", oracle, "."], { cwd: resolve(data, "../oracle"), encoding: "utf8" });
  if (r.status === 0) return true;
  if (process.env.CI === "true") throw new Error(`the oracle does not build: ${r.stderr}`);
  process.stderr.write("NOTE: go is not here; answers are not compared with Pyroscope v1's\n");
  return false;
}

const run = (...args: string[]): string => { const r = spawnSync(oracle, args, { encoding: "utf8", maxBuffer: 1 << 28 }); return r.stdout + r.stderr; };

/** Names of the answers that differ. */
function compare(expected: string, got: string, ...flags: string[]): { equal: number; differ: string[] } {
  const out = run("diff", "-no-trunc", "-lines", "0", ...flags, expected, got);
  const equal = Number(/(\d+) equal/.exec(out)?.[1] ?? 0);
  return { equal, differ: [...out.matchAll(/^different ([^\s]+):/gm)].map((m) => m[1]!).sort() };
}

(build() ? describe : describe.skip)("answers of Pyroscope v1", () => {
  const disagrees = new Set(data ? readFileSync(join(data, "answers/v1-disagrees-with-itself.txt"), "utf8").trim().split("\n") : []);
  const surprising = (differ: string[]): string[] => differ.filter((d) => !disagrees.has(d));
  const load = join(data ?? "", "load");
  const ask = (server: Server, base: number, name: string, ...more: string[]): string => { const out = join(work, name); run("query", "-load", load, "-url", server.url, "-base", String(base), "-suite", "good", "-k", "1", "-out", out, ...more); return out; };

  it.each(process.env.CINDERBLOCK_LONG ? ["connect", "json", "grpc", "grpcweb"] : ["connect", "grpc"])("pushed and asked by %s: from memory, after a flush, after a restart, from the bucket alone", async (protocol) => {
    const server = new Server();
    await server.start();
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    expect(run("push", "-load", load, "-url", server.url, "-base", String(base), "-protocol", protocol)).toContain("1040 profiles");
    const head = compare(join(data!, "answers/head"), ask(server, base, `${protocol}-head`, "-protocol", protocol));
    expect(surprising(head.differ)).toEqual([]);
    expect(head.equal).toBeGreaterThanOrEqual(351);
    await server.flush();
    // Only what tells heads from blocks by name may change with the place of the data.
    const own = (name: string): string[] => compare(join(work, `${protocol}-head`), ask(server, base, name, "-protocol", protocol), "-tolerance", "0").differ.filter((d) => !d.startsWith("analyze."));
    expect(own(`${protocol}-flushed`)).toEqual([]);
    await server.stop();
    await server.start();
    expect(own(`${protocol}-restarted`)).toEqual([]);
    await server.stop();
    execFileSync("rm", ["-rf", join(server.dir, "db")]);
    await server.start();
    expect(own(`${protocol}-bucket`)).toEqual([]);
    await server.stop();
  });

  it.each(["ingester", "compacted", "split"])("over the bucket %s that v1 wrote", async (bucket) => {
    const server = new Server();
    mkdirSync(join(server.dir, "bucket"), { recursive: true });
    cpSync(join(data!, "buckets", bucket), join(server.dir, "bucket"), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", join(server.dir, "bucket")]);
    await server.start();
    const { equal, differ } = compare(join(data!, "answers/compacted"), ask(server, 1795132800000, `bucket-${bucket}`));
    await server.stop();
    expect(surprising(differ)).toEqual([]);
    expect(equal).toBeGreaterThanOrEqual(351);
  });

  it("over the data directory of a v1 ingester: its unshipped blocks are adopted and shipped", async () => {
    const server = new Server();
    mkdirSync(join(server.dir, "db/anonymous"), { recursive: true });
    cpSync(join(data!, "buckets/ingester/anonymous/phlaredb"), join(server.dir, "db/anonymous/local"), { recursive: true });
    execFileSync("chmod", ["-R", "u+w", join(server.dir, "db")]);
    // Otherwise the blocks, long older than the retention, may leave the disk as soon as the bucket answers for them.
    await server.start("-pyroscopedb.retention-policy-disable=true");
    const { equal, differ } = compare(join(data!, "answers/compacted"), ask(server, 1795132800000, "adopted"));
    await server.stop();
    expect(surprising(differ)).toEqual([]);
    expect(equal).toBeGreaterThanOrEqual(351);
    const ulids = (dir: string): string[] => readdirSync(join(server.dir, dir)).filter((f) => f.length === 26).sort();
    expect(ulids("bucket/anonymous/phlaredb")).toEqual(ulids("db/anonymous/local"));
    expect(JSON.parse(readFileSync(join(server.dir, "db/anonymous/local/shipper.json"), "utf8"))).toEqual({ version: 1, uploaded: ulids("db/anonymous/local") });
  });

  it("to bad requests: the same status and code, save those that docs/differences.md lists", async () => {
    const server = new Server();
    await server.start("-querier.max-query-lookback=7d", "-querier.max-query-length=24h");
    const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
    run("push", "-load", load, "-url", server.url, "-base", String(base));
    const out = join(work, "bad");
    run("query", "-load", load, "-url", server.url, "-base", String(base), "-suite", "bad", "-k", "1", "-out", out);
    const { differ } = compare(join(data!, "answers/bad"), out);
    await server.stop();
    const listed = new Set([...readFileSync(resolve("docs/differences.md"), "utf8").matchAll(/^\| `(bad[^`]*)`/gm)].map((m) => m[1]!));
    expect(differ.filter((d) => !listed.has(d))).toEqual([]);
    expect(existsSync(join(out, "_dump.json"))).toBe(true);
  });
});
