import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BlockMeta, encodeMeta, encodeShipper, newUlid } from "@cinderblock/block-meta";
import { CorruptError } from "@cinderblock/errors";
import { createLogger } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { LocalBlocks } from "./local-blocks.ts";

const ULID = newUlid(1_795_000_000_000);
const META: BlockMeta = {
  ulid: ULID,
  minTimeMs: 1000,
  maxTimeMs: 2000,
  stats: { numSamples: 1, numSeries: 1, numProfiles: 1 },
  files: [],
  compaction: { level: 1, sources: [ULID], parents: [] },
  version: 3,
  labels: {},
  source: "ingester",
  downsampleResolution: 0,
};
function dataPath(): { dir: string; local: string } {
  const dir = temporaryFolder(),
    local = join(dir, "t", "local");
  mkdirSync(join(local, ULID), { recursive: true });
  writeFileSync(join(local, ULID, "meta.json"), encodeMeta(META));
  return { dir, local };
}
function scanned(dir: string): LocalBlocks {
  const blocks = new LocalBlocks(dir, createLogger({ level: "silent", format: "logfmt" }));
  blocks.scan();
  return blocks;
}

describe("a local block that cannot be read", () => {
  it("stays listed as damaged across restarts until its folder is removed, if it was never uploaded", () => {
    const { dir } = dataPath(),
      blocks = scanned(dir),
      expected = [
        { ulid: ULID, minTimeMs: 1000, maxTimeMs: 2000, reason: expect.stringContaining("bad page") },
      ];
    blocks.quarantine("t", ULID, new CorruptError(`${ULID}/profiles.parquet`, 4, "bad page"));
    for (const b of [blocks, scanned(dir), scanned(dir)]) {
      expect(b.damagedBlocks("t")).toEqual(expected);
      expect([b.has("t", ULID), b.unshippedBlocks()]).toEqual([false, []]);
    }
    expect(existsSync(join(dir, "t", "quarantine", ULID, "meta.json"))).toBe(true);
    rmSync(join(dir, "t", "quarantine", ULID), { recursive: true });
    expect(scanned(dir).damagedBlocks("t")).toEqual([]);
  });

  it("is removed with its deleted tenant", () => {
    const { dir } = dataPath(),
      blocks = scanned(dir);
    blocks.quarantine("t", ULID, new CorruptError(`${ULID}/profiles.parquet`, 4, "bad page"));
    blocks.removeDamaged("t", ULID);
    for (const b of [blocks, scanned(dir)]) expect(b.allDamaged()).toEqual([]);
  });

  it("is not listed when the bucket has it", () => {
    const { dir, local } = dataPath();
    writeFileSync(join(local, "shipper.json"), encodeShipper([ULID]));
    const blocks = scanned(dir);
    blocks.quarantine("t", ULID, new CorruptError(`${ULID}/profiles.parquet`, 4, "bad page"));
    for (const b of [blocks, scanned(dir)]) expect(b.allDamaged()).toEqual([]);
  });

  it("may cover any time if its meta.json is damaged or missing", () => {
    for (const text of ["{", undefined]) {
      const { dir, local } = dataPath();
      if (text === undefined) rmSync(join(local, ULID, "meta.json"));
      else writeFileSync(join(local, ULID, "meta.json"), text);
      expect(scanned(dir).damagedBlocks("t")).toEqual([
        expect.objectContaining({ ulid: ULID, minTimeMs: 0, maxTimeMs: Number.MAX_SAFE_INTEGER }),
      ]);
    }
  });

  it("fails the start if the error says nothing about its content; the next start finds it", () => {
    const { dir, local } = dataPath(),
      meta = join(local, ULID, "meta.json");
    // Reading a folder as a file fails with EISDIR for every user; it stands for EACCES, EMFILE and EIO.
    rmSync(meta);
    mkdirSync(meta);
    expect(() => scanned(dir)).toThrow("EISDIR");
    rmSync(meta, { recursive: true });
    writeFileSync(meta, encodeMeta(META));
    const blocks = scanned(dir);
    expect([blocks.has("t", ULID), blocks.damagedBlocks("t")]).toEqual([true, []]);
  });
});
