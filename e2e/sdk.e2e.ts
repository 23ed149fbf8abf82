import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { PushRequestSchema } from "@cinderblock/api";
import { describeWith, part, tinyPprof } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";

const PROGRAMS = resolve("e2e/programs");

/** Runs a program that pushes to the server at URL; if it fails, the test fails with the program's output. */
function push(server: Server, program: string, args: string[], env: Record<string, string> = {}): void {
  const r = spawnSync(program, args, {
    env: { ...process.env, NODE_OPTIONS: "", URL: server.url, ...env },
    encoding: "utf8",
    timeout: 60_000,
  });
  expect(r.status === 0 ? "" : `${r.error?.message ?? ""}${r.stdout}\n${r.stderr}`).toBe("");
}

/** A server for the pushes of the SDK programs. */
function taking(): { server: Server; range: () => [number, number] } {
  const server = new Server();
  beforeAll(() =>
    server.start(
      "-validation.reject-older-than=1h",
      "-querier.max-query-lookback=7d",
      "-querier.max-query-length=24h",
    ),
  );
  afterAll(() => server.stop());
  return { server, range: () => [Date.now() - 600_000, Date.now() + 60_000] };
}

describeWith(["sdk-node"], "published SDKs", () => {
  const { server, range } = taking();
  it("Node: @pyroscope/nodejs", async () => {
    push(server, process.execPath, [join(PROGRAMS, "sdk-node/main.cjs")], { NODE_PATH: part("sdk-node") });
    const names = await server.functions(
      "wall:wall:nanoseconds:wall:nanoseconds",
      ...range(),
      '{service_name="sdk.node"}',
    );
    expect(names.some((n) => n.includes("burnCpuInNode"))).toBe(true);
  }, 120_000);
});

describeWith(["sdk-python"], "published SDKs", () => {
  const { server, range } = taking();
  it("Python: pyroscope-io", async () => {
    push(server, part("sdk-python"), [join(PROGRAMS, "sdk-python/main.py")]);
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.py"}');
    expect(names.some((n) => n.includes("burn_cpu_in_python"))).toBe(true);
  }, 120_000);
});

describeWith(["sdk-go"], "published SDKs", () => {
  const { server, range } = taking();
  it("Go: github.com/grafana/pyroscope-go", async () => {
    push(server, part("sdk-go"), []);
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.go"}');
    expect(names.some((n) => n.includes("burnCpuInGo"))).toBe(true);
    const types = await server.json("/querier.v1.QuerierService/ProfileTypes", {
      start: String(range()[0]),
      end: String(range()[1]),
    });
    expect(JSON.stringify(types.body)).toContain("goroutines");
  }, 120_000);
});

describeWith(["sdk-java"], "published SDKs", () => {
  const { server, range } = taking();
  it("Java: io.pyroscope:agent, which sends JFR", async () => {
    const classes = folder();
    push(server, part("javac"), ["-d", classes, join(PROGRAMS, "sdk-java/Main.java")]);
    const agent = join(part("sdk-java"), "agent-2.9.2.jar");
    push(server, part("java"), ["-Xmx128m", `-javaagent:${agent}`, "-cp", classes, "Main"], {
      PYROSCOPE_APPLICATION_NAME: "sdk.java",
      PYROSCOPE_SERVER_ADDRESS: server.url,
      PYROSCOPE_UPLOAD_INTERVAL: "3s",
      PYROSCOPE_FORMAT: "jfr",
      PYROSCOPE_PROFILER_EVENT: "itimer",
      PYROSCOPE_PROFILER_ALLOC: "512k",
      PYROSCOPE_PROFILER_LOCK: "10ms",
      PYROSCOPE_LABELS: "lang=java",
    });
    const selector = '{service_name="sdk.java",lang="java",jfr_event="itimer"}';
    expect(await server.functions(CPU, ...range(), selector)).toEqual(
      expect.arrayContaining([expect.stringContaining("Main.burnCpuInJava")]),
    );
    expect(
      await server.functions("memory:alloc_in_new_tlab_bytes:bytes:space:bytes", ...range(), selector),
    ).toEqual(expect.arrayContaining([expect.stringContaining("Main.allocateInJava")]));
    expect(await server.functions("mutex:delay:nanoseconds:mutex:count", ...range(), selector)).toEqual(
      expect.arrayContaining([expect.stringContaining("Main.contendInJava")]),
    );
  }, 120_000);
});

