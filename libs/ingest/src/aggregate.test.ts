import { gzipSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PushRequestSchema } from "@cinderblock/api";
import { CinderblockError } from "@cinderblock/errors";
import { mutations, Random, tinyPprof } from "@cinderblock/testkit";
import {
  type Aggregate,
  aggregateOf,
  sumPushAnswers,
  decodePush,
  encodePush,
  type IngestRequest,
  type PushAnswer,
  pushesBySeries,
  pushesOf,
  type SentPush,
} from "./index.ts";

const labels = (of: Record<string, string>) => Object.entries(of).map(([name, value]) => ({ name, value }));
const PROFILE = tinyPprof({ stacks: [{ frames: ["main"], values: [1] }] });
const request = create(PushRequestSchema, {
  series: [
    {
      labels: labels({ service_name: "größe", pod: "a".repeat(300), __session_id__: "1" }),
      samples: [{ rawProfile: PROFILE }, { rawProfile: gzipSync(PROFILE) }],
    },
    { labels: labels({ pod: "b" }), samples: [{ rawProfile: new Uint8Array(20_000).fill(7) }] },
    { labels: labels({ pod: "nothing" }), samples: [] },
  ],
});
const push = (body: Uint8Array, codec: "proto" | "json" = "proto", gzip = false): SentPush => ({
  kind: "push",
  codec,
  gzip,
  body,
});
const proto = toBinary(PushRequestSchema, request);
const INGEST: IngestRequest = {
  app: "shop.cpu",
  tags: labels({ __session_id__: "9", b: "2", a: "1" }),
  format: "groups",
  boundary: "",
  spyName: "spy",
  sampleRate: 100,
  fromNanos: 5n,
  durationNanos: 6n,
};

describe("pushes by series", () => {
  it("encode a push as protobuf does", () => {
    expect(Buffer.compare(encodePush(decodePush(proto)), proto)).toBe(0);
  });

  it("are the same for every encoding: series with their service and profiles, without empty ones", () => {
    const json = Buffer.from(
      JSON.stringify({
        series: request.series.map((s) => ({
          labels: s.labels,
          samples: s.samples.map((x) => ({ rawProfile: Buffer.from(x.rawProfile).toString("base64") })),
        })),
      }),
    );
    for (const p of [
      push(proto),
      push(gzipSync(proto), "proto", true),
      push(json, "json"),
      push(gzipSync(json), "json", true),
    ]) {
      const parts = pushesBySeries({ ...p, trickle: true }, "elsewhere", 1e6)!;
      expect(parts.map((s) => s.service)).toEqual(["größe", ""]);
      expect(parts.map((s) => s.push.trickle)).toEqual([true, true]);
      expect(parts.map((s) => fromBinary(PushRequestSchema, s.push.body).series)).toEqual([
        [request.series[0]],
        [request.series[1]],
      ]);
    }
  });

  it("stay unchanged for one series, which is named without its session and order", () => {
    const one = (of: Record<string, string>) => {
      const p = push(
        toBinary(
          PushRequestSchema,
          create(PushRequestSchema, { series: [{ labels: labels(of), samples: [{ rawProfile: PROFILE }] }] }),
        ),
      );
      return { p, parts: pushesBySeries(p, "", 1e6)! };
    };
    const a = one({ service_name: "s", pod: "p", __session_id__: "1" }),
      b = one({ pod: "p", __session_id__: "2", service_name: "s" }),
      c = one({ service_name: "s", pod: "q" });
    expect(a.parts[0]!.push).toBe(a.p);
    expect(b.parts[0]!.key).toBe(a.parts[0]!.key);
    expect(c.parts[0]!.key).not.toBe(a.parts[0]!.key);
  });

  it("of /ingest are one series, by format, application and tags", () => {
    const of = (r: Partial<IngestRequest>): string => {
      const p: SentPush = { kind: "ingest", request: { ...INGEST, ...r }, body: PROFILE },
        parts = pushesBySeries(p, "shop", 1e6)!;
      expect(parts.map((x) => [x.service, x.push])).toEqual([["shop", p]]);
      return parts[0]!.key;
    };
    const key = of({});
    expect(of({ tags: labels({ a: "1", b: "2", __session_id__: "3" }), fromNanos: 77n })).toBe(key);
    for (const other of [
      { app: "shop.alloc_objects" },
      { tags: labels({ a: "1" }) },
      { format: "lines" as const },
      { spyName: "x" },
    ])
      expect(of(other)).not.toBe(key);
  });

  it("are unknown for OTLP and for malformed, oversized or empty pushes; the decoder reports the error", () => {
    const none = toBinary(PushRequestSchema, create(PushRequestSchema, { series: [request.series[2]!] }));
    for (const p of [
      { ...push(proto), kind: "otlp" } as SentPush,
      push(Uint8Array.of(255)),
      push(proto, "json"),
      push(proto, "proto", true),
      push(none),
    ])
      expect(pushesBySeries(p, "", 1e6)).toBeUndefined();
    expect(pushesBySeries(push(proto), "", 1000)).toBeUndefined();
    expect(
      pushesBySeries({ kind: "ingest", request: INGEST, body: new Uint8Array(1001) }, "", 1000),
    ).toBeUndefined();
    expect(
      pushesBySeries(push(gzipSync(new Uint8Array(10_000_000)), "proto", true), "", 1000),
    ).toBeUndefined(); // a decompression bomb
  });
});

