import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { ShortRead } from "@cinderblock/bytes";
import { mutations, Random } from "@cinderblock/testkit";
import { AddressTable, DebugFileError, readDebugFile } from "./index.ts";

// golden/tiny.c, as its first line says.
const golden = (name: string): Uint8Array =>
  new Uint8Array(gunzipSync(readFileSync(`${import.meta.dirname}/golden/${name}.gz`)));
function frames(t: AddressTable, address: bigint, mapping = { start: 0n, offset: 0n }): string {
  const text = (i: number): string =>
    Buffer.from(t.stringBytes.subarray(t.stringOffset[i], t.stringOffset[i + 1])).toString();
  return t
    .lookup(address, mapping)
    .map((f) => `${text(f.name)} ${text(f.file).split("/").at(-1)}:${f.line} (${f.startLine})`)
    .join(" < ");
}

describe("debug files", () => {
  it.each(["tiny-dwarf4", "tiny-dwarf5"])(
    "%s: functions, inlined ones first, with files and lines",
    (name) => {
      const { buildId, table } = readDebugFile(golden(name));
      expect(buildId).toMatch(/^[0-9a-f]{40}$/);
      const at = (a: bigint): string => frames(table, a);
      expect([at(0x401010n), at(0x401019n), at(0x401028n), at(0x401055n), at(0x401060n)]).toEqual(
        [
          "square tiny.c:5 (4) < both tiny.c:9 (8) < work tiny.c:17 (14)",
          "square tiny.c:5 (4) < both tiny.c:10 (8) < work tiny.c:17 (14)",
          "square tiny.c:5 (4) < both tiny.c:10 (8) < work tiny.c:17 (14)",
          "_start tiny.c:22 (21)",
          "_start tiny.c:23 (21)",
        ].map((f, i) => (i === 2 ? expect.stringContaining("work tiny.c:17 (14)") : f)),
      );
      expect([at(0x400000n), at(0x402000n), at(0n), at(2n ** 63n)]).toEqual(["", "", "", ""]);
    },
  );
  it("addresses are translated from any load address", () => {
    const { table } = readDebugFile(golden("tiny-dwarf5"));
    // The code is at 0x1000 of the file; the process maps it at 0x7f0000001000.
    expect(frames(table, 0x7f0000001055n, { start: 0x7f0000001000n, offset: 0x1000n })).toBe(
      "_start tiny.c:22 (21)",
    );
    expect(frames(table, 0x7f0000001055n, { start: 0x7f0000000000n, offset: 0n })).toBe(
      "_start tiny.c:22 (21)",
    );
    expect(frames(table, 0x7f0000901055n, { start: 0x7f0000001000n, offset: 0x1000n })).toBe("");
  });
  it("become tables that round-trip, and are refused with a changed byte", () => {
    const { table } = readDebugFile(golden("tiny-dwarf5")),
      bytes = table.encode(),
      back = AddressTable.decode(bytes);
    for (let a = 0x400ff0n; a < 0x401070n; a++) expect(frames(back, a)).toBe(frames(table, a));
    // Views of a larger buffer may begin at any offset.
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    expect(frames(AddressTable.decode(shifted.subarray(1)), 0x401055n)).toBe("_start tiny.c:22 (21)");
    for (const at of [0, 9, 20, 60, bytes.length - 1]) {
      const bad = bytes.slice();
      bad[at]! ^= 4;
      expect(() => AddressTable.decode(bad)).toThrow(ShortRead);
    }
    expect(() => AddressTable.decode(bytes.subarray(0, 40))).toThrow("expected a table of at least");
  });
  it("are refused with a reason if they are another file", () => {
    const tiny = golden("tiny-dwarf5"),
      changed = (at: number, v: number): Uint8Array => {
        const b = tiny.slice();
        b[at] = v;
        return b;
      };
    const why = (b: Uint8Array): string => {
      try {
        readDebugFile(b);
        return "none";
      } catch (err) {
        expect(err).toBeInstanceOf(DebugFileError);
        return (err as Error).message;
      }
    };
    expect([
      why(Buffer.from("#!/bin/sh\n".padEnd(60))),
      why(changed(5, 2)),
      why(changed(4, 9)),
      why(tiny.slice(0, 3000)),
    ]).toEqual([
      "not a debug file: expected an ELF file, which begins with 7f 45 4c 46",
      "not a debug file: expected a little-endian ELF file",
      "not a debug file: expected an ELF file of 32 or 64 bits, found class 9",
      "not a debug file: expected headers inside the file: the file is truncated",
    ]);
  });
  it("survive mutation: an error with the expected content, or a table", () => {
    const random = new Random(20261126),
      whole = [golden("tiny-dwarf4"), golden("tiny-dwarf5")],
      rounds = mutations(3000);
    let refused = 0;
    for (let i = 0; i < rounds; i++) {
      try {
        const { table } = readDebugFile(random.mutate(whole[i % 2]!));
        frames(table, 0x401010n);
        table.encode();
      } catch (err) {
        if (!(err instanceof DebugFileError)) throw err;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(rounds / 50);
    expect(refused).toBeLessThan(rounds);
  });
});