describeWith(["sdk-otlp"], "published SDKs", () => {
  const { server, range } = taking();
  it("OpenTelemetry: the collector's profiles service over gRPC, and over HTTP as protobuf and JSON", async () => {
    push(server, part("sdk-otlp"), []);
    for (const service of ["otlp.grpc", "otlp.proto", "otlp.json"])
      expect(await server.functions(CPU, ...range(), `{service_name="${service}"}`)).toEqual(
        expect.arrayContaining(["burnCpuInOtlp"]),
      );
  }, 120_000);
});

describe("senders that do not run here, by bodies in their protocols", () => {
  const server = new Server(),
    now = Date.now() - 60_000,
    range: [number, number] = [now - 60_000, now + 60_000];
  beforeAll(() => server.start("-validation.reject-older-than=1h"));
  afterAll(() => server.stop());
  const seconds = `from=${Math.floor(now / 1000)}&until=${Math.floor(now / 1000) + 10}`;

  it(".NET: a form with pprof and the sample types' configuration, dashes in their names", async () => {
    const pprof = gzipSync(
      tinyPprof({
        types: [
          ["cpu", "nanoseconds"],
          ["alloc-samples", "count"],
          ["alloc-size", "bytes"],
        ],
        stacks: [{ frames: ["Program!Main", "Program!BurnCpuInDotnet"], values: [7, 2, 1024] }],
        timeNanos: BigInt(now) * 1_000_000n,
      }),
    );
    const config = {
      "alloc-samples": {
        units: "objects",
        aggregation: "sum",
        "display-name": "alloc-samples",
        sampled: false,
      },
      "alloc-size": { units: "bytes", aggregation: "sum", "display-name": "alloc-size", sampled: false },
      cpu: { units: "nanoseconds", aggregation: "sum", "display-name": "cpu", sampled: true },
    };
    const form = new FormData();
    form.append("profile", new Blob([pprof]), "profile.pprof");
    form.append("sample_type_config", new Blob([JSON.stringify(config)]), "sample_type_config.json");
    const r = await fetch(
      `${server.url}/ingest?name=${encodeURIComponent("sdk.dotnet{env=test}")}&${seconds}&spyName=dotnetspy`,
      { method: "POST", body: form },
    );
    expect([r.status, await r.text()]).toEqual([200, ""]);
    for (const type of ["cpu:nanoseconds", "alloc_samples:count", "alloc_size:bytes"])
      expect(
        await server.functions(
          `process_cpu:${type}:cpu:nanoseconds`,
          ...range,
          '{service_name="sdk.dotnet",pyroscope_spy="dotnetspy",env="test"}',
        ),
      ).toContain("Program!BurnCpuInDotnet");
  });

  it("Ruby: pprof by Push, as Python's and Rust's library sends it; folded text and pprof by /ingest, as older ones do, with files in front of functions", async () => {
    const raw = tinyPprof({
      stacks: [{ frames: ["app.rb - <main>", "app.rb - burn_cpu_in_ruby"], values: [9] }],
      timeNanos: BigInt(now) * 1_000_000n,
    });
    const message = toBinary(
      PushRequestSchema,
      create(PushRequestSchema, {
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "service_name", value: "sdk.ruby" },
              { name: "pyroscope_spy", value: "rbspy" },
            ],
            samples: [{ ID: "3fa85f64-5717-4562-b3fc-2c963f66afa6", rawProfile: raw }],
          },
        ],
      }),
    );
    const push = await fetch(`${server.url}/push.v1.PusherService/Push`, {
      method: "POST",
      headers: {
        "content-type": "application/proto",
        "content-encoding": "gzip",
        "user-agent": "pyroscope-rs/rbspy/0.6.0 reqwest",
      },
      body: gzipSync(message),
    });
    expect(push.status).toBe(200);
    expect(await server.functions(CPU, ...range, '{service_name="sdk.ruby"}')).toContain(
      "app.rb - burn_cpu_in_ruby",
    );
    const folded = await fetch(
      `${server.url}/ingest?name=sdk.ruby.old.cpu&${seconds}&spyName=rbspy&format=folded&sampleRate=100&units=samples&aggregationType=sum`,
      { method: "POST", body: "app.rb:3 - <main>;app.rb:1 - burn_cpu_in_ruby 42\n" },
    );
    const pprof = await fetch(
      `${server.url}/ingest?name=sdk.ruby.pprof&${seconds}&spyName=rbspy&format=pprof`,
      {
        method: "POST",
        body: gzipSync(
          tinyPprof({
            stacks: [{ frames: ["burn_cpu_in_ruby"], values: [9] }],
            timeNanos: BigInt(now) * 1_000_000n,
          }),
        ),
      },
    );
    expect([folded.status, pprof.status]).toEqual([200, 200]);
    expect(await server.functions(CPU, ...range, '{service_name="sdk.ruby.old"}')).toContain(
      "app.rb:1 - burn_cpu_in_ruby",
    );
    expect(await server.functions(CPU, ...range, '{service_name="sdk.ruby.pprof"}')).toContain(
      "main.go burn_cpu_in_ruby",
    );
  });

  it("eBPF: OTLP whose native frames have an address and a build id, and no name", async () => {
    const text = (v: string) => ({ stringValue: v });
    const request = {
      dictionary: {
        stringTable: [
          "",
          "samples",
          "count",
          "cpu",
          "nanoseconds",
          "do_syscall_64",
          "[kernel.kallsyms]",
          "/usr/bin/app",
          "process.executable.build_id.gnu",
        ],
        mappingTable: [
          {},
          { filenameStrindex: 6 },
          { memoryStart: "4096", memoryLimit: "8192", filenameStrindex: 7, attributeIndices: [1] },
        ],
        functionTable: [{}, { nameStrindex: 5 }],
        locationTable: [
          {},
          { mappingIndex: 1, lines: [{ functionIndex: 1 }] },
          { mappingIndex: 2, address: "4660" },
        ],
        linkTable: [{}],
        attributeTable: [{}, { keyStrindex: 8, value: text("c0ffee") }],
        stackTable: [{}, { locationIndices: [1, 2] }],
      },
      resourceProfiles: [
        {
          resource: {
            attributes: [
              { key: "service.name", value: text("sdk.ebpf") },
              { key: "container.id", value: text("f00") },
            ],
          },
          scopeProfiles: [
            {
              profiles: [
                {
                  sampleType: { typeStrindex: 1, unitStrindex: 2 },
                  periodType: { typeStrindex: 3, unitStrindex: 4 },
                  period: "50000000",
                  timeUnixNano: String(BigInt(now) * 1_000_000n),
                  samples: [{ stackIndex: 1, values: ["3"] }],
                },
              ],
            },
          ],
        },
      ],
    };
    expect(
      (
        await fetch(`${server.url}/v1development/profiles`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(request),
        })
      ).status,
    ).toBe(200);
    expect(await server.functions(CPU, ...range, '{service_name="sdk.ebpf"}')).toContain("do_syscall_64");
    const { body } = await server.json("/querier.v1.QuerierService/SelectMergeProfile", {
      profileTypeID: CPU,
      labelSelector: '{service_name="sdk.ebpf"}',
      start: String(range[0]),
      end: String(range[1]),
    });
    const p = body as {
      stringTable: string[];
      mapping: { buildId?: string; filename: string }[];
      sample: { value: string[] }[];
    };
    expect(
      p.mapping.map((m) => [p.stringTable[Number(m.filename)], p.stringTable[Number(m.buildId ?? 0)]]).sort(),
    ).toEqual([
      ["/usr/bin/app", "c0ffee"],
      ["[kernel.kallsyms]", ""],
    ]);
    expect(p.sample.map((x) => x.value)).toEqual([["150000000"]]);
  });
});
