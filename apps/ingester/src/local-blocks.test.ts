import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import { type BlockMeta, encodeMeta } from "@cinderblock/block-meta";
import { createLogger } from "@cinderblock/telemetry";
import { LocalBlocks } from "./local-blocks.ts";

const meta = (ulid: string, sizes: number[], level = 1): BlockMeta =>
  ({
    ulid,
    files: sizes.map((sizeBytes, i) => ({ relPath: `f${i}`, sizeBytes })),
    compaction: { level },
  }) as unknown as BlockMeta;

describe("blocks on an ingester's disk", () => {
  it("are confined to the data directory, for any tenant and block name", () => {
    const outer = temporaryFolder(),
      path = join(outer, "data"),
      ulid = "01M8EKZW7M023ZEFRNNKY74X0A",
      victim = join(outer, "local", ulid);
    mkdirSync(path);
    mkdirSync(victim, { recursive: true });
    const blocks = new LocalBlocks(path, createLogger({ level: "silent", format: "json" }));
    const refused = expect.objectContaining({ kind: "invalid" });
    for (const act of [
      () => blocks.add("..", meta(ulid, [1])),
      () => blocks.remove("..", ulid),
      () => blocks.remove("t", "../../../local"),
      () => blocks.quarantine("..", ulid, new Error("damaged")),
      () => blocks.markUploaded("..", ulid),
      () => blocks.path("..", ulid),
      () => blocks.path("t", ".."),
    ])
      expect(act).toThrow(refused);
    expect(readdirSync(outer, { recursive: true }).sort()).toEqual(["data", "local", `local/${ulid}`]);
  });
  it("are summed until their upload, through additions and removals", () => {
    const path = temporaryFolder(),
      blocks = new LocalBlocks(path, createLogger({ level: "silent", format: "json" }));
    const [a, b, c, d] = [
      "01M8EKZW7M023ZEFRNNKY74X0A",
      "01M8EKZW7M023ZEFRNNKY74X0B",
      "01M8EKZW7M023ZEFRNNKY74X0C",
      "01M8EKZW7M023ZEFRNNKY74X0D",
    ];
    for (const [tenant, ulid] of [
      ["t", a],
      ["t", b],
      ["u", c],
    ] as const)
      mkdirSync(join(path, tenant, "local", ulid!), { recursive: true });
    expect(blocks.unshippedBytes()).toBe(0);
    blocks.add("t", meta(a!, [10, 5]));
    expect(blocks.unshippedBytes()).toBe(15);
    blocks.add("t", meta(b!, [100]));
    blocks.add("u", meta(c!, [1000]));
    blocks.add("u", meta(d!, [7], 2)); // compacted: it came from the bucket
    expect(blocks.unshippedBytes()).toBe(1115);
    blocks.markUploaded("t", b!);
    expect(blocks.unshippedBytes()).toBe(1015);
    blocks.quarantine("u", c!, new Error("damaged"));
    expect(blocks.unshippedBytes()).toBe(15);
    blocks.remove("t", a!);
    expect(blocks.unshippedBytes()).toBe(0);
    // Another process finds no readable block.
    const again = new LocalBlocks(path, createLogger({ level: "silent", format: "json" }));
    again.add("t", meta(a!, [3]));
    expect(again.unshippedBytes()).toBe(3);
    again.scan();
    expect(again.unshippedBytes()).toBe(3);
  });
  it("are adopted whole from the folder of a head, and nothing else there is touched", () => {
    const path = temporaryFolder(),
      [whole, cut, bare, both] = [
        "01M8EKZW7M023ZEFRNNKY74X0A",
        "01M8EKZW7M023ZEFRNNKY74X0B",
        "01M8EKZW7M023ZEFRNNKY74X0C",
        "01M8EKZW7M023ZEFRNNKY74X0D",
      ] as const;
    const block = (folder: string, ulid: string, bytes = 7): void => {
      mkdirSync(join(folder, ulid, "symbols"), { recursive: true });
      writeFileSync(join(folder, ulid, "index.tsdb"), Buffer.alloc(5));
      writeFileSync(join(folder, ulid, "symbols", "strings.parquet"), Buffer.alloc(bytes));
      writeFileSync(
        join(folder, ulid, "meta.json"),
        encodeMeta({
          ulid,
          minTimeMs: 1,
          maxTimeMs: 2,
          stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
          files: [
            { relPath: "index.tsdb", sizeBytes: 5 },
            { relPath: "symbols/strings.parquet", sizeBytes: 7 },
          ],
          compaction: { level: 1, sources: [ulid], parents: [] },
          version: 3,
          labels: {},
          source: "ingester",
          downsampleResolution: 0,
        } as unknown as BlockMeta),
      );
    };
    const heads = join(path, "t", "head");
    for (const [ulid, bytes] of [
      [whole, 7],
      [cut, 3],
      [both, 7],
    ] as const)
      block(heads, ulid, bytes);
    block(join(path, "t", "local"), both);
    mkdirSync(join(heads, bare));
    writeFileSync(join(heads, bare, "profiles.parquet"), "");
    mkdirSync(join(path, "t", "cut", bare), { recursive: true });
    const blocks = new LocalBlocks(path, createLogger({ level: "silent", format: "json" }));
    expect(blocks.hasFolders()).toBe(true);
    blocks.scan();
    expect(readdirSync(heads).sort()).toEqual([cut, bare, both].sort());
    expect(readdirSync(join(path, "t", "local")).sort()).toEqual([whole, both].sort());
    expect(readdirSync(join(path, "t", "cut"))).toEqual([]);
    expect(
      blocks
        .metas("t")
        .map((m) => m.ulid)
        .sort(),
    ).toEqual([whole, both].sort());
    expect([blocks.damagedBlocks("t"), blocks.headsLeft]).toEqual([[], 3]);
  });
});
