import { readFileSync, writeFileSync } from "node:fs";
import { constants, createGzip, gzipSync } from "node:zlib";
import { tinyJfr, tinyPprof } from "@cinderblock/testkit";
import { Server } from "./server.ts";

/**
 * Small requests that expand to large data: the server refuses each, or accepts it with bounded memory and
 * time, and continues to work.
 */
const LIMIT = 512 << 20;
const server = new Server();
beforeAll(() => server.start(`-memory.limit-bytes=${LIMIT}`, "-validation.reject-older-than=0"));
afterAll(async () => {
  await server.stop();
});

/** `count` zeros, gzipped in pieces: a thousandth of their size. */
async function gzipOf(count: number): Promise<Buffer> {
  const gzip = createGzip({ level: constants.Z_BEST_SPEED }),
    out: Buffer[] = [];
  gzip.on("data", (b: Buffer) => out.push(b));
  const done = new Promise((r) => {
    gzip.once("end", r);
  });
  const write = async (b: Buffer): Promise<void> => {
    if (!gzip.write(b))
      await new Promise((r) => {
        gzip.once("drain", r);
      });
  };
  const piece = Buffer.alloc(1 << 20);
  for (let left = count; left > 0; left -= piece.length)
    await write(piece.subarray(0, Math.min(left, piece.length)));
  gzip.end();
  await done;
  return Buffer.concat(out);
}

const varint = (v: number): number[] => {
  const out: number[] = [];
  let n = v;
  while (n > 127) {
    out.push((n % 128) | 128);
    n = Math.floor(n / 128);
  }
  return [...out, n];
};
const field = (n: number, bytes: Uint8Array | number[]): Buffer =>
  Buffer.from([...varint(n * 8 + 2), ...varint(bytes.length), ...bytes]);
/** A push of one profile, in protobuf. */
const pushOf = (profile: Uint8Array): Buffer => {
  const label = (k: string, v: string): Buffer =>
    field(1, Buffer.concat([field(1, Buffer.from(k)), field(2, Buffer.from(v))]));
  return field(
    1,
    Buffer.concat([
      label("__name__", "process_cpu"),
      label("service_name", "bomb"),
      large(2, large(1, profile)),
    ]),
  );
};
/** The same field for content that is too long for spread arguments. */
function large(n: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([...varint(n * 8 + 2), ...varint(bytes.length)]), bytes]);
}

/** A GiB of zeros, gzipped; the first test that sends it creates it. */
let zeros: Promise<Buffer> | undefined;
const gzippedGib = (): Promise<Buffer> => (zeros ??= gzipOf(1 << 30));
const post = async (
  path: string,
  body: Uint8Array | string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; ms: number }> => {
  const from = performance.now(),
    r = await fetch(`${server.url}${path}`, { method: "POST", body, headers });
  return { status: r.status, text: await r.text(), ms: performance.now() - from };
};
const push = (body: Uint8Array, more: Record<string, string> = {}): ReturnType<typeof post> =>
  post("/push.v1.PusherService/Push", body, { "content-type": "application/proto", ...more });
const ingest = (format: string, body: Uint8Array | string): ReturnType<typeof post> =>
  post(`/ingest?name=bomb&format=${format}&from=now-1m&until=now`, body);
const otlp = (body: Uint8Array, more: Record<string, string> = {}): ReturnType<typeof post> =>
  post("/v1development/profiles", body, { "content-type": "application/x-protobuf", ...more });

