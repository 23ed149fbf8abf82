import { type ChildProcess, execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWith, freePort, part, startProcess } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";

// Frames with a build ID and an address, as eBPF profilers send them, get names from a real debuginfod server
// and from uploaded files, in memory and in blocks.
const NOW = Math.floor(Date.now() / 1000) * 1000 - 60_000,
  work = folder(),
  PROGRAM =
    "int sink;\nstatic inline __attribute__((always_inline)) int square(int x) { return x * x + sink; }\n__attribute__((noinline)) int work(int n) {\n  return square(n);\n}\nint main(void) { return work(3); }\n";
interface Program {
  path: string;
  buildId: string;
  work: number;
  main: number;
}
function build(name: string, ...flags: string[]): Program {
  writeFileSync(join(work, `${name}.c`), PROGRAM.replace("x * x", `x * x + ${name.length}`));
  const path = join(work, name);
  execFileSync("gcc", ["-O1", "-g", "-Wl,--build-id", ...flags, join(work, `${name}.c`), "-o", path]);
  const symbols = execFileSync("nm", [path], { encoding: "utf8" }),
    at = (f: string): number => parseInt(new RegExp(`([0-9a-f]+) T ${f}$`, "m").exec(symbols)![1]!, 16);
  return {
    path,
    buildId: /Build ID: ([0-9a-f]+)/.exec(execFileSync("readelf", ["-n", path], { encoding: "utf8" }))![1]!,
    work: at("work"),
    main: at("main"),
  };
}
const s = (stringValue: string): object => ({ stringValue });
/** A profile of main calling work, from a process with the program mapped at `start` (0: file addresses). */
function profile(p: Program, service: string, start: number, value: number): object {
  const stringTable = [
    "",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    p.path,
    "process.executable.build_id.gnu",
  ];
  return {
    dictionary: {
      stringTable,
      mappingTable: [
        {},
        {
          memoryStart: String(start),
          memoryLimit: String(start + 65536),
          filenameStrindex: 5,
          attributeIndices: [1],
        },
      ],
      functionTable: [{}],
      linkTable: [{}],
      attributeTable: [{}, { keyStrindex: 6, value: s(p.buildId) }],
      locationTable: [
        {},
        { mappingIndex: 1, address: String(start + p.work) },
        { mappingIndex: 1, address: String(start + p.main + 4) },
      ],
      stackTable: [{}, { locationIndices: [1, 2] }],
    },
    resourceProfiles: [
      {
        resource: { attributes: [{ key: "service.name", value: s(service) }] },
        scopeProfiles: [
          {
            profiles: [
              {
                sampleType: { typeStrindex: 1, unitStrindex: 2 },
                periodType: { typeStrindex: 3, unitStrindex: 4 },
                period: "1",
                timeUnixNano: String(BigInt(NOW) * 1_000_000n),
                samples: [{ stackIndex: 1, values: [String(value)] }],
              },
            ],
          },
        ],
      },
    ],
  };
}
async function post(
  server: Server,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const r = await fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body),
  });
  return { status: r.status, text: await r.text() };
}
async function push(
  server: Server,
  p: Program,
  service: string,
  start: number,
  value: number,
): Promise<void> {
  expect((await post(server, "/v1development/profiles", profile(p, service, start, value))).status).toBe(200);
}
/** Stacks of a service, and the warnings of the answer. */
async function stacks(server: Server, service: string): Promise<{ folded: string[]; warning: string }> {
  const r = await fetch(
    `${server.url}/pyroscope/export?${new URLSearchParams({ query: `${CPU}{service_name="${service}"}`, from: String(NOW - 600_000), until: String(NOW + 600_000), format: "folded" }).toString()}`,
  );
  return {
    folded: (await r.text())
      .trim()
      .split("\n")
      .filter((l) => l !== ""),
    warning: r.headers.get("x-cinderblock-partial") ?? "",
  };
}
async function until(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await what()); ) {
    if (Date.now() > end) throw new Error("it did not come to that within 30 s");
    await new Promise((r) => {
      setTimeout(r, 200);
    });
  }
}