describe("an aggregate", () => {
  const pushes: SentPush[] = [
    push(proto),
    { kind: "ingest", request: INGEST, body: Buffer.from("a;b 1"), trickle: true },
    push(new Uint8Array(0)),
  ];

  it("contains its pushes in order", () => {
    const all = aggregateOf(15_000, pushes);
    expect([all.windowMs, all.trickle, all.body.length]).toEqual([15_000, true, proto.length + 5]);
    expect(pushesOf(all).map((p) => ({ ...p, body: Buffer.from(p.body).toString("hex") }))).toEqual(
      pushes.map((p) => ({ ...p, body: Buffer.from(p.body).toString("hex") })),
    );
    expect(aggregateOf(1, [pushes[0]!, pushes[2]!]).trickle).toBeUndefined();
  });

  it.each<[string, Partial<Aggregate>]>([
    ["no window", { windowMs: 0 }],
    ["a window that is no number", { windowMs: NaN }],
    ["a body that is too short", { body: new Uint8Array(3) }],
    ["an oversized part", { body: new Uint8Array(1e5) }],
    ["parts without a length", { parts: [{}] as never }],
    ["no parts", { parts: undefined as never }],
  ])("is refused with %s", (_, wrong) => {
    expect(() => pushesOf({ ...aggregateOf(15_000, pushes), ...wrong })).toThrow(CinderblockError);
  });

  it("has an answer for all pushes and for each", () => {
    const answer = (n: number, more: Partial<PushAnswer> = {}): PushAnswer => ({
      profiles: n,
      compressedBytes: n * 10,
      decompressedBytes: n * 100,
      samples: n * 1000,
      discarded: [],
      error: undefined,
      ...more,
    });
    const parts = [
      answer(1, {
        groupBytes: [
          ["a", 1],
          ["b", 2],
        ],
      }),
      answer(2, {
        groupBytes: [["b", 3]],
        trickled: true,
        discarded: [{ reason: "rate_limited", profiles: 1, bytes: 2 }],
      }),
      answer(0, { error: { kind: "invalid", message: "x" } }),
      answer(0, { error: { kind: "invalid", message: "y" } }),
      answer(0, { error: { kind: "limit", message: "z" } }),
    ];
    expect(sumPushAnswers(parts)).toEqual({
      profiles: 3,
      compressedBytes: 30,
      decompressedBytes: 300,
      samples: 3000,
      discarded: [{ reason: "rate_limited", profiles: 1, bytes: 2 }],
      groupBytes: [
        ["a", 1],
        ["b", 5],
      ],
      trickled: true,
      error: { kind: "invalid", message: "x\ny" },
      parts,
    });
  });

  it("survives mutation of its pushes: parts, or none", () => {
    const random = new Random(20261127);
    let told = 0;
    for (let i = 0; i < mutations(3000); i++) if (pushesBySeries(push(random.mutate(proto)), "", 1e6)) told++;
    expect(told).toBeGreaterThan(100);
  });
});
