import { CinderblockError } from "@cinderblock/errors";
import { gzipSync } from "node:zlib";
import { finalTree, flameLevels, type PartialTree } from "@cinderblock/query";
import { mutations, Random, tinyJfr, tinyPprof } from "@cinderblock/testkit";
import { readProfileFile } from "./read.ts";

const LIMIT = 1 << 24;
/** Stacks of a tree, root first, with their self values. */
function stacks(t: PartialTree): Record<string, number> {
  const out: Record<string, number> = {},
    path: string[] = [""];
  const text = new TextDecoder();
  for (let i = 1; i < t.parent.length; i++)
    path[i] =
      `${path[t.parent[i]!]}/${text.decode(t.nameBytes.subarray(t.nameOffset[t.name[i]!]!, t.nameOffset[t.name[i]! + 1]!))}`;
  t.self.forEach((v, i) => {
    if (v !== 0n) out[path[i]!] = Number(v);
  });
  return out;
}
const read = (
  name: string,
  bytes: Uint8Array | string,
): Record<string, [unit: string, stacks: Record<string, number>]> =>
  Object.fromEntries(
    readProfileFile(name, typeof bytes === "string" ? Buffer.from(bytes) : bytes, LIMIT).map((p) => [
      p.type,
      [p.unit, stacks(p.tree)],
    ]),
  );