/** One sample whose stack repeats one location `depth` times. */
function deepStack(depth: number): Buffer {
  const ids = Buffer.alloc(depth, 1),
    text = (s: string): Buffer => field(6, Buffer.from(s));
  return Buffer.concat([
    field(1, [8, 1, 16, 2]),
    large(2, Buffer.concat([large(1, ids), field(2, [1])])),
    field(4, [8, 1, 34, 2, 8, 1]),
    field(5, [8, 1, 16, 3]),
    text(""),
    text("cpu"),
    text("nanoseconds"),
    text("main"),
    Buffer.from([72, ...varint(Date.now() * 1e6)]),
  ]);
}
/** A profile with `entries` unreferenced entries of one table. */
function wide(n: number, entry: number[], entries: number): Buffer {
  return Buffer.concat([deepStack(1), Buffer.concat(Array.from({ length: entries }, () => field(n, entry)))]);
}
/** An OTLP export whose samples have the same stack, which repeats one location. */
function sharedStack(samples: number, depth: number): Buffer {
  const texts = ["", "cpu", "nanoseconds", "samples", "count", "main"],
    dictionary = [
      field(1, []),
      field(2, []),
      field(2, field(3, [8, 1])),
      field(3, []),
      field(3, [8, 5]),
      ...texts.map((t) => field(5, Buffer.from(t))),
      field(7, []),
      large(7, large(1, Buffer.alloc(depth, 1))),
    ],
    profile = Buffer.concat([
      field(1, [8, 3, 16, 4]),
      ...Array.from({ length: samples }, () => field(2, [8, 1, 34, 1, 1])),
      field(5, [8, 1, 16, 2]),
      Buffer.from([48, ...varint(10_000_000)]),
    ]);
  return Buffer.concat([large(1, large(2, large(2, profile))), large(2, Buffer.concat(dictionary))]);
}
/** A body of the format `tree`: one path that ends in leaves with a value of 1 each. */
function sharedPath(leaves: number, depth: number): Buffer {
  const inner = Buffer.from([1, 97, 0, 1]),
    last = Buffer.from([1, 97, 0, ...varint(leaves)]);
  return Buffer.concat([
    Buffer.from([0, 0, 1]),
    ...Array.from({ length: depth - 1 }, () => inner),
    last,
    ...Array.from({ length: leaves }, (_, i) => {
      const name = Buffer.from(`leaf${i}`);
      return Buffer.concat([Buffer.from([name.length]), name, Buffer.from([1, 0])]);
    }),
  ]);
}
/** The recording with some bytes replaced. */
function spoiled(recording: Uint8Array, find: Uint8Array, put: Uint8Array): Uint8Array {
  const out = Buffer.from(recording),
    at = out.indexOf(find);
  expect(at).toBeGreaterThan(0);
  out.set(put, at);
  return out;
}

