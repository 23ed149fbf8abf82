import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, temporaryFolder } from "@cinderblock/testkit";
import { type AddressTable, readDebugFile } from "./index.ts";
import { readableName } from "./readable-name.ts";

// Compares the output of local compilers with the results of their own tools.
const work = temporaryFolder();
const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, {
    cwd: work,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" },
  });

const CPP = `
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>
namespace shop {
struct Cart { std::vector<int> v; int total(int k) const; static inline int twice(int x) { return x * 2 + (x > 7 ? x % 3 : 1); } };
__attribute__((noinline)) int Cart::total(int k) const { int s = 0; for (int x : v) s += twice(x) ^ k; return s; }
template <class T> __attribute__((noinline)) T biggest(std::vector<T> v) { std::sort(v.begin(), v.end()); return v.back(); }
}
int main(int c, char **) { shop::Cart x; for (int i = 0; i < 100 * c; i++) x.v.push_back(i); std::string s = "hi"; s += std::to_string(x.total(c)); std::printf("%s %d\\n", s.c_str(), shop::biggest(x.v)); }
`;
const GO = `package main

import ("fmt"; "os"; "sort"; "strings")

type shelf struct{ items []string }

//go:noinline
func (s *shelf) find(n string) int { return sort.SearchStrings(s.items, n) }
func up(s string) string { return strings.ToUpper(s) }
func main() { s := &shelf{items: os.Args}; fmt.Println(s.find(up("x"))) }
`;

