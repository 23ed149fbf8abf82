import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  ExecuteRequestSchema,
  JobResultSchema,
  PushOutcomeSchema,
  QueryJobSchema,
  RowKeysSchema,
  RowTimesSchema,
  SeriesRangesSchema,
} from "@cinderblock/api";
import { kindOf } from "@cinderblock/errors";
import type { PushAnswer } from "@cinderblock/ingest";
import type { JobResult, PartialResult, QueryJob, SourceQuery } from "@cinderblock/query";
import { bytesOf, columnOf } from "./columns.ts";
import { fromJobResult, fromQueryJob, toJobResult, toQueryJob } from "./jobs.ts";
import { fromPushOutcome, toPushOutcome } from "./push-outcome.ts";
import {
  fromExclusions,
  fromRowKeys,
  fromRowTimes,
  fromSeriesRanges,
  toExclusions,
  toRowKeys,
  toRowTimes,
  toSeriesRanges,
} from "./rows.ts";

/** A message after its transfer; the offset makes its bytes unaligned. */
function crossed<M extends DescMessage>(schema: M, init: MessageInitShape<M>, offset = 1) {
  const bytes = toBinary(schema, create(schema, init)),
    moved = Buffer.alloc(bytes.length + offset); // as the network delivers it
  moved.set(bytes, offset);
  return fromBinary(schema, moved.subarray(offset));
}

const select = {
  profileTypeId: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  labelSelector: '{a="b"}',
  startMs: 1.5,
  endMs: Number.MAX_SAFE_INTEGER,
  profileIds: ["id"],
  shard: { index: 0, of: 4 },
};
const plain = { profileTypeId: "p", labelSelector: "{}", startMs: 0, endMs: 1 };
const stacks = { callSite: ["main"], only: ["a"], without: ["b"], hide: ["c"] };
const QUERIES: SourceQuery[] = [
  { kind: "tree", select, spans: ["s"], traces: ["t"], maxNodes: 16_384, alone: true },
  { kind: "tree", select: plain, spans: [], maxNodes: Infinity },
  { kind: "profile", select, spans: [] },
  {
    kind: "profile",
    select,
    spans: [],
    stacks: { callSite: ["a"], goPgo: { keepLocations: 5, aggregateCallees: true } },
  },
  {
    kind: "series",
    select,
    range: { startMs: 0, endMs: 60_000, stepMs: 15_000, groupBy: ["pod"] },
    callSite: ["a"],
    stacks,
    exemplars: "span",
  },
  { kind: "series", select: plain, range: { startMs: 0, endMs: 1, stepMs: 1, groupBy: [] } },
  { kind: "points", select, each: "profile", ids: true },
  { kind: "points", select },
  { kind: "profile-points", select, stacks },
  { kind: "samples", select, spans: ["s"] },
  { kind: "profiles", select, minValue: -1, maxValue: 2 ** 60, limit: 50 },
];

const labels = [{ name: "service_name", value: "shop" }];
const note = { key: "k", value: '{"body":1}' };
const tree = {
  nameBytes: Buffer.from("total"),
  nameOffset: Uint32Array.of(0, 5),
  parent: Int32Array.of(-1, 0),
  name: Uint32Array.of(0, 0),
  self: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n),
};
const bytes = new Uint8Array(16).fill(7);
const RESULTS: PartialResult[] = [
  { kind: "tree", tree: { ...tree, nameBytes: Uint8Array.from(tree.nameBytes) } },
  {
    kind: "tree",
    tree: { ...tree, nameBytes: Uint8Array.from(tree.nameBytes), folded: BigInt64Array.of(1n, 2n) },
  },
  {
    kind: "profile",
    profile: {
      stringBytes: bytes,
      stringOffset: Uint32Array.of(0, 16),
      functionWords: Uint32Array.of(1, 2, 3, 4),
      mappingWords: new Uint32Array(9),
      locationWords: Uint32Array.of(1, 2, 3, 4),
      locationOffset: Uint32Array.of(0, 4),
      stackParent: Int32Array.of(-1),
      stackLocation: Uint32Array.of(0),
      value: BigInt64Array.of(-5n),
    },
  },
  {
    kind: "series",
    series: [
      { labels, bucket: [1, 2], sum: [-5n, 2n ** 62n], count: [1, 2] },
      {
        labels: [],
        bucket: [1, 2],
        sum: [1n, 2n],
        count: [1, 1],
        exemplar: [null, { timeMs: 1, id: "i", span: "s", trace: "t", value: -3n, labels }],
        annotations: [[note], null],
      },
    ],
  },
  {
    kind: "samples",
    samples: {
      series: [labels, []],
      rowSeries: Uint32Array.of(0),
      rowTime: BigInt64Array.of(1n),
      rowId: bytes,
      row: Uint32Array.of(0, 0),
      stack: Uint32Array.of(1, 0),
      value: BigInt64Array.of(1n, 2n),
      span: Uint32Array.of(1, 2, 3, 4),
      tree: { ...tree, nameBytes: Uint8Array.from(tree.nameBytes) },
    },
  },
  { kind: "points", points: { timeMs: Float64Array.of(0.5), value: Float64Array.of(-1) } },
  {
    kind: "points",
    points: {
      timeMs: Float64Array.of(0.5),
      value: Float64Array.of(-1),
      series: [labels],
      of: Uint32Array.of(0),
      notes: [[note], []],
      noteOf: Uint32Array.of(1),
      id: bytes,
      span: Uint32Array.of(1, 2),
      trace: Uint32Array.of(1, 2, 3, 4),
    },
  },
  {
    kind: "profiles",
    list: { profiles: [{ id: "i", timeMs: 1, value: 2, labels: ["a", "b"] }], count: 9, total: 2 ** 53 },
    limit: 10,
  },
];

