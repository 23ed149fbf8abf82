// Measures the cost of a push in each format: `node tools/bench/formats.ts` writes its part of
// docs/benchmarks.md. With words as arguments, prints only the formats whose names contain one of the words.
// One thread works from the bytes of a body to a profile that is ready for a head (inflated, decoded,
// checked, normalized, split by labels), and stores nothing. Every format has the same real profiles, except
// JFR, whose recording is synthetic. Needs the team's ../shared.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { loadHasher } from "@cinderblock/bytes";
import { encodeExport } from "@cinderblock/otlp";
import { PprofDecoder } from "@cinderblock/pprof";
import { PushProcessor, RateGate } from "@cinderblock/ingest";
import { Random, tinyJfr } from "@cinderblock/testkit";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { writeFormats } from "./formats-part.ts";
import { type Stack, treeBody, trieBody } from "./tree-bodies.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
  folder = join(root, "../shared/testdata/profiles");
if (!existsSync(folder)) {
  console.error("tools/bench needs the team's profiles in ../shared/testdata");
  process.exit(1);
}
type Table = ReturnType<PprofDecoder["decode"]>;
type Push = Parameters<PushProcessor["process"]>[1];
const NOW = 1_795_409_460_000,
  ROUND_MS = 1500,
  ROUNDS = 5;
const plain = readdirSync(folder)
  .map((f) => readFileSync(join(folder, f)))
  .map((b) => (b[0] === 0x1f ? gunzipSync(b) : b))
  // OTLP names a profile by its period and its type: profiles without them cannot be sent.
  .filter((b) => {
    const t = new PprofDecoder().decode(b);
    return t.hasPeriodType && t.periodType > 0 && t.period > 0n;
  });

/** Function names of a sample, root first. */
function stacks(t: Table): Stack[] {
  const text = (i: number): string =>
    Buffer.from(t.bytes.subarray(t.stringStart.data[i]!, t.stringEnd.data[i])).toString();
  const location = new Map<number, number>(),
    fn = new Map<number, number>();
  for (let i = 0; i < t.locations; i++) location.set(t.locIdLo.data[i]!, i);
  for (let i = 0; i < t.functions; i++) fn.set(t.funcIdLo.data[i]!, i);
  return Array.from({ length: t.samples }, (_, s) => {
    const frames: string[] = [];
    for (let k = t.sampleLocations.data[s]!; k < t.sampleLocations.data[s + 1]!; k++) {
      const l = location.get(t.locationIdLo.data[k]!)!;
      for (let n = t.locLines.data[l]!; n < t.locLines.data[l + 1]!; n++)
        frames.push(text(t.funcName.data[fn.get(t.lineFunctionLo.data[n]!)!]!));
    }
    return { frames: frames.reverse(), value: Number(t.value.data[t.sampleValues.data[s]!]) };
  }).filter((x) => x.frames.length > 0 && x.value > 0);
}
const decoded = <T>(of: (t: Table) => T): T[] => plain.map((b) => of(new PprofDecoder().decode(b)));

const request = {
  app: "shop.cpu",
  tags: [],
  boundary: "",
  spyName: "bench",
  sampleRate: 100,
  fromNanos: BigInt(NOW) * 1_000_000n,
  durationNanos: 10_000_000_000n,
};
const ingest = (format: string, bodies: readonly Uint8Array[]): Push[] =>
  bodies.map((body) => ({ kind: "ingest", request: { ...request, format }, body }) as Push);
const random = new Random(1),
  methods = Array.from({ length: 600 }, (_, i): [string, string] => [
    `com.example.service.package${i % 40}.Class${i % 120}`,
    `method${i}`,
  ]);
const common = Array.from({ length: 300 }, () =>
  Array.from({ length: 8 + random.below(32) }, () => methods[random.below(600)]!),
);
const recording = tinyJfr(
  Array.from({ length: 4000 }, () => ({ type: "ExecutionSample", frames: common[random.below(300)]! })),
);

