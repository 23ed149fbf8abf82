import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { Pusher, total, until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

function cli(...args: string[]): { status: number | null; out: string; err: string } {
  const r = spawnSync("apps/cli/bin/cinderblock-cli", args, { encoding: "utf8" });
  return { status: r.status, out: r.stdout, err: r.stderr };
}
const rows = (r: { status: number | null; out: string; err: string }): Record<string, string & number>[] => {
  expect([r.status, r.err.replace(/^.* rows of .*\n/, "")]).toEqual([0, ""]);
  return JSON.parse(r.out) as Record<string, string & number>[];
};

describe("the command line", () => {
  const server = new Server();
  let bucket = "",
    found = 0,
    pusher: Pusher;
  beforeAll(async () => {
    await server.start();
    pusher = new Pusher(() => [server], 2);
    for (const profiles of [400, 800]) {
      await until(
        "profiles of a block are stored",
        () => Promise.resolve(pusher.acknowledged.size >= profiles),
        120_000,
      );
      if (profiles === 800) await pusher.stop();
      await server.flush();
    }
    found = (await total(server, pusher)).sum;
    await server.stop();
    bucket = `-storage.filesystem.dir=${server.dir}/bucket`;
  });

  it("lists, inspects and verifies blocks", () => {
    const blocks = rows(cli("blocks", "list", bucket, "-output=json"));
    expect(blocks.length).toBeGreaterThanOrEqual(2);
    expect(blocks.reduce((n, b) => n + b.profiles!, 0)).toBe(found);
    expect(cli("blocks", "list", bucket).out).toMatch(/^tenant +block +level/);
    const [inside] = JSON.parse(cli("blocks", "inspect", blocks[0]!.block!, bucket, "-output=json").out) as {
      services: Record<string, number>;
      files: Record<string, number>;
    }[];
    expect(Object.keys(inside!.services).sort()).toEqual(["s0", "s1", "s2", "s3", "s4"]);
    expect(Object.keys(inside!.files).sort()).toEqual(["index.tsdb", "profiles.parquet", "symbols.symdb"]);
    expect(rows(cli("blocks", "verify", bucket, "-output=json")).every((b) => b.found === "sound")).toBe(
      true,
    );
  });

  it("answers queries without a server, before and after a merge, and writes a pprof", () => {
    const self = (): number =>
      (rows(cli("query", "top", bucket, "-output=json", "-limit=0")) as unknown as { self: number }[]).reduce(
        (n, f) => n + f.self,
        0,
      );
    expect(self()).toBe(found);
    expect(
      rows(cli("query", "series", bucket, '-query={service_name="s1"}', "-output=json")).map((s) => s.series),
    ).toEqual([expect.stringContaining('service_name="s1"')]);
    const blocks = rows(cli("blocks", "list", bucket, "-output=json")).map((b) => b.block!);
    const [merged] = rows(cli("blocks", "compact", ...blocks, bucket, "-mark-sources=yes", "-output=json"));
    expect(merged!.profiles).toBe(found);
    expect(self()).toBe(found);
    expect(rows(cli("index", "rebuild", bucket, "-output=json"))).toEqual([
      { tenant: "anonymous", blocks: blocks.length + 1, marks: blocks.length },
    ]);
    const out = join(folder(), "m.pb");
    expect(cli("query", "pprof", bucket, `-out=${out}`).status).toBe(0);
    expect(readFileSync(out).includes(Buffer.from("main"))).toBe(true);
  });

  it("writes files of other programs, and tables in steps", async () => {
    const out = (format: string, ...more: string[]): Buffer => {
      const path = join(folder(), "x"),
        r = cli("query", "export", bucket, `-format=${format}`, `-out=${path}`, ...more);
      if (r.status !== 0) throw new Error(r.err);
      return readFileSync(path);
    };
    const folded = out("folded")
      .toString()
      .trim()
      .split("\n")
      .reduce((n, l) => n + Number(l.slice(l.lastIndexOf(" ") + 1)), 0);
    expect(folded).toBe(found);
    const { tableFromIPC } = await import("apache-arrow"),
      { readParquet } = await import("parquet-wasm");
    const sum = (bytes: Uint8Array): [number, number] => {
      const t = tableFromIPC(bytes),
        values = t.getChild("value")!;
      return [
        t.numRows,
        Array.from({ length: t.numRows }, (_, i) => Number(values.get(i))).reduce((a, b) => a + b, 0),
      ];
    };
    const arrow = sum(out("arrow")),
      parquet = sum(readParquet(out("parquet")).intoIPCStream()),
      profiles = sum(out("arrow", "-rows=profiles"));
    expect([arrow, parquet[1], profiles[1]]).toEqual([parquet, found, found]);
    expect(profiles[0]).toBeLessThanOrEqual(arrow[0]);
    expect(out("html").toString()).toContain("<svg");
    expect(out("otlp").length).toBeGreaterThan(100);
    expect(cli("query", "export", bucket, "-format=svg").err).toContain(
      "name the file: query export -format=svg -out=profiles.svg",
    );
  });

  it("stores debug files, and resolves an address with them", () => {
    const file = join(server.dir, "tiny"),
      work = gunzipSync(readFileSync("libs/native-symbols/src/golden/tiny-dwarf5.gz"));
    writeFileSync(file, work);
    expect(rows(cli("symbols", "lookup", file, "0x401010", "0x0", "-output=json"))).toEqual([
      { address: "0x401010", function: "square", file: expect.stringContaining("tiny.c") as string, line: 5 },
      { address: "0x401010", function: "both", file: expect.stringContaining("tiny.c") as string, line: 9 },
      { address: "0x401010", function: "work", file: expect.stringContaining("tiny.c") as string, line: 17 },
      { address: "0x0", function: "", file: "", line: 0 },
    ]);
    const added = cli("symbols", "add", file, "package.json", bucket, "-tenant=a", "-output=json");
    expect([added.status, added.err]).toEqual([
      1,
      expect.stringMatching(/^package.json: not a debug file: expected an ELF file/m) as string,
    ]);
    const [{ "build id": id } = { "build id": "" }] = JSON.parse(added.out) as { "build id": string }[];
    expect(id).toMatch(/^[0-9a-f]{40}$/);
    expect(rows(cli("symbols", "list", bucket, "-tenant=a", "-output=json"))).toEqual([
      { tenant: "a", "build id": id },
    ]);
    expect([
      cli("symbols", "remove", id, bucket, "-tenant=a").status,
      cli("symbols", "remove", id, bucket, "-tenant=a").err,
    ]).toEqual([0, expect.stringContaining("no debug file with build ID")]);
    expect(cli("symbols", "lookup", file, "main").err).toContain('address "main" is not a number');
  });

  it("imports pprof files of any age, and names the files that fail", () => {
    const dir = folder();
    mkdirSync(join(dir, "old"));
    for (let i = 0; i < 20; i++)
      writeFileSync(
        join(dir, "old", `${i}.pb.gz`),
        gzipSync(
          tinyPprof({
            stacks: [{ frames: ["main", "years ago"], values: [5] }],
            timeNanos: 1_500_000_000_000_000_000n + BigInt(i) * 1_000_000_000n,
          }),
        ),
      );
    const imported = cli("import", bucket, "-tenant=past", "-name=shop.cpu{env=prod}", join(dir, "old"));
    expect([imported.status, imported.err]).toEqual([0, "20 of 20 files\n"]);
    expect(
      rows(cli("query", "top", bucket, "-tenant=past", '-query={env="prod"}', "-output=json"))[0],
    ).toMatchObject({ self: 100, function: "years ago" });
    expect(
      rows(cli("blocks", "verify", bucket, "-tenant=past", "-output=json")).every((b) => b.found === "sound"),
    ).toBe(true);
    writeFileSync(join(dir, "old", "x.txt"), "no profile");
    const partly = cli("import", bucket, "-tenant=other", "-name=shop.cpu", join(dir, "old"));
    expect([partly.status, partly.err]).toEqual([1, expect.stringMatching(/^20 of 21 files\n.*x\.txt: /)]);
  });

  it("reports errors of a block, a flag and a command", () => {
    const [block] = readdirSync(join(server.dir, "bucket/past/phlaredb")).filter((n) => n.length === 26),
      path = join(server.dir, "bucket/past/phlaredb", block!, "profiles.parquet");
    const bytes = readFileSync(path);
    bytes[bytes.length >> 2]! ^= 0x40;
    writeFileSync(path, bytes);
    const verified = cli("blocks", "verify", bucket, "-tenant=past");
    expect(verified.status).toBe(1);
    expect(verified.out).not.toContain("sound");
    rmSync(path);
    expect(cli("blocks", "verify", bucket, "-tenant=past").out).toMatch(/profiles\.parquet/);
    expect(cli("blocks", "inspect", "01M83BWES06AEJX19K2E07509W", bucket)).toMatchObject({
      status: 1,
      err: expect.stringContaining("block 01M83BWES06AEJX19K2E07509W is not in the bucket"),
    });
    expect(cli("blocks", "list", "-storage.filesytem.dir=x")).toMatchObject({
      status: 1,
      err: expect.stringContaining("did you mean storage.filesystem.dir?"),
    });
    expect(cli("blocks", "shred")).toMatchObject({
      status: 2,
      err: expect.stringContaining('unknown command "blocks shred"'),
    });
    expect(
      rows(cli("blocks", "list", "-tenant", "other", "--output", "json", bucket)).every(
        (b) => b.tenant === "other",
      ),
    ).toBe(true);
    expect(cli("blocks", "list", bucket, "-tenant")).toMatchObject({
      status: 1,
      err: expect.stringContaining("flag -tenant needs a value"),
    });
    expect(cli("-help")).toMatchObject({ status: 0, out: expect.stringContaining("blocks verify") });
    expect(cli("blocks", "verify", "-help").out).toContain("-storage.s3.bucket-name");
    expect(cli("ring", "-url=http://127.0.0.1:1")).toMatchObject({
      status: 1,
      err: expect.stringContaining("did not respond"),
    });
  });

  it("pushes profile files of several formats to a running server, and reports a refusal", async () => {
    await server.start();
    const dir = folder(),
      file = (name: string, content: string | Uint8Array): string => {
        writeFileSync(join(dir, name), content);
        return join(dir, name);
      };
    // A profile of Node's own profiler, as in the README: three samples of 1 ms in f, called by main.
    const callFrame = (functionName: string, lineNumber: number) => ({
      functionName,
      scriptId: "1",
      url: "file:///app/shop.js",
      lineNumber,
      columnNumber: 0,
    });
    const cpu = file(
      "checkout.cpuprofile",
      JSON.stringify({
        nodes: [
          { id: 1, callFrame: callFrame("(root)", -1), children: [2] },
          { id: 2, callFrame: callFrame("main", 0), children: [3] },
          { id: 3, callFrame: callFrame("f", 9) },
        ],
        startTime: 1_000_000,
        endTime: 1_003_000,
        samples: [3, 3, 3],
        timeDeltas: [1000, 1000, 1000],
      }),
    );
    const url = `-url=${server.url}`;
    const pushed = cli("push", url, cpu);
    expect([pushed.status, pushed.err]).toEqual([0, ""]);
    expect(pushed.out).toContain("(V8 CPU profile, ");
    expect(pushed.out).toContain(`${server.url}/explore?s=%7Bservice_name%3D%22checkout%22%7D`);
    const folded = file("folded.txt", "a;b 3\na;c 4\n");
    expect(cli("push", url, "-name=text{env=prod}", folded).status).toBe(0);
    expect(
      cli(
        "push",
        url,
        "-name=tiny",
        file("p.pb.gz", gzipSync(tinyPprof({ stacks: [{ frames: ["x"], values: [5] }] }))),
      ).status,
    ).toBe(0);
    const type = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
      now = Date.now();
    const sums = await server.sums(["service_name"], type, now - 3600_000, now + 60_000);
    expect(sums.get("checkout")).toBe(3_000_000);
    const merged = await server.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
      profileTypeID: type,
      labelSelector: '{service_name="checkout"}',
      start: String(now - 3600_000),
      end: String(now + 60_000),
    });
    expect((merged.body as { flamegraph: { names: string[] } }).flamegraph.names).toEqual([
      "total",
      "main",
      "f",
    ]);

    const shown = rows(cli("top", url, '-query={service_name="checkout"}', "-output=json"));
    expect(shown).toEqual([
      { self: 3_000_000, "self %": "100.00 %", total: 3_000_000, "total %": "100.00 %", function: "f" },
      { self: 0, "self %": "0.00 %", total: 3_000_000, "total %": "100.00 %", function: "main" },
    ]);

    const bad = cli("push", url, file("bad.pb", new Uint8Array([1, 2, 3])));
    expect(bad.status).toBe(1);
    expect(bad.err).toMatch(/bad\.pb: .* refused the push with status 4\d\d: /);
    expect(cli("push", url, file("odd.json", '{"a":1}')).err).toContain("neither a V8 CPU profile");
    expect(cli("push", url, join(dir, "none")).err).toContain("no such file");
    await server.stop();
    const away = cli("push", url, cpu);
    expect([away.status, away.err]).toEqual([1, expect.stringContaining("start a server or set -url")]);
  });

  it("prints the effect of each key of a server's file, and reads the bucket that the file names", () => {
    const dir = folder(),
      path = join(dir, "v1.yaml");
    mkdirSync(dir, { recursive: true });
    const check = (text: string): ReturnType<typeof cli> => {
      writeFileSync(path, text);
      return cli("config", "check", path);
    };
    const sound = check(
      "target: all\nmemberlist: {join_members: [a]}\nstorage: {storage_prefix: p}\ncompactor: {data_dir: x, compaction_concurrency: 4}\n",
    );
    expect([sound.status, sound.err]).toEqual([0, ""]);
    expect(sound.out).toMatch(
      /^warning, no effect: 1\n {2}compactor\.compaction_concurrency: .*\nwithout a meaning here: 1\n {2}memberlist\.join_members: .*\nmapped: 1\n {2}storage\.storage_prefix -> -storage\.prefix\ntaken: 2\n {2}target\n {2}compactor\.data_dir\n$/,
    );
    const wrong = check("limits: {retention: 30d}\nserver: {http_tls_config: {cert: PEM}}\n");
    expect(wrong.status).toBe(1);
    expect(wrong.out).toMatch(
      /^refused: 2\n.*unknown key limits\.retention; did you mean .*\n.*http_tls_config\.cert/,
    );
    expect(cli("blocks", "list", `-config.file=${path}`).err).toContain("unknown key limits.retention");
    // The deprecated name of the prefix counts for the tool, too: the bucket's root has blocks, the prefix none.
    const prefixed = join(dir, "prefixed.yaml");
    writeFileSync(
      prefixed,
      `target: all\ncompactor: {data_dir: x}\nstorage: {storage_prefix: p, filesystem: {dir: ${server.dir}/bucket}}\n`,
    );
    expect(rows(cli("blocks", "list", `-config.file=${prefixed}`, "-output=json"))).toEqual([]);
  });
});
