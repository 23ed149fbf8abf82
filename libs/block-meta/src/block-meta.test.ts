import { gunzipSync, gzipSync } from "node:zlib";
import { CorruptError } from "@cinderblock/errors";
import { mutations, Random } from "@cinderblock/testkit";
import {
  type BlockMeta,
  decodeBucketIndex,
  decodeMeta,
  decodeShipper,
  encodeBucketIndex,
  encodeMeta,
  encodeShipper,
  isUlid,
  ulidOfDeletionMark,
  newUlid,
  secondsText,
  ulidTimeMs,
} from "./index.ts";

const META: BlockMeta = {
  ulid: "01M83BWES06AEJX19K2E07509W",
  minTimeMs: 1702904400005,
  maxTimeMs: 1795410100000,
  stats: { numSamples: 9, numSeries: 3, numProfiles: 6 },
  files: [
    { relPath: "index.tsdb", sizeBytes: 1523, tsdb: { numSeries: 3 } },
    { relPath: "symbols.symdb", sizeBytes: 604 },
  ],
  compaction: {
    level: 3,
    sources: ["01M83E9V2ZSZKM32N9C9J33NCF"],
    parents: [{ ulid: "01M83BWES00XN4Q897EJMX5XF6", minTimeMs: 1795409460000, maxTimeMs: 1795409495120 }],
  },
  version: 3,
  labels: { __hostname__: "h" },
  source: "compactor",
  downsampleResolution: 0,
};

describe("meta.json", () => {
  it("is damaged if a file's path leaves the block's folder", () => {
    const meta = (relPath: unknown): Uint8Array =>
      Buffer.from(
        JSON.stringify({
          ulid: "01HKG9VJT3Q3PM3A4A2ZD6F4CA",
          version: 3,
          minTime: 1,
          maxTime: 2,
          files: [{ relPath, sizeBytes: 1 }],
        }),
      );
    for (const good of ["index.tsdb", "symbols/index.symdb", "a..b"])
      expect(decodeMeta(meta(good)).files[0]!.relPath).toBe(good);
    for (const bad of [
      "",
      "..",
      "../x",
      "a/../../x",
      "/etc/passwd",
      "a//b",
      "a/",
      "a\\..\\b",
      "a\0b",
      ".",
      7,
      null,
    ])
      expect(() => decodeMeta(meta(bad))).toThrow(expect.objectContaining({ kind: "corrupt" }));
  });
  it("round-trips all fields", () => {
    expect(decodeMeta(Buffer.from(encodeMeta(META)))).toEqual(META);
  });
  it("writes times as decimal seconds, never with an exponent", () => {
    expect(encodeMeta(META)).toContain('"minTime": 1702904400.005,');
    expect(secondsText(1795409460000)).toBe("1795409460");
    expect(secondsText(-1500)).toBe("-1.5");
    expect(secondsText(120)).toBe("0.12");
  });
  it.each([
    ["{", "expected JSON"],
    ['{"ulid":"x"}', "expected a ULID"],
    [encodeMeta(META).replace('"version": 3', '"version": 4'), "expected version 1, 2 or 3"],
    [encodeMeta(META).replace("1795410100", '"1795410100"'), "expected minTime and maxTime"],
  ])("refuses %#", (text, message) => {
    expect(() => decodeMeta(Buffer.from(text), "u/meta.json")).toThrow(message);
  });
});

it("round-trips a bucket index", () => {
  const index = {
    version: 3,
    blocks: [
      {
        ulid: META.ulid,
        minTimeMs: 1702904400005,
        maxTimeMs: 1795410100000,
        uploadedAtS: 12,
        shardId: "1_of_2",
        level: 2,
      },
    ],
    marks: [{ ulid: META.ulid, deletionTimeS: 99 }],
    updatedAtS: 100,
  };
  expect(decodeBucketIndex(encodeBucketIndex(index))).toEqual(index);
  expect(() => decodeBucketIndex(Buffer.from("not gzip"))).toThrow("expected gzipped JSON");
});

it("makes ULIDs that sort by time", () => {
  const a = newUlid(1795409460000),
    b = newUlid(1795409460001);
  expect(isUlid(a)).toBe(true);
  expect(a < b).toBe(true);
  expect(ulidTimeMs(a)).toBe(1795409460000);
  expect(isUlid("not-a-ulid")).toBe(false);
  expect(ulidOfDeletionMark(`${a}-deletion-mark.json`)).toBe(a);
});

it("treats a damaged shipper.json as empty", () => {
  expect(decodeShipper(Buffer.from(encodeShipper([META.ulid])))).toEqual([META.ulid]);
  for (const text of ["{", "[]", '{"version":2,"uploaded":["x"]}'])
    expect(decodeShipper(Buffer.from(text))).toEqual([]);
});

it("survives mutated documents: an error that names the expected content, or a document", () => {
  const random = new Random(31);
  const index = encodeBucketIndex({
    version: 3,
    blocks: [
      {
        ulid: META.ulid,
        minTimeMs: 1702904400005,
        maxTimeMs: 1795410100000,
        uploadedAtS: 12,
        shardId: "1_of_2",
        level: 2,
      },
    ],
    marks: [{ ulid: META.ulid, deletionTimeS: 99 }],
    updatedAtS: 100,
  });
  const documents: [Uint8Array, (bytes: Uint8Array) => unknown][] = [
    [Buffer.from(encodeMeta(META)), (b) => decodeMeta(b)],
    [Buffer.from(encodeShipper([META.ulid])), (b) => decodeShipper(b)],
    [gunzipSync(index), (b) => decodeBucketIndex(gzipSync(b, { level: 1 }))],
  ];
  let refused = 0;
  for (const [good, decode] of documents)
    for (let i = 0; i < mutations(1000); i++)
      try {
        decode(random.mutate(good));
      } catch (err) {
        expect(err).toBeInstanceOf(CorruptError);
        refused++;
      }
  expect(refused).toBeGreaterThan(1000);
});
