import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describeWith, part } from "@cinderblock/testkit";
import { BEYOND_V1, Oracle } from "./oracle.ts";
import { folder, Server } from "./server.ts";
import { V1Server } from "./v1-server.ts";

/**
 * The real Pyroscope v1 and Cinderblock, side by side: the same pushes, the same questions, and each over the
 * other's bucket. PYROSCOPE names the program, PYROSCOPE_SOURCE a checkout with recordings of real agents.
 */
const oracle = new Oracle();

/** Seeds of the loads; the recorded answers are of another seed. */
const SEEDS = process.env.CINDERBLOCK_LONG ? [71, 72, 73] : [71];

/** Profiles of real agents, from Pyroscope's repository: Go, Java, Node, Python, Ruby, Rust, .NET, JavaScript. */
const REAL = [
  "pkg/pprof/testdata/go.cpu.labels.pprof",
  "pkg/pprof/testdata/profile_java",
  "pkg/pprof/testdata/profile_nodejs",
  "pkg/pprof/testdata/profile_python",
  "pkg/pprof/testdata/profile_ruby",
  "pkg/pprof/testdata/profile_rust",
  "pkg/pprof/testdata/dotnet.labels.pprof",
  "pkg/og/convert/pprof/testdata/cpu-js.pb.gz",
  "pkg/og/convert/pprof/testdata/heap-js.pprof",
  "pkg/og/convert/pprof/testdata/nodejs-heap.pb.gz",
  "pkg/og/convert/pprof/testdata/nodejs-wall.pb.gz",
  "pkg/og/convert/pprof/testdata/heap.pb.gz",
  "pkg/og/convert/pprof/testdata/cpu.pb.gz",
  "pkg/og/convert/pprof/testdata/cpu-exemplars.pb.gz",
  "pkg/og/convert/pprof/testdata/pyspy-1.pb.gz",
  "pkg/og/convert/pprof/testdata/req_2.pprof",
  "pkg/og/convert/pprof/testdata/req_3.pprof",
  "pkg/og/convert/pprof/testdata/req_4.pprof",
  "pkg/og/convert/pprof/testdata/req_5.pprof",
];

/** A kind of intended difference: its row in docs/differences.md, the questions, and what may differ in them. */
interface Intended {
  readonly row: string;
  readonly question: RegExp;
  readonly difference: RegExp;
  /** only in answers from blocks */
  readonly blocks?: true;
}
const INTENDED: readonly Intended[] = [
  {
    row: "merged pprof: `time_nanos`, `duration_nanos`",
    question: /pprof/,
    difference: /^(\.pprof)?\.(duration_ns|time_rel_ns):/,
  },
  {
    row: "merged pprof: mappings of equal size, offset and build ID (or file)",
    question: /pprof/,
    difference: /^(\.pprof)?\.mappings: only in/,
  },
  { row: "`go_pgo` with `aggregate_callees`", question: /^pprof_pgo\.agg=true$/, difference: /./ },
  { row: "DOT", question: /^render_dot/, difference: /^\.text: / },
  {
    row: "label calls with a range",
    question: /^(series|label_names|label_values|profile_types)\./,
    difference: /^\.\w+: (only in A: |\d+ against \d+ entries$)/,
  },
  {
    row: "GetProfileStats, AnalyzeQuery",
    question: /^analyze\./,
    difference: /^\.scopes\[\d+\]\.has_blocks: /,
  },
  {
    row: "GetProfileStats, AnalyzeQuery",
    question: /^(analyze|profile_stats)\./,
    difference: /^\.(impact|scopes\[\d+\])\.|^\.(oldest|newest): /,
    blocks: true,
  },
];

const rows = readFileSync("docs/differences.md", "utf8");

/** Differences of two folders of answers that no row of docs/differences.md explains. */
async function unexplained(theirs: string, ours: string, blocks: boolean): Promise<string[]> {
  const out: string[] = [];
  for (const [question, differences] of await oracle.explain(theirs, ours)) {
    if (BEYOND_V1.has(question)) continue;
    const left = differences.filter(
      (d) =>
        !INTENDED.some(
          (i) => i.question.test(question) && i.difference.test(d) && (blocks || i.blocks === undefined),
        ),
    );
    if (left.length > 0) out.push(`${question}: ${left.slice(0, 3).join("; ")}`);
  }
  return out;
}

/** Flags of a program that reads an unchanged bucket. */
const READER = {
    ours: ["-blocks-storage.bucket-store.sync-interval=500ms", "-compactor.enabled=false"],
    theirs: [
      "-querier.query-store-after=0",
      "-blocks-storage.bucket-store.ignore-blocks-within=0",
      "-blocks-storage.bucket-store.sync-interval=1s",
      "-compactor.disabled-tenants=anonymous",
    ],
  },
  /** Flags of a program that cuts small blocks and leaves them. */
  WRITER = {
    ours: ["-pyroscopedb.max-block-duration=5m", "-compactor.enabled=false"],
    theirs: ["-pyroscopedb.max-block-duration=5m", "-compactor.disabled-tenants=anonymous"],
  },
  /** Flags of a program that compacts small blocks. */
  COMPACTOR = [
    "-pyroscopedb.max-block-duration=5m",
    "-compactor.block-ranges=5m,10m,20m",
    "-compactor.first-level-compaction-wait-period=0s",
    "-compactor.compaction-interval=2s",
    "-compactor.cleanup-interval=1s",
    "-compactor.deletion-delay=0s",
    "-blocks-storage.bucket-store.ignore-deletion-marks-delay=0s",
  ];