/** Addresses at equal distances in the text section. */
function addresses(file: string, n: number): number[] {
  const m = /\.text\s+PROGBITS\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)/.exec(run("readelf", "-SW", file))!,
    start = parseInt(m[1]!, 16),
    size = parseInt(m[2]!, 16);
  return Array.from({ length: n }, (_, i) => start + Math.floor((size * (i + 0.5)) / n));
}
function textOf(t: AddressTable): (i: number) => string {
  return (i) => Buffer.from(t.stringBytes.subarray(t.stringOffset[i], t.stringOffset[i + 1])).toString();
}
/** The plain name, without its scopes and its parameters. */
const bare = (name: string): string =>
  name
    .replace(/^.*? (?=operator)/, "")
    .replace(/\(.*$/, "")
    .replace(/<.*$/, "")
    .split("::")
    .at(-1)!;

describeWith(["gcc", "binutils"], "what compilers of C and C++ make", () => {
  it.each([
    ["-O0", "-gdwarf-4"],
    ["-O2", "-gdwarf-4"],
    ["-O2", "-gdwarf-5"],
    ["-O2", "-gdwarf-5", "-no-pie"],
    ["-O2", "-gdwarf-5", "-gz=zlib"],
  ])(
    "C++ with %s %s %s: the same as addr2line, inlined functions included",
    async (...flags) => {
      writeFileSync(join(work, "a.cpp"), CPP);
      run("g++", ...flags, "a.cpp", "-o", "a");
      const list = addresses("a", 400),
        { table } = readDebugFile(readFileSync(join(work, "a"))),
        text = textOf(table);
      const theirs = run(
        "addr2line",
        "-e",
        "a",
        "-i",
        "-f",
        "-C",
        "-a",
        ...list.map((a) => `0x${a.toString(16)}`),
      ).split(/(?=^0x)/m);
      let same = 0,
        told = 0;
      theirs.forEach((block, i) => {
        const lines = block.trim().split("\n").slice(1),
          line = lines.filter((_, k) => k % 2 === 1).map((l) => /:(\d+)/.exec(l)?.[1] ?? "0"),
          names = lines.filter((_, k) => k % 2 === 0).map(bare);
        // Without DWARF, the names of these tools reach to the next symbol, over gaps.
        if (line.every((l) => l === "0")) return;
        told++;
        const ours = table.lookup(BigInt(list[i]!), { start: 0n, offset: 0n });
        // For a template that returns a class, their name begins with that class.
        if (
          ours.length === line.length &&
          ours.every(
            (f, k) =>
              String(f.line) === line[k] &&
              (bare(text(f.name)) === names[k] || lines[2 * k]!.includes(bare(text(f.name)))),
          )
        )
          same++;
      });
      expect(told).toBeGreaterThan(250);
      expect(same / told).toBeGreaterThan(0.99);
    },
    180_000,
  );
  it("a library's separate debug file, and the rest after stripping", async () => {
    writeFileSync(join(work, "a.cpp"), CPP);
    run("g++", "-O2", "-g", "a.cpp", "-o", "whole", "-Wl,--build-id");
    run("objcopy", "--only-keep-debug", "whole", "apart");
    run("strip", "-g", "whole", "-o", "symbols");
    run("strip", "whole", "-o", "stripped");
    const at = parseInt(/([0-9a-f]+) T _ZNK4shop4Cart5totalEi/.exec(run("nm", "whole"))![1]!, 16) + 4,
      of = (file: string): string => {
        const { buildId, table } = readDebugFile(readFileSync(join(work, file)));
        return `${buildId.length} ${table
          .lookup(BigInt(at), { start: 0n, offset: 0n })
          .map((f) => textOf(table)(f.name))
          .join("<")}`;
      };
    expect([of("whole"), of("apart"), of("symbols")]).toEqual([
      "40 shop::Cart::total",
      "40 shop::Cart::total",
      "40 shop::Cart::total",
    ]);
    expect(() => of("stripped")).toThrow("is the file stripped?");
  }, 180_000);
  it("names of a complete library, the same as c++filt", async () => {
    const library = run("g++", "-print-file-name=libstdc++.so.6").trim(),
      symbols = [
        ...new Set(
          run("nm", "-D", library)
            .split("\n")
            .map((l) => l.split(" ").at(-1)!.replace(/@.*$/, ""))
            .filter((n) => n.startsWith("_Z")),
        ),
      ];
    const theirs = execFileSync("c++filt", ["-p"], {
      input: symbols.join("\n") + "\n",
      encoding: "utf8",
      maxBuffer: 1 << 26,
    })
      .trim()
      .split("\n");
    // Thunks keep their empty parameters there.
    const same = symbols.filter(
      (n, i) => readableName(n) === theirs[i]!.replace(/ const$/, "").replace(/\(\)$/, ""),
    ).length;
    expect(symbols.length).toBeGreaterThan(3000);
    expect(same / symbols.length).toBeGreaterThan(0.96);
  }, 60_000);
});

describeWith(["golang", "binutils"], "what Go's compiler makes", () => {
  it.each([
    ["with DWARF", ""],
    ["without", "-w"],
    ["stripped", "-s -w"],
  ])(
    "Go %s: the same as its own addr2line",
    async (_what, flags) => {
      writeFileSync(join(work, "m.go"), GO);
      writeFileSync(join(work, "go.mod"), "module m\n");
      run("go", "build", ...(flags === "" ? [] : [`-ldflags=${flags}`]), "-o", "m", "m.go");
      const list = addresses("m", 400),
        { table } = readDebugFile(readFileSync(join(work, "m"))),
        text = textOf(table);
      const theirs = execFileSync("go", ["tool", "addr2line", "m"], {
        cwd: work,
        encoding: "utf8",
        input: list.map((a) => `0x${a.toString(16)}\n`).join(""),
      }).split("\n");
      const outer = list.filter((a, i) => {
        const f = table.lookup(BigInt(a), { start: 0n, offset: 0n }).at(-1);
        return f && text(f.name) === theirs[2 * i];
      }).length;
      const lines = list
        .map(
          (a, i) =>
            [theirs[2 * i + 1]!, table.lookup(BigInt(a), { start: 0n, offset: 0n })[0]?.line] as const,
        )
        // wrappers that the compiler generates
        .filter(([l]) => !l.endsWith(":-1") && !l.startsWith("<autogenerated>"));
      expect(outer).toBe(list.length);
      expect(lines.length).toBeGreaterThan(300);
      expect(lines.filter(([l, own]) => l.endsWith(`:${own}`)).length).toBe(lines.length);
    },
    180_000,
  );
});