const block = {
  ulid: "01M8EKZW7M023ZEFRNNKY74X0A",
  minTimeMs: 1,
  maxTimeMs: 2,
  level: 3,
  sources: ["a"],
  parents: ["b"],
  shardId: "1_of_4",
  hints: ["h"],
};
const warnings = ["a source did not answer"];
const query = { matchers: ["{}"], startMs: 0, endMs: 1 };

describe("messages between processes", () => {
  it.each<QueryJob>([
    ...QUERIES.map((q): QueryJob => ({ kind: "select", query: q })),
    { kind: "labels", ask: { kind: "names", query }, of: { query: "q", part: 3 } },
    { kind: "labels", ask: { kind: "values", name: "pod", query }, columns: true, ends: [0, 2 ** 40] },
    { kind: "labels", ask: { kind: "series", names: ["a"], query, columns: true }, ends: [], topicId: "t" },
    { kind: "blocks", startMs: 0, endMs: 1 },
    { kind: "digests", ranges: [{ startMs: 0, endMs: 1 }] },
  ])("carry a query of kind $kind", (job) => {
    expect(fromQueryJob(crossed(QueryJobSchema, toQueryJob(job)))).toEqual(job);
  });

  it.each<JobResult>([
    { kind: "select", parts: RESULTS, warnings, digest: "d" },
    { kind: "digests", digests: ["a"], warnings: [] },
    { kind: "labels", answer: { names: ["a"], sets: [labels] }, warnings },
    {
      kind: "labels",
      answer: {
        names: [],
        sets: [],
        tables: [
          {
            names: ["pod"],
            nameOf: Uint32Array.of(0),
            values: ["a", ""],
            pairs: Uint32Array.of(1),
            ends: Uint32Array.of(1),
          },
        ],
      },
      warnings,
    },
    { kind: "blocks", recent: [{ ...block, rows: 7 }], stored: [block], chosen: ["c"], warnings },
  ])("carry a result of kind $kind, aligned or not", (result) => {
    for (let offset = 0; offset < 9; offset++)
      expect(fromJobResult(crossed(JobResultSchema, toJobResult(result), offset))).toEqual(result);
  });

  it("carry rows of a source", () => {
    const head = {
      ulid: block.ulid,
      form: "head" as const,
      upTo: -1,
      fingerprint: BigUint64Array.of(2n ** 63n),
    };
    const ranges = { ...head, min: BigInt64Array.of(1n), max: BigInt64Array.of(2n) },
      times = { ...head, count: Uint32Array.of(1), timeNanos: BigInt64Array.of(3n) },
      keys = {
        ...head,
        timeNanos: BigInt64Array.of(3n),
        id: bytes,
        total: BigInt64Array.of(4n),
        row: Uint32Array.of(9),
      };
    expect(fromSeriesRanges(crossed(SeriesRangesSchema, toSeriesRanges(ranges)))).toEqual(ranges);
    expect(fromRowTimes(crossed(RowTimesSchema, toRowTimes(times)))).toEqual(times);
    expect(fromRowKeys(crossed(RowKeysSchema, toRowKeys(keys)))).toEqual(keys);
    const exclude = {
      [block.ulid]: { form: "block" as const, upTo: -1, rows: Uint32Array.of(1), late: new Uint32Array(0) },
      other: { upTo: 5, rows: new Uint32Array(0) },
    };
    const request = crossed(ExecuteRequestSchema, { exclude: toExclusions(exclude) });
    expect(fromExclusions(request.exclude)).toEqual(exclude);
  });

  it("carry the answer to a push, with its error, groups and parts", () => {
    const none = { profiles: 0, compressedBytes: 0, decompressedBytes: 0, samples: 0, discarded: [] };
    const refused: PushAnswer = {
      ...none,
      decompressedBytes: 2 ** 40,
      discarded: [
        { reason: "rate_limited", profiles: 1, bytes: 5, groups: ["g"] },
        { reason: "invalid_labels", profiles: 1, bytes: 5 },
      ],
      error: {
        kind: "limit",
        message: "m",
        reason: "rate_limited",
        detail: { limit: 3, block: "b", hard: false },
      },
      trickled: true,
      groupBytes: [["g", 7]],
    };
    for (const answer of [
      { ...none, error: undefined },
      refused,
      { ...none, error: undefined, parts: [refused] },
    ])
      expect(fromPushOutcome(crossed(PushOutcomeSchema, toPushOutcome(answer)))).toEqual(answer);
  });

  it("refuse parts of an element, and kinds of another release", () => {
    const refusal = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (err) {
        return kindOf(err);
      }
    };
    expect(refusal(() => columnOf(Uint32Array, new Uint8Array(7)))).toBe("invalid");
    expect(refusal(() => fromQueryJob(create(QueryJobSchema, {})))).toBe("invalid");
    expect(refusal(() => fromJobResult(create(JobResultSchema, {})))).toBe("invalid");
    const view = columnOf(Uint32Array, bytesOf(Uint32Array.of(1, 2)));
    expect([...view]).toEqual([1, 2]);
  });
});