const corpora: [name: string, pushes: readonly Push[], bytes: number][] = [];
const add = (name: string, pushes: readonly Push[], bodies: readonly Uint8Array[]): void => {
  corpora.push([name, pushes, bodies.reduce((n, b) => n + b.length, 0)]);
};
add(
  "pprof, gzip",
  ingest(
    "pprof",
    plain.map((b) => gzipSync(b)),
  ),
  plain,
);
add("pprof, plain", ingest("pprof", plain), plain);
const otlp = decoded((t) => encodeExport(t, [["service.name", "shop"]]));
add(
  "OTLP, protobuf",
  otlp.map((body) => ({ kind: "otlp", codec: "proto", gzip: false, body }) as Push),
  otlp,
);
const folded = decoded((t) =>
  Buffer.from(
    stacks(t)
      .map((s) => `${s.frames.map((f) => f.replace(/[;\n]/g, ":")).join(";")} ${s.value}\n`)
      .join(""),
  ),
);
add("folded stacks", ingest("groups", folded), folded);
for (const [format, bodyOf] of [
  ["trie", trieBody],
  ["tree", treeBody],
] as const) {
  const bodies = decoded((t) => bodyOf(stacks(t)));
  add(format, ingest(format, bodies), bodies);
}
const speedscope = decoded((t) => {
  const list = stacks(t),
    names = [...new Set(list.flatMap((s) => s.frames))],
    at = new Map(names.map((n, i) => [n, i]));
  return Buffer.from(
    JSON.stringify({
      $schema: "https://www.speedscope.app/file-format-schema.json",
      shared: { frames: names.map((name) => ({ name })) },
      profiles: [
        {
          type: "sampled",
          name: "p",
          unit: "none",
          startValue: 0,
          endValue: 1,
          samples: list.map((s) => s.frames.map((f) => at.get(f))),
          weights: list.map((s) => s.value),
        },
      ],
    }),
  );
});
add("speedscope", ingest("speedscope", speedscope), speedscope);
add("JFR, gzip", ingest("jfr", [gzipSync(recording)]), [recording]);
add("JFR, plain", ingest("jfr", [recording]), [recording]);

const limits = {
  ...TEST_LIMITS,
  ingestionRateBytes: 1e15,
  ingestionBurstBytes: 1e15,
  maxProfileSizeBytes: 64 << 20,
};
let taken = 0;
const processor = new PushProcessor(await loadHasher(), {
    append: () => {
      taken++;
    },
  }),
  gate = new RateGate(new SharedArrayBuffer(8));
const words = process.argv.slice(2),
  asked = corpora.filter(
    ([name]) => words.length === 0 || words.some((w) => name.toLowerCase().includes(w.toLowerCase())),
  );
const once = (pushes: readonly Push[]): void => {
  for (const p of pushes) {
    const out = processor.process("t", p, limits, gate, NOW);
    if (out.error) throw out.error;
  }
};
// A machine's speed changes within minutes: each round measures every format and compares it with pprof in
// that round.
const rounds = asked.map((): { mb: number; profiles: number; ratio: number }[] => []);
for (let round = 0; round <= ROUNDS; round++) {
  for (const [i, [name, pushes, raw]] of asked.entries()) {
    process.stdout.write(`\r[${"#".repeat(round)}${".".repeat(ROUNDS - round)}] ${name.padEnd(20)}`);
    const before = process.cpuUsage();
    let n = 0;
    taken = 0;
    for (const end = Date.now() + ROUND_MS; Date.now() < end; n++) once(pushes);
    const c = process.cpuUsage(before),
      seconds = (c.user + c.system) / 1e6,
      mb = (raw * n) / 1e6 / seconds;
    if (round > 0)
      rounds[i]!.push({ mb, profiles: taken / seconds, ratio: i === 0 ? 1 : mb / rounds[0]!.at(-1)!.mb }); // the first warms up
  }
}
process.stdout.write("\n");
const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1]!;
const rows = asked.map(
  ([name, pushes, raw], i) =>
    `| ${name} | ${pushes.length} | ${Math.round(raw / pushes.length / 100) / 10} | ${median(rounds[i]!.map((r) => r.mb)).toFixed(1)} | ${median(rounds[i]!.map((r) => r.ratio)).toFixed(2)} x | ${Math.round(median(rounds[i]!.map((r) => r.profiles)))} |`,
);
if (words.length > 0) {
  console.log(rows.join("\n"));
  process.exit(0);
}
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
writeFormats(
  join(root, "docs/benchmarks.md"),
  `Written by \`node tools/bench/formats.ts\` at commit ${commit}, ${new Date().toISOString().slice(0, 10)}, on ${cpus().length} cores (${cpus()[0]!.model.trim()}): one thread, from the bytes of a body to a profile that is ready for a head, median of ${ROUNDS} rounds of ${ROUND_MS / 1000} s, in each of them all formats. The same ${plain.length} real profiles in every format but JFR: there one recording with 4,000 samples of 8 to 40 frames, each with a stack of its own. Megabytes are those of the body before it is compressed.

| format | bodies | kB each | MB a CPU second | beside pprof | profiles a CPU second |
|---|---:|---:|---:|---:|---:|
${rows.join("\n")}

A JFR recording becomes one profile for each kind of event; text names every frame again. No figure of Pyroscope v1 was measured in the same run.`,
);