describeWith(["gcc", "binutils", "debuginfod"], "native symbols", () => {
  it("come from a debuginfod server, in memory and in blocks, at any load address", async () => {
    const shop = build("shop"),
      server = new Server(),
      port = await freePort();
    let debuginfod: ChildProcess | undefined;
    try {
      debuginfod = startProcess(
        part("debuginfod"),
        ["-p", String(port), "-d", join(work, "index.sqlite"), "-F", work],
        {
          stdio: "ignore",
        },
      );
      await until(async () => {
        try {
          return (await fetch(`http://127.0.0.1:${port}/buildid/${shop.buildId}/executable`)).ok;
        } catch {
          return false; /* not listening yet */
        }
      });
      const flags = [
        "-symbolizer.enabled=true",
        `-symbolizer.debuginfod-url=http://127.0.0.1:${port}`,
        "-compactor.enabled=false",
      ];
      await server.start(...flags);
      await push(server, shop, "shop", 0, 5);
      expect((await stacks(server, "shop")).folded).toEqual(["main;work;square 5"]);
      // Another process with another mapping address has the same functions; the head has grown since the
      // last query.
      await push(server, shop, "shop", 0x5555_5555_4000, 7);
      expect((await stacks(server, "shop")).folded).toEqual(["main;work;square 12"]);
      await server.flush();
      expect((await stacks(server, "shop")).folded).toEqual(["main;work;square 12"]);
      const metrics = await (await fetch(`${server.url}/metrics`)).text();
      expect(metrics).toMatch(/cinderblock_symbolizer_tables_total\{result="fetched"\} 1$/m);
      // Fetched tables are on the disk: names stay without the server, and an absent file does not fail a
      // query.
      debuginfod.kill("SIGKILL");
      await server.stop();
      await server.start(...flags);
      expect((await stacks(server, "shop")).folded).toEqual(["main;work;square 12"]);
      const other = build("other");
      await push(server, other, "other", 0, 3);
      await push(server, shop, "other", 0, 2);
      const answer = await stacks(server, "other");
      expect(answer.folded).toEqual(["(root) 3", "main;work;square 2"]);
      expect(answer.warning).toContain("still being fetched");
      // The log names the reason for operators.
      await until(() =>
        Promise.resolve(
          new RegExp(
            `native frames returned without function names.*${other.buildId}: (the fetch is in progress|fetch failed)`,
          ).test(server.log().replaceAll("\\n", " ")),
        ),
      );
      // Any number of invented build IDs costs a query its wait only once.
      const many = profile(shop, "many", 0, 1) as {
          dictionary: {
            stringTable: string[];
            mappingTable: object[];
            attributeTable: object[];
            locationTable: object[];
            stackTable: object[];
          };
        },
        d = many.dictionary;
      for (let i = 0; i < 500; i++) {
        d.attributeTable.push({ keyStrindex: 6, value: s(`${i.toString(16).padStart(8, "0")}cafe`) });
        d.mappingTable.push({ filenameStrindex: 5, attributeIndices: [d.attributeTable.length - 1] });
        d.locationTable.push({ mappingIndex: d.mappingTable.length - 1, address: "4096" });
      }
      d.stackTable[1] = { locationIndices: d.locationTable.map((_, i) => i).slice(1) };
      expect((await post(server, "/v1development/profiles", many)).status).toBe(200);
      const begun = Date.now();
      expect((await stacks(server, "many")).folded).toEqual(["main;work;square 1"]);
      expect(Date.now() - begun).toBeLessThan(20_000);
    } finally {
      debuginfod?.kill("SIGKILL");
      await server.stop();
    }
  }, 180_000);
  it("come from uploaded files per tenant; files that are not debug files are refused", async () => {
    const tool = build("tool"),
      bare = build("bare", "-Wl,--build-id=none", "-Wl,--build-id=0xabcdef0123456789"),
      server = new Server();
    try {
      await server.start(
        "-symbolizer.enabled=true",
        "-symbolizer.absent-ttl=1s",
        "-auth.multitenancy-enabled=true",
        "-symbolizer.max-file-bytes=100000",
      );
      const a = { "x-scope-orgid": "a" },
        b = { "x-scope-orgid": "b" };
      const files = (headers: Record<string, string>): Promise<unknown> =>
        fetch(`${server.url}/pyroscope/debug-files`, { headers }).then((r) => r.json());
      const functions = async (headers: Record<string, string>): Promise<string[]> => {
        const r = await post(
          server,
          "/querier.v1.QuerierService/SelectMergeStacktraces",
          { profileTypeID: CPU, labelSelector: "{}", start: NOW - 600_000, end: NOW + 600_000 },
          headers,
        );
        expect(r.status).toBe(200);
        return (JSON.parse(r.text) as { flamegraph?: { names?: string[] } }).flamegraph?.names ?? [];
      };
      for (const who of [a, b])
        expect((await post(server, "/v1development/profiles", profile(tool, "tool", 0, 5), who)).status).toBe(
          200,
        );
      expect(await functions(a)).not.toContain("work");
      const upload = await post(server, "/pyroscope/debug-files", readFileSync(tool.path), a);
      expect([upload.status, JSON.parse(upload.text)]).toEqual([
        200,
        {
          buildId: tool.buildId,
          functions: expect.any(Number) as number,
          bytes: expect.any(Number) as number,
        },
      ]);
      await until(async () => (await functions(a)).includes("square"));
      expect(await functions(b)).not.toContain("work");
      expect([await files(a), await files(b)]).toEqual([{ buildIds: [tool.buildId] }, { buildIds: [] }]);
      const refused = async (body: Uint8Array, path = "/pyroscope/debug-files"): Promise<string> => {
        const r = await post(server, path, body, a);
        return `${r.status} ${r.text}`;
      };
      expect(
        await refused(
          Buffer.from("#!/bin/sh\necho this is a script and no program at all, but long enough\n"),
        ),
      ).toMatch(/^400 .*expected an ELF file/);
      expect(await refused(Buffer.alloc(0))).toMatch(/^400 .*the body is empty/);
      expect(await refused(Buffer.alloc(200_000))).toMatch(/^413 /);
      expect(await refused(readFileSync(tool.path), "/pyroscope/debug-files?build-id=..%2F..%2Fx")).toMatch(
        /^400 .*build ID/,
      );
      expect(await refused(readFileSync(tool.path), "/pyroscope/debug-files?build-id=abcdef01")).toMatch(
        /^400 .*not abcdef01/,
      );
      expect((await post(server, "/pyroscope/debug-files", readFileSync(bare.path), a)).status).toBe(200);
      // Uploads share the memory of one file of the maximum size; the server reads one file at a time.
      const burst = await Promise.all(Array.from({ length: 8 }, () => refused(readFileSync(tool.path))));
      expect(burst.filter((r) => r.startsWith("200 ")).length).toBeGreaterThan(0);
      expect(
        burst
          .filter((r) => !r.startsWith("200 "))
          .every((r) => /^429 .*request bodies use \d+ bytes.*-symbolizer.max-file-bytes/.test(r)),
      ).toBe(true);
      expect(await refused(readFileSync(tool.path))).toMatch(/^200 /);
      const remove = (id: string, headers: Record<string, string>): Promise<number> =>
        fetch(`${server.url}/pyroscope/debug-files/${id}`, { method: "DELETE", headers }).then(
          (r) => r.status,
        );
      expect([
        await remove(tool.buildId, b),
        await remove(tool.buildId, a),
        await remove(tool.buildId, a),
      ]).toEqual([404, 204, 404]);
    } finally {
      await server.stop();
    }
  }, 120_000);
  it("are off by default: frames without functions are dropped, as by v1, and uploads name the flag", async () => {
    const server = new Server(),
      p = build("off");
    try {
      await server.start();
      await push(server, p, "off", 0, 5);
      expect((await stacks(server, "off")).folded.join()).not.toContain("work");
      const r = await post(server, "/pyroscope/debug-files", readFileSync(p.path));
      expect([r.status, r.text]).toEqual([501, expect.stringContaining("-symbolizer.enabled")]);
    } finally {
      await server.stop();
    }
  }, 60_000);
});
