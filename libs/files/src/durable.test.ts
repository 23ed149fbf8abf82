import fs from "node:fs";
import { join } from "node:path";
import { PowerCutDisk, temporaryFolder } from "@cinderblock/testkit";
import { replaceFile, replaceFileSync } from "./index.ts";

describe("a file that is replaced", () => {
  afterEach(() => jest.restoreAllMocks());

  it("holds the old content or the new one after a power cut at any call", () => {
    const root = temporaryFolder(),
      disk = new PowerCutDisk(root),
      path = join("made", "on", "the", "way", "tokens.json");
    const seen = new Set<string>();
    let old = "";
    disk.onStep = () => {
      const { onStep } = disk;
      disk.onStep = () => undefined;
      const copy = temporaryFolder();
      disk.cut(copy);
      disk.onStep = onStep;
      seen.add(fs.existsSync(join(copy, path)) ? fs.readFileSync(join(copy, path), "utf8") : "");
      for (const text of seen) expect(["", "first", "second"]).toContain(text);
      expect(seen.has(old)).toBe(true);
    };
    replaceFileSync(join(root, path), "first");
    seen.clear();
    old = "first";
    replaceFileSync(join(root, path), "second");
    const after = temporaryFolder();
    disk.onStep = () => undefined;
    disk.cut(after);
    expect(fs.readFileSync(join(after, path), "utf8")).toBe("second");
  });

  it("is replaced without leftover files, by both forms", async () => {
    const path = join(temporaryFolder(), "a", "b.json");
    await replaceFile(path, "one");
    replaceFileSync(path, Buffer.from("two"));
    await replaceFile(path, "three");
    expect(fs.readFileSync(path, "utf8")).toBe("three");
    expect(fs.readdirSync(join(path, ".."))).toEqual(["b.json"]);
  });

  it("stays unchanged when the write fails, without leftover files", () => {
    const path = join(temporaryFolder(), "b.json");
    replaceFileSync(path, "one");
    jest.spyOn(fs, "writeSync").mockImplementation(() => {
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    });
    expect(() => replaceFileSync(path, "two")).toThrow("ENOSPC");
    expect(fs.readFileSync(path, "utf8")).toBe("one");
    expect(fs.readdirSync(join(path, ".."))).toEqual(["b.json"]);
  });
});
