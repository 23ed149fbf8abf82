import { loadHasher } from "@cinderblock/bytes";
import { encodeExport } from "@cinderblock/otlp";
import { encodePprof, PprofDecoder, pprofSize } from "@cinderblock/pprof";
import { Random, tinyPprof } from "@cinderblock/testkit";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import {
  FrameBudget,
  type IngestRequest,
  type ProcessedProfile,
  PushProcessor,
  RateGate,
  type SentPush,
} from "./index.ts";
import { OtlpReader, type OtlpSeries } from "./otlp.ts";

const NOW = 1_795_409_460_000;

/** An export of a random profile, with labels and spans. */
function randomExport(random: Random, stacks: number): Uint8Array {
  const pprof = tinyPprof({
    types: [["cpu", "nanoseconds"]],
    period: ["cpu", "nanoseconds"],
    timeNanos: BigInt(NOW) * 1_000_000n,
    stacks: Array.from({ length: stacks }, () => ({
      frames: Array.from({ length: 1 + random.below(30) }, () => `function_${random.below(400)}`),
      values: [1 + random.below(2 ** 31)],
      ...(random.below(2) === 0
        ? { labels: { span_id: "0102030405060708", thread: `t${random.below(5)}` } }
        : {}),
    })),
  });
  return encodeExport(new PprofDecoder().decode(pprof), [["service.name", `shop${stacks}`]]);
}

/** Labels and pprof of each series. */
const described = (series: readonly OtlpSeries[]): unknown =>
  series.map((s) => ({
    labels: s.labels,
    pprof: Buffer.from(encodePprof(s.header, s.source)).toString("hex"),
    size: pprofSize(s.header, s.source),
  }));
const read = (reader: OtlpReader, body: Uint8Array): unknown =>
  described(reader.series(reader.read(body, "proto"), 1n, new FrameBudget(0)));

describe("a reader of exports", () => {
  it("reads each export as a new reader does, also after a broken one", () => {
    const random = new Random(5),
      reader = new OtlpReader();
    for (const stacks of [40, 3, 0, 900, 2, 200, 1]) {
      const body = randomExport(random, stacks);
      expect(read(reader, body)).toEqual(read(new OtlpReader(), body));
      try {
        read(reader, random.mutate(body));
      } catch {
        // The state that an error leaves is the subject.
      }
    }
  });

  it("keeps every profile of an export", () => {
    const one = randomExport(new Random(6), 30),
      alone = read(new OtlpReader(), one) as unknown[],
      profiles = Buffer.concat([one, resourcesOf(one), resourcesOf(one)]);
    expect(read(new OtlpReader(), profiles)).toEqual([...alone, ...alone, ...alone]);
  });
});

/** The fields 1 of an export, without its dictionary. */
function resourcesOf(body: Uint8Array): Uint8Array {
  const out: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const from = at,
      tag = body[at++]!;
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const b = body[at++]!;
      size |= (b & 127) << shift;
      if (b < 128) break;
    }
    at += size;
    if (tag === 10) out.push(body.subarray(from, at));
  }
  return Buffer.concat(out);
}

describe("the ID of a profile that was no pprof", () => {
  const request: IngestRequest = {
    app: "shop.cpu",
    tags: [],
    format: "groups",
    boundary: "",
    spyName: "test",
    sampleRate: 100,
    fromNanos: BigInt(NOW) * 1_000_000n,
    durationNanos: 0n,
  };
  const text = (body: string, more: Partial<IngestRequest> = {}): SentPush => ({
    kind: "ingest",
    request: { ...request, ...more },
    body: Buffer.from(body),
  });
  const otlp = (body: Uint8Array): SentPush => ({ kind: "otlp", codec: "proto", gzip: false, body });

  async function idsOf(push: SentPush): Promise<string[]> {
    const ids: string[] = [];
    new PushProcessor(await loadHasher(), {
      append: (_tenant: string, p: ProcessedProfile) => {
        for (const g of p.groups) ids.push(Buffer.from(g.id).toString("hex"));
      },
    }).process("t", push, TEST_LIMITS, new RateGate(new SharedArrayBuffer(8)), NOW);
    return ids;
  }

  it("is the same for a retry, and another for another body or another setting", async () => {
    const ids = await Promise.all(
      [
        text("a;b 1\n"),
        text("a;b 2\n"),
        text("a;b 1\n", { sampleRate: 10 }),
        text("a;b 1\n", { app: "shop.alloc_objects" }),
        text("a;b 1\n", { app: "shop.inuse_objects" }),
      ].map(idsOf),
    );
    expect(ids.every((list) => list.length === 1)).toBe(true);
    expect(new Set(ids.flat()).size).toBe(ids.length);
    expect(await idsOf(text("a;b 1\n"))).toEqual(ids[0]);
  });

  it("differs for equal profiles at two places of an export", async () => {
    const body = randomExport(new Random(8), 1),
      ids = await idsOf(otlp(Buffer.concat([body, resourcesOf(body)])));
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(2);
    expect(await idsOf(otlp(Buffer.concat([body, resourcesOf(body)])))).toEqual(ids);
  });
});
