import { loadHasher } from "@cinderblock/bytes";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyJfr } from "@cinderblock/testkit";
import { type IngestRequest, PushProcessor, RateGate, type SentPush } from "./index.ts";

const NOW = 1_795_409_460_000,
  /** room for 2^18 frames */
  BODY_LIMIT = 1 << 20;

function varint(n: number): number[] {
  const out: number[] = [];
  let rest = n;
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest & 127) | 128);
  return [...out, rest];
}
const field = (n: number, content: Uint8Array | readonly number[]): Buffer =>
  Buffer.concat([Buffer.from([...varint(n * 8 + 2), ...varint(content.length)]), Buffer.from(content)]);

/** An export whose samples share one stack of one function, `depth` frames deep. */
function otlp(profiles: number, samples: number, depth: number): SentPush {
  const texts = ["", "cpu", "nanoseconds", "samples", "count", "main"],
    dictionary = [
      field(1, []),
      field(2, []),
      field(2, field(3, [8, 1])),
      field(3, []),
      field(3, [8, 5]),
      ...texts.map((t) => field(5, Buffer.from(t))),
      field(7, []),
      field(7, field(1, Buffer.alloc(depth, 1))),
    ],
    profile = Buffer.concat([
      field(1, [8, 3, 16, 4]),
      ...Array.from({ length: samples }, () => field(2, [8, 1, 34, 1, 1])),
      field(5, [8, 1, 16, 2]),
      Buffer.from([48, ...varint(10_000_000)]),
    ]);
  return {
    kind: "otlp",
    codec: "proto",
    gzip: false,
    body: Buffer.concat([
      field(1, field(2, Buffer.concat(Array.from({ length: profiles }, () => field(2, profile))))),
      field(2, Buffer.concat(dictionary)),
    ]),
  };
}

function ingest(format: IngestRequest["format"], body: Uint8Array): SentPush {
  return {
    kind: "ingest",
    body,
    request: {
      app: "shop.cpu",
      tags: [],
      format,
      boundary: "",
      spyName: "test",
      sampleRate: 100,
      fromNanos: BigInt(NOW) * 1_000_000n,
      durationNanos: 0n,
    },
  };
}

/** A call tree of one path, `depth` frames deep, which ends in `leaves` functions with a value each. */
function tree(leaves: number, depth: number): SentPush {
  const node = (name: string, value: number, children: number): number[] => [
    ...varint(name.length),
    ...Buffer.from(name),
    ...varint(value),
    ...varint(children),
  ];
  return ingest(
    "tree",
    Buffer.from([
      ...node("", 0, 1),
      ...Array.from({ length: depth - 1 }, (_, i) => node("a", 0, i === depth - 2 ? leaves : 1)).flat(),
      ...Array.from({ length: leaves }, (_, i) => node(`leaf${i}`, 1, 0)).flat(),
    ]),
  );
}

/** A trace of `depth` nested calls, whose innermost call calls `leaves` functions, one after the other. */
function speedscope(leaves: number, depth: number): SentPush {
  const events: { type: string; frame: number; at: number }[] = [];
  for (let i = 0; i < depth - 1; i++) events.push({ type: "O", frame: 0, at: 0 });
  for (let i = 0; i < leaves; i++)
    events.push({ type: "O", frame: i + 1, at: i }, { type: "C", frame: i + 1, at: i + 1 });
  for (let i = 0; i < depth - 1; i++) events.push({ type: "C", frame: 0, at: leaves });
  const file = {
    $schema: "https://www.speedscope.app/file-format-schema.json",
    shared: { frames: Array.from({ length: leaves + 1 }, (_, i) => ({ name: `f${i}` })) },
    profiles: [{ type: "evented", name: "p", unit: "seconds", startValue: 0, endValue: leaves, events }],
  };
  return ingest("speedscope", Buffer.from(JSON.stringify(file)));
}

/** A recording with one stack, `depth` frames deep, and samples of as many spans. */
function jfr(spans: number, depth: number): SentPush {
  const frames = Array.from({ length: depth }, (): [string, string] => ["Main", "call"]);
  return ingest(
    "jfr",
    tinyJfr(
      Array.from({ length: spans }, (_, i) => ({
        type: "ExecutionSample",
        frames,
        state: "STATE_RUNNABLE",
        spanId: BigInt(i + 1),
        spanName: 0,
        traceHigh: 0n,
        traceLow: 0n,
      })),
    ),
  );
}

describe("the frames of all stacks of a body", () => {
  it.each<[format: string, of: (stacks: number, depth: number) => SentPush]>([
    ["an OTLP profile", (n, depth) => otlp(1, n, depth)],
    ["OTLP profiles together", (n, depth) => otlp(n, 1, depth)],
    ["a tree", tree],
    ["a speedscope trace", speedscope],
    ["a recording", jfr],
  ])("of %s take at most the memory of the largest body", async (_format, of) => {
    const hasher = await loadHasher(),
      limits = { ...TEST_LIMITS, ingestionBodyLimitBytes: BODY_LIMIT, maxProfileSizeBytes: 0 };
    let appended = 0;
    const send = (stacks: number, depth: number): string => {
      const push = of(stacks, depth);
      expect(push.body.length).toBeLessThan(BODY_LIMIT);
      const { error, discarded } = new PushProcessor(hasher, {
        append: () => {
          appended++;
        },
      }).process("t", push, limits, new RateGate(new SharedArrayBuffer(8)), NOW);
      return `${error?.message ?? "stored"} ${discarded.map((d) => d.reason).join()}`;
    };
    expect(send(400, 600)).toBe("stored ");
    expect(appended).toBeGreaterThan(0);
    expect(send(600, 600)).toMatch(
      /more than 262144 frames together.*ingestion_body_limit_mb.* body_size_limit_exceeded$/,
    );
  });

  it("count for the size of a profile, before the columns of its stacks are allocated", async () => {
    const { error } = new PushProcessor(await loadHasher(), { append: () => undefined }).process(
      "t",
      tree(600, 600),
      { ...TEST_LIMITS, maxProfileSizeBytes: 300_000 },
      new RateGate(new SharedArrayBuffer(8)),
      NOW,
    );
    expect(error?.message).toContain("max_profile_size_byte, actual: more than 300000");
  });
});