const bombs: [
  name: string,
  send: () => Promise<{ status: number; text: string; ms: number }>,
  expected: RegExp,
][] = [
  ["a gzipped profile of a GiB", async () => push(pushOf(await gzippedGib())), /^400 .*exceeds limit/],
  [
    "a gzipped envelope of a GiB",
    async () => push(await gzippedGib(), { "content-encoding": "gzip" }),
    /^(400|413|429) /,
  ],
  [
    "a gzipped profile of a GiB to /ingest",
    async () => ingest("pprof", await gzippedGib()),
    /^(400|422) .*exceeds limit/,
  ],
  ["a gzipped recording of a GiB", async () => ingest("jfr", await gzippedGib()), /^(400|413|422) /],
  [
    "gzipped OTLP of a GiB",
    async () => otlp(await gzippedGib(), { "content-encoding": "gzip" }),
    /^(400|413|429) /,
  ],
  // v1 answers a body that is not a profile with 500 and the code unknown.
  [
    "a gzip in a gzip in a gzip",
    async () => push(pushOf(gzipSync(gzipSync(await gzipOf(64 << 20))))),
    /^500 .*unknown.*proto: Profile/,
  ],
  ["a stack of a million frames", () => push(pushOf(gzipSync(deepStack(1_000_000)))), /^(200|400) /],
  ["two million empty mappings", () => push(pushOf(gzipSync(wide(3, [], 2_000_000)))), /^(200|400) /],
  ["a million locations of one id", () => push(pushOf(gzipSync(wide(4, [8, 1], 1_000_000)))), /^(200|400) /],
  [
    "two million empty samples",
    () => push(pushOf(gzipSync(wide(2, [], 2_000_000)))),
    /^400 .*(samples|exceed)/,
  ],
  [
    "a table that says to have 2^60 entries",
    () => push(pushOf(Buffer.from([50, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]))),
    /^500 .*unknown/,
  ],
  [
    "a series of a million labels",
    () =>
      push(
        large(1, Buffer.concat(Array.from({ length: 1_000_000 }, () => field(1, [10, 1, 97, 18, 1, 98])))),
      ),
    /^400 /,
  ],
  ["a line of a million frames", () => ingest("folded", `${"a;".repeat(1_000_000)}b 1\n`), /^(200|400|422) /],
  [
    "a million lines of new frames",
    () => ingest("folded", Array.from({ length: 1_000_000 }, (_, i) => `a;f${i} 1`).join("\n")),
    /^(400|422) .*exceeds the (samples count|size) limit/,
  ],
  [
    "lines of new frames that share nothing",
    () =>
      ingest(
        "folded",
        Array.from(
          { length: 15_000 },
          (_, i) => `${Array.from({ length: 300 }, (_x, k) => `f${i}_${k}`).join(";")} 1`,
        ).join("\n"),
      ),
    /^(400|422) .*exceeds the size limit/,
  ],
  [
    "a trie a million levels deep",
    () => ingest("trie", Buffer.concat(Array.from({ length: 1_000_000 }, () => Buffer.from([1, 97, 0, 1])))),
    /^(400|422) /,
  ],
  [
    "a tree a million levels deep",
    () => ingest("tree", Buffer.concat(Array.from({ length: 1_000_000 }, () => Buffer.from([1, 97, 0, 1])))),
    /^(400|422) /,
  ],
  [
    "a tree node that says to have 2^31 children",
    () => ingest("tree", Buffer.from([1, 97, 0, 0xff, 0xff, 0xff, 0xff, 7])),
    /^(400|422) /,
  ],
  [
    "JSON a million levels deep",
    () =>
      ingest(
        "speedscope",
        `{"$schema":"https://www.speedscope.app/file-format-schema.json","profiles":${"[".repeat(1_000_000)}`,
      ),
    /^(400|422) /,
  ],
  [
    "a speedscope file of a sample that names frame 2^31",
    () =>
      ingest(
        "speedscope",
        JSON.stringify({
          $schema: "https://www.speedscope.app/file-format-schema.json",
          shared: { frames: [{ name: "a" }] },
          profiles: [
            {
              type: "sampled",
              name: "p",
              unit: "milliseconds",
              startValue: 0,
              endValue: 1,
              samples: [[2147483648]],
              weights: [1],
            },
          ],
        }),
      ),
    /^(400|422) /,
  ],
  [
    "protojson a million levels deep",
    () =>
      post("/push.v1.PusherService/Push", `{"series":${"[".repeat(1_000_000)}`, {
        "content-type": "application/json",
      }),
    /^400 /,
  ],
  [
    "a recording whose checkpoints name each other",
    () => ingest("jfr", tinyJfr([{ type: "ExecutionSample", frames: [["A", "a"]] }], "itimer", true)),
    /^(200|400|422) /,
  ],
  // The header of the thread state pool claims 2^28 entries instead of three.
  [
    "a recording with a constant pool of 2^28 entries",
    () => {
      const r = tinyJfr([{ type: "ExecutionSample", frames: [["A", "a"]] }]);
      return ingest("jfr", spoiled(r, Buffer.from([22, 3, 1, 3]), Buffer.from([22, 0xff, 0xff, 0xff])));
    },
    /^(400|422) /,
  ],
  [
    "an OTLP dictionary whose stack names location 2^31",
    () => otlp(large(2, large(7, Buffer.from([10, 5, 0xff, 0xff, 0xff, 0xff, 7])))),
    /^(200|400) /,
  ],
  [
    "an OTLP dictionary of a million empty strings",
    () => otlp(large(2, Buffer.concat(Array.from({ length: 1_000_000 }, () => field(5, []))))),
    /^(200|400) /,
  ],
  [
    "an OTLP export of 10,000 samples with one stack of 100,000 frames",
    () => otlp(sharedStack(10_000, 100_000)),
    /^413 .*frames together/,
  ],
  [
    "a call tree whose 10,000 leaves have 100,000 callers each",
    () => ingest("tree", sharedPath(10_000, 100_000)),
    /^(400|413|422) .*(exceeds the size limit|frames together)/,
  ],
  [
    "a query of a million matchers",
    () =>
      post(
        "/querier.v1.QuerierService/LabelNames",
        JSON.stringify({ matchers: Array.from({ length: 100_000 }, () => '{a="b"}'), start: "1", end: "2" }),
        { "content-type": "application/json" },
      ),
    /^(200|400|413) /,
  ],
  [
    "a regular expression that backtracks",
    () =>
      post(
        "/querier.v1.QuerierService/LabelNames",
        JSON.stringify({ matchers: [`{a=~"${"(a*)*".repeat(50)}b"}`], start: "1", end: "2" }),
        { "content-type": "application/json" },
      ),
    /^(200|400) /,
  ],
];

describe("a bomb", () => {
  it.each(bombs)(
    "%s does no harm",
    async (_name, send, expected) => {
      const memory = `/proc/${server.child!.pid}`;
      writeFileSync(`${memory}/clear_refs`, "5"); // resets the peak
      const r = await send();
      expect(`${r.status} ${r.text.slice(0, 300)}`).toMatch(expected);
      expect(r.ms).toBeLessThan(60_000);
      expect(server.child!.exitCode).toBeNull();
      const peak = Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`${memory}/status`, "utf8"))![1]) * 1024;
      expect(peak).toBeLessThan(LIMIT * 1.5);
      // The server continues to accept pushes.
      expect(
        (
          await push(
            pushOf(
              gzipSync(
                tinyPprof({
                  stacks: [{ frames: ["main"], values: [1] }],
                  timeNanos: BigInt(Date.now()) * 1_000_000n,
                }),
              ),
            ),
          )
        ).status,
      ).toBe(200);
    },
    120_000,
  );
});