type Side = keyof typeof READER;
const SIDES = ["theirs", "ours"] as const;

const blocksOf = (dir: string): string => join(dir, "bucket/anonymous/phlaredb");

/** A folder with a copy of another server's bucket. */
function copyOf(dir: string): string {
  const to = folder();
  mkdirSync(join(to, "bucket"), { recursive: true });
  cpSync(join(dir, "bucket"), join(to, "bucket"), { recursive: true });
  execFileSync("chmod", ["-R", "u+w", to]);
  return to;
}

/** The highest compaction level of a bucket's blocks. */
function level(dir: string): number {
  const levels = readdirSync(blocksOf(dir))
    .filter((n) => n.length === 26)
    .map((n) => {
      try {
        const text = readFileSync(join(blocksOf(dir), n, "meta.json"), "utf8");
        return (JSON.parse(text) as { compaction: { level: number } }).compaction.level;
      } catch {
        return 0; // being written or deleted
      }
    });
  return Math.max(0, ...levels);
}

/** Waits until a compactor has merged blocks, and has done so for a while. */
async function compacted(dir: string): Promise<void> {
  let last = "",
    since = Date.now();
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    const names = readdirSync(blocksOf(dir)).sort().join();
    if (names !== last) since = Date.now();
    last = names;
    if (level(dir) > 1 && Date.now() - since > 8000) return;
    await new Promise((go) => {
      setTimeout(go, 500);
    });
  }
  throw new Error(`the bucket in ${dir} was not compacted: level ${level(dir)}`);
}

describeWith(["oracle", "pyroscope", "pyroscope-source"], "compared with the real Pyroscope v1", () => {
  it("names rows of docs/differences.md for all intended differences", () => {
    for (const { row } of INTENDED) expect(rows).toContain(`\n| ${row} |`);
  });

  describe.each(SEEDS)("with the load of seed %i", (seed) => {
    const load = folder(),
      theirs = new V1Server(),
      ours = new Server();
    let base = 0;
    const ask = (server: { url: string }, name: string): Promise<string> =>
      oracle.ask(server, base, `${seed}-${name}`, "-load", load);

    async function push({ url }: { url: string }): Promise<void> {
      const said = await oracle.run("push", "-load", load, "-url", url, "-base", String(base));
      expect(said).toContain(" profiles in ");
      expect(said).not.toMatch(/err/i);
    }

    beforeAll(async () => {
      const real = folder();
      for (const [i, file] of REAL.entries())
        cpSync(join(part("pyroscope-source"), file), join(real, `${i}.pb.gz`));
      const made = await oracle.run(
        ...["gen", "-seed", String(seed), "-services", "3", "-pods", "1", "-types", "3", "-interval", "60s"],
        ...["-duration", "16m", "-scale", "0.2", "-ingest-every", "3", "-real", real, "-out", load],
      );
      expect(made).not.toContain("not a pprof");
      // All profiles lie in one hour: one head, where v1 has no head's first profile to lose.
      base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
      await theirs.start();
      await ours.start();
      await push(theirs);
      await push(ours);
    });

    it("answers equally from memory and after a flush, and each over the other's bucket", async () => {
      expect(await unexplained(await ask(theirs, "v1-head"), await ask(ours, "head"), false)).toEqual([]);
      await theirs.flush();
      await ours.flush();
      const flushed = { theirs: await ask(theirs, "v1-flushed"), ours: await ask(ours, "flushed") };
      expect(await unexplained(flushed.theirs, flushed.ours, true)).toEqual([]);
      await theirs.stop();
      await ours.stop();
      const here = await overBucket("ours", theirs.dir),
        there = await overBucket("theirs", ours.dir);
      expect(await unexplained(flushed.theirs, here, true)).toEqual([]);
      expect(await unexplained(there, flushed.ours, true)).toEqual([]);
    }, 900_000);

    it("answers equally over the blocks of either, compacted by either", async () => {
      const writers = { theirs: new V1Server(), ours: new Server() };
      for (const side of SIDES) {
        await writers[side].start(...WRITER[side]);
        await push(writers[side]);
        await writers[side].flush();
        await writers[side].stop();
        expect(level(writers[side].dir)).toBe(1);
      }
      for (const writer of SIDES) {
        const before = await overBucket("ours", writers[writer].dir);
        for (const compactor of SIDES) {
          const server = open(compactor, copyOf(writers[writer].dir));
          await server.start(...READER[compactor].slice(0, -1), ...COMPACTOR);
          await compacted(server.dir);
          await server.stop();
          const what = `blocks of ${writer}, compacted by ${compactor}`,
            answers = await overBucket("ours", server.dir);
          expect([what, await unexplained(before, answers, true)]).toEqual([what, []]);
          expect([what, await unexplained(await overBucket("theirs", server.dir), answers, true)]).toEqual([
            what,
            [],
          ]);
        }
      }
    }, 1_800_000);

    let sets = 0;
    /** Answers of one program over a copy of a bucket. */
    async function overBucket(side: Side, dir: string): Promise<string> {
      const server = open(side, copyOf(dir));
      await server.start(...READER[side]);
      const answers = await ask(server, `set-${sets++}`);
      await server.stop();
      return answers;
    }
  });
});

/** A program over a folder that has a bucket. */
const open = (side: Side, dir: string): V1Server | Server =>
  side === "ours" ? new Server(dir) : new V1Server(dir);
