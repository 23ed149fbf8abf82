import {
  blockOf,
  CinderblockError,
  CorruptError,
  ERROR_KINDS,
  fromErrorRecord,
  isDeterministicRefusal,
  isRefusal,
  noRoom,
  toErrorRecord,
  withBlock,
} from "./index.ts";

/** An error after its transfer to another process. */
const crossed = (err: unknown): CinderblockError =>
  fromErrorRecord(JSON.parse(JSON.stringify(toErrorRecord(err))) as ReturnType<typeof toErrorRecord>);

describe("an error that crosses threads and processes", () => {
  it("keeps kind, message, reason and detail", () => {
    expect(crossed(noRoom("heads", "heads use 2 bytes; the limit is 1", { usedBytes: 2 }))).toMatchObject({
      kind: "no-room",
      message: "heads use 2 bytes; the limit is 1",
      reason: "rate_limited",
      detail: { resource: "heads", usedBytes: 2 },
    });
    expect(crossed(new CorruptError("a/index.tsdb", 7, "expected magic"))).toMatchObject({
      kind: "corrupt",
      detail: { file: "a/index.tsdb", offset: 7 },
    });
    for (const kind of ERROR_KINDS) expect(crossed(new CinderblockError(kind, "m")).kind).toBe(kind);
    expect(crossed(new Error("a bug")).kind).toBe("internal");
  });

  it("is internal if its kind is of a later release", () => {
    expect(fromErrorRecord({ kind: "of-tomorrow" as "internal", message: "m" }).kind).toBe("internal");
  });
});

describe("the block of an error", () => {
  const ulid = "01M8EKZW7M023ZEFRNNKY74X0A";
  const thrown = (err: Error): Promise<unknown> =>
    withBlock(ulid, () => {
      throw err;
    }).catch((e: unknown) => e);

  it("is named by work on a block for damage and missing files, crosses processes, and the innermost wins", async () => {
    for (const err of [
      new CorruptError("column Samples", 0, "expected 3 rows"),
      new CinderblockError("not-found", "no object"),
    ])
      expect(blockOf(crossed(await thrown(err)))).toBe(ulid);
    const other = "01M8EKZW7M023ZEFRNNKY74X0B";
    const inner = new CorruptError("x", 0, "y", { detail: { block: other } });
    expect(blockOf(await thrown(inner))).toBe(other);
  });

  it("is unknown for errors that say nothing about a block, whatever their message names", async () => {
    for (const err of [new CinderblockError("unavailable", `${ulid} did not answer`), new Error(ulid)])
      expect(blockOf(await thrown(err))).toBeUndefined();
    expect(blockOf(new CorruptError(`${ulid}/index.tsdb`, 0, "expected magic"))).toBeUndefined();
  });
});

describe("refusals", () => {
  it("are deterministic if they depend only on the push", () => {
    expect(ERROR_KINDS.filter((kind) => isDeterministicRefusal({ kind }))).toEqual([
      "invalid",
      "too-large",
      "unknown",
    ]);
    expect(isDeterministicRefusal({ kind: "limit", reason: "ingest_limit_reached" })).toBe(true);
    expect(isDeterministicRefusal({ kind: "limit", reason: "rate_limited" })).toBe(false);
    expect(isDeterministicRefusal({ kind: "limit", reason: "series_limit" })).toBe(false);
  });

  it("are answers; a temporary lack of resources never is", () => {
    expect(ERROR_KINDS.filter(isRefusal)).toEqual(["invalid", "limit", "too-large", "unknown"]);
  });
});