describe("files of profiles", () => {
  const pprof = tinyPprof({
    types: [
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ],
    stacks: [
      { frames: ["main", "a", "b"], values: [2, 20] },
      { frames: ["main", "a"], values: [1, 10] },
    ],
  });
  it("are read as pprof, gzip or not, whatever their name", () => {
    const want = {
      samples: ["count", { "/main/a/b": 2, "/main/a": 1 }],
      cpu: ["nanoseconds", { "/main/a/b": 20, "/main/a": 10 }],
    };
    expect(read("cpu.pb", pprof)).toEqual(want);
    expect(read("whatever.txt", gzipSync(pprof))).toEqual(want);
  });
  it("are read as pprof without a type of periods", () => {
    expect(
      read("x.pprof", tinyPprof({ period: ["", ""], stacks: [{ frames: ["a"], values: [3] }] })),
    ).toEqual({ cpu: ["nanoseconds", { "/a": 3 }] });
  });
  it("name locations of pprofs without lines by their addresses, and leave stacks without frames out", () => {
    const bare = (...stacks: number[][]): Uint8Array => {
      const message = (field: number, ...body: number[]): number[] => [field * 8 + 2, body.length, ...body];
      return Uint8Array.from([
        ...message(1, 8, 1, 16, 2),
        ...stacks.flatMap((ids) => message(2, ...message(1, ...ids), ...message(2, 5))),
        // Addresses 0xabc, none and 0xffffffff81000000 of the kernel.
        ...message(4, 8, 1, 24, 0xbc, 0x15),
        ...message(4, 8, 2),
        ...message(4, 8, 3, 24, 0x80, 0x80, 0x80, 0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 1),
        ...message(4, 8, 4, ...message(4, 8, 9)),
        ...message(6),
        ...message(6, ...Buffer.from("cpu")),
        ...message(6, ...Buffer.from("count")),
      ]);
    };
    expect(read("x.pprof", bare([1, 2], [3], []))).toEqual({
      cpu: ["count", { "/0/abc": 5, "/ffffffff81000000": 5 }],
    });
    expect(() => read("x.pprof", bare([4]))).toThrow("function 9, which does not exist");
    expect(() => read("x.pprof", bare([1], [7]))).toThrow(
      "sample 1 refers to location 7, which does not exist",
    );
  });
  it("keep the metadata of a flamebearer", () => {
    const file = (metadata: object): Uint8Array =>
      Buffer.from(JSON.stringify({ metadata, flamebearer: { names: ["total"], levels: [[0, 0, 0, 0]] } }));
    const [own] = readProfileFile(
      "x.json",
      file({ format: "single", name: "cpu", units: "samples", sampleRate: 100, spyName: "gospy" }),
      LIMIT,
    );
    expect(own!.shown).toEqual({ units: "samples", sampleRate: 100, spyName: "gospy" });
    expect(readProfileFile("x.json", file({ name: "cpu" }), LIMIT)[0]!.shown).toBeUndefined();
  });
  it("are read as folded stacks", () => {
    expect(read("a.folded", "# a remark\nmain;a b;c 3\r\nmain;d 4\n\n")).toEqual({
      samples: ["count", { "/main/a b/c": 3, "/main/d": 4 }],
    });
    expect(() => read("a.folded", "main;a 3\nmain;b\n")).toThrow(
      'line 2 is not a stack with a count: "main;b"',
    );
  });
  it("are read as flamebearers, speedscope files, perf scripts and JFR", () => {
    const own = readProfileFile("cpu.pb", pprof, LIMIT)[1]!,
      l = flameLevels(finalTree(own.tree, 0));
    const json = JSON.stringify({
      version: 1,
      metadata: { format: "single", name: "cpu", units: "samples" },
      flamebearer: {
        names: l.names.map((n) => Buffer.from(n).toString()),
        levels: l.levels,
        numTicks: 30,
        maxSelf: 20,
      },
    });
    expect(read("x.json", json)).toEqual({ cpu: ["samples", { "/main/a/b": 20, "/main/a": 10 }] });
    const speedscope = {
      $schema: "https://www.speedscope.app/file-format-schema.json",
      shared: { frames: [{ name: "main" }, { name: "work" }] },
      profiles: [
        {
          type: "sampled",
          name: "thread 1",
          unit: "microseconds",
          startValue: 0,
          endValue: 9,
          samples: [[0, 1], [0]],
          weights: [7, 2],
        },
      ],
    };
    expect(read("x.speedscope.json", JSON.stringify(speedscope))).toEqual({
      "thread 1": ["microseconds", { "/main/work": 7, "/main": 2 }],
    });
    const perf =
      "node 123/124 [001] 100.5: 1 cycles:\n\t  7f01 leaf+0x1 (/bin/x)\n\t  7f02 [unknown] (/bin/x)\n\t  7f03 main (/bin/x)\n\nnode 123 100.6: 1 cycles:\n\t  7f03 main (/bin/x)\n\n";
    expect(read("out.txt", perf)).toEqual({
      samples: ["count", { "/node/main/0x7f02/leaf": 1, "/node/main": 1 }],
    });
    const jfr = read(
      "x.jfr",
      tinyJfr([
        {
          type: "ExecutionSample",
          frames: [
            ["java/lang/Thread", "run"],
            ["Main", "work"],
          ],
        },
      ]),
    );
    expect(jfr).toEqual({ cpu: ["nanoseconds", { "/java/lang/Thread.run/Main.work": 10_000_000 }] });
  });
  it.each([
    ["a number in the command", "Thread 1 12345/12346 [003] 100.500000: 1 cycles: ", "Thread 1"],
    [
      "blanks in the command",
      "Plex DLNA Serve 26638 [001] 856620.530720: 2654110 cycles: ",
      "Plex DLNA Serve",
    ],
    ["a command that could be an address", "      f  9566 [001] 18490161.19: kmem:kfree: ptr=(nil)", "f"],
    ["a command without a name", ":1234  1234 [000] 100.5: cycles: ", ":1234"],
    [
      "padded numbers",
      "tokio-runtime-w   7/8   [000]  1.5:     10101010 cpu-clock:pppH: ",
      "tokio-runtime-w",
    ],
    [
      "flags of the kernel",
      "kworker/u8:1 77 [002] d..2. 12.000001: sched:sched_switch: prev=x",
      "kworker/u8:1",
    ],
    ["a CPU without a time", "node 12 [001] cycles: ", "node"],
    ["neither", "node 31912 cpu-clock: ", "node"],
    ["neither, and a number in the command", "worker 2 31912 cycles: ", "worker 2"],
    ["neither, and the event's count", "java 12688     250000 cycles:u: ", "java"],
    ["a process alone", "java 12688", "java"],
  ])("have heads of perf script with %s", (_what, head, command) => {
    const frames = "7f01 leaf+0x2 (/bin/x)\n7f02 main+0x2 (/bin/x)\n";
    const want = { samples: ["count", { [`/${command}/main/leaf`]: 2 }] };
    for (const indent of ["\t    ", ""])
      for (const gap of ["\n", ""]) {
        const sample = `${head}\n${frames.replace(/^7/gm, `${indent}7`)}${gap}`;
        expect(read("x.perf", sample + sample)).toEqual(want);
        expect(read("x.txt", sample + sample)).toEqual(want);
      }
  });
  it.each([
    ["a head", `a${" ".repeat(1_000_000)}x\n\t 7f00 f (/bin/x)\n\n`],
    ["a head of numbers", `a${" 1".repeat(500_000)} x\n\t 7f00 f (/bin/x)\n\n`],
    ["a frame", `a 1 2.0: c:\n\t 7f00 f${" ".repeat(1_000_000)}b\n\n`],
  ])("take time in proportion to %s of a million characters", (_what, text) => {
    // With a quadratic expression this takes an hour; the result does not matter.
    try {
      read("x.perf", text);
    } catch (err) {
      expect(err).toBeInstanceOf(CinderblockError);
    }
  });
  it("have events of perf script without call chains, with source lines, and without frames", () => {
    const one = (n: number, f: string): string =>
      `node 1 [001] 1.${n}: 1 cycles:u:  7f00 ${f}+0x1 (/bin/x)\n`;
    for (const name of ["x.perf", "x.txt"])
      expect(read(name, one(1, "f(int)") + one(2, "g") + one(3, "g"))).toEqual({
        samples: ["count", { "/node/f(int)": 1, "/node/g": 2 }],
      });
    const bare = "node 1 [001] 1.5: sched:x: ffff ptr=(nil)\n\nnode 1 [001] 1.6: cycles:\n";
    expect(read("x.txt", `${bare}\t7f00 f+0x1 (/x)\n  m.c:12\n\t7f01 m (/x)\n  m.c:3\n\n`)).toEqual({
      samples: ["count", { "/node": 1, "/node/m/f": 1 }],
    });
  });
  it.each([
    "std::function<void (unsigned int)>::operator()(unsigned int) const",
    "foo::bar (anonymous namespace)::baz",
    "(anonymous namespace)::work(int)",
    "operator new(unsigned long)",
    "non-virtual thunk to A::f(int (*)(char))",
    "<alloc::vec::Vec<T> as core::ops::Drop>::drop",
    "plain",
  ])("keep the name %s of perf script", (name) => {
    const at = (frame: string): unknown =>
      read("x.perf", `envoy 100/101 [000] 12.5: 1 cycles: \n\t 7f00 ${frame}\n\t 7f01 main (/bin/x)\n\n`);
    const want = { samples: ["count", { [`/envoy/main/${name}`]: 1 }] };
    for (const frame of [
      `${name}+0x1a (/usr/bin/app)`,
      `${name} (/usr/bin/app)`,
      `${name}+0x1a (/tmp/perf-1.map (deleted))`,
      `${name}+0x1a ([kernel.kallsyms])`,
      `${name} (inlined)`,
      `${name}+0x1a`,
    ])
      expect(at(frame)).toEqual(want);
  });
  it.each([
    ["a blank at the end", "a;b 3 \n", { "/a/b": 3 }],
    ["a tab before the count", "a;b\t3\n", { "/a/b": 3 }],
    ["line ends of Windows and a byte order mark", "\ufeffa;b 3\r\n  \r\n", { "/a/b": 3 }],
    [
      "a name with blanks and parentheses",
      "main (x.py:3);f (y.py:5) 2\n",
      { "/main (x.py:3)/f (y.py:5)": 2 },
    ],
    ["a Ruby class and a remark", "# made by x\n#<Class:A>;b 1\n", { "/#<Class:A>/b": 1 }],
    ["another script", "主;√ 4\n", { "/主/√": 4 }],
  ])("read folded stacks with %s", (_what, text, want) => {
    expect(read("a.folded", text)).toEqual({ samples: ["count", want] });
  });
  it.each([
    ["a decimal count", "a;b 3.5\n", "line 1 is not a stack with a count"],
    ["a negative count", "a;b 1\na;b -2\n", "line 2: expected a count, but -2 is negative"],
    ["a count above 64 bits", "a;b 9223372036854775808\n", "is above 9223372036854775807"],
    ["a sum above 64 bits", "a 9223372036854775807\nb 1\n", "the sum of its counts is above"],
  ])("refuse folded stacks with %s", (_what, text, why) => {
    expect(() => read("a.folded", text)).toThrow(why);
  });
  it.each([
    ["seconds", [0.004, 0.012], ["nanoseconds", { "/main/f": 4_000_000, "/main": 12_000_000 }]],
    ["milliseconds", [0.0025, 0.4], ["nanoseconds", { "/main/f": 2500, "/main": 400_000 }]],
    ["none", [0.25, 0.75], ["thousandths", { "/main/f": 250, "/main": 750 }]],
    ["none", [1, 3], ["count", { "/main/f": 1, "/main": 3 }]],
    ["bytes", [64, 32], ["bytes", { "/main/f": 64, "/main": 32 }]],
  ])("keep decimals of speedscope in %s", (unit, weights, want) => {
    const file = {
      $schema: "https://www.speedscope.app/file-format-schema.json",
      shared: { frames: [{ name: "main" }, { name: "f" }] },
      profiles: [{ type: "sampled", name: "t", unit, startValue: 0, samples: [[0, 1], [0]], weights }],
    };
    expect(read("x.json", JSON.stringify(file))).toEqual({ t: want });
  });
  it.each([
    ["nothing", "", "the file is empty"],
    ["a broken gzip", Buffer.concat([gzipSync(pprof).subarray(0, 40)]), "the gzip stream is damaged"],
    ["broken JSON", "{", "invalid JSON"],
    ["another JSON", '{"a":1}', "neither a flamebearer"],
    [
      "a double flamebearer",
      '{"metadata":{"format":"double"},"flamebearer":{"names":[],"levels":[]}}',
      "comparison of two profiles",
    ],
    [
      "bytes of nothing",
      Uint8Array.of(0, 1, 2, 3),
      "unknown format, expected pprof, JFR, JSON or folded text",
    ],
    ["a text of nothing", "# only a remark\n", "the text has no stacks"],
    [
      "levels of no number",
      '{"flamebearer":{"names":["total"],"levels":[[0,1,"x",0]]}}',
      "level 0: expected a list of numbers, four for each bar",
    ],
    [
      "a name that is not there",
      '{"flamebearer":{"names":["total"],"levels":[[0,1,0,0],[0,1,1,7]]}}',
      "level 1 refers to name 7",
    ],
  ])("refuse %s, with a reason", (_what, bytes, why) => {
    expect(() => read("x", bytes)).toThrow(why);
  });
  it("refuse a bomb", () => {
    expect(() => readProfileFile("x.pb.gz", gzipSync(Buffer.alloc(1 << 20)), 1000)).toThrow(
      /1000|1 kB|1\.0 kB|limit/i,
    );
  });
  it("survive mutations", () => {
    const files = [
      pprof,
      gzipSync(pprof),
      Buffer.from("main;a 3\nmain;d 4\n"),
      Buffer.from(
        '{"metadata":{"format":"single"},"flamebearer":{"names":["total","a"],"levels":[[0,1,0,0],[0,1,1,1]]}}',
      ),
    ];
    const random = new Random(11);
    let refused = 0,
      read = 0;
    for (let i = 0; i < mutations(1000); i++) {
      try {
        readProfileFile("x", random.mutate(files[i % files.length]!), LIMIT);
        read++;
      } catch (err) {
        expect(err).toHaveProperty("kind");
        refused++;
      }
    }
    expect([refused > 100, read > 50]).toEqual([true, true]);
  });
});
