import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { PushRequestSchema } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";
import { CPU, folder, Server } from "./server.ts";

/** Programs that use the published SDKs push to the server; their functions are found by name in the flame graph. */
const work = folder();

function sh(command: string, cwd: string, env: Record<string, string> = {}): { ok: boolean; output: string } {
  const r = spawnSync("bash", ["-c", command], {
    cwd,
    env: { ...process.env, NODE_OPTIONS: "", ...env },
    encoding: "utf8",
    timeout: 300_000,
  });
  return { ok: r.status === 0, output: `${r.stdout}\n${r.stderr}` };
}

/** Installs a client; where it cannot be installed the test says so, and in CI it fails. */
function install(name: string, command: string, cwd: string): boolean {
  mkdirSync(cwd, { recursive: true });
  const { ok, output } = sh(command, cwd);
  if (ok) return true;
  if (process.env.CI === "true") throw new Error(`${name} could not be installed: ${output.slice(-1500)}`);
  process.stderr.write(`NOTE: ${name} could not be installed; its test is left out\n`);
  return false;
}

describe("published SDKs", () => {
  const server = new Server();
  beforeAll(() =>
    server.start(
      "-validation.reject-older-than=1h",
      "-querier.max-query-lookback=7d",
      "-querier.max-query-length=24h",
    ),
  );
  afterAll(() => server.stop());
  const range = (): [number, number] => [Date.now() - 600_000, Date.now() + 60_000];

  it("Node: @pyroscope/nodejs", async () => {
    const dir = join(work, "node");
    if (
      !install(
        "@pyroscope/nodejs",
        "npm init -y >/dev/null && npm i --no-audit --no-fund @pyroscope/nodejs@0.6.4",
        dir,
      )
    )
      return;
    writeFileSync(
      join(dir, "main.cjs"),
      `
      const P = require("@pyroscope/nodejs");
      P.init({ serverAddress: process.env.URL, appName: "sdk.node", flushIntervalMs: 2000, tags: { lang: "node" }, wall: { collectCpuTime: true } });
      P.start();
      function burnCpuInNode() { let x = 0; const t = Date.now(); while (Date.now() - t < 40) x += Math.sqrt(x + 1); return x; }
      const end = Date.now() + 6000;
      (function slice() { burnCpuInNode(); if (Date.now() < end) setImmediate(slice); else P.stop().then(() => process.exit(0)); })();
    `,
    );
    const { ok, output } = sh("node main.cjs", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions(
      "wall:wall:nanoseconds:wall:nanoseconds",
      ...range(),
      '{service_name="sdk.node"}',
    );
    expect(names.some((n) => n.includes("burnCpuInNode"))).toBe(true);
  }, 120_000);

  it("Python: pyroscope-io", async () => {
    const dir = join(work, "python");
    if (!install("pyroscope-io", "python3 -m venv v && v/bin/pip -q install pyroscope-io==1.4.0", dir))
      return;
    writeFileSync(
      join(dir, "main.py"),
      `
import os, time, pyroscope
pyroscope.configure(application_name="sdk.py", server_address=os.environ["URL"], sample_rate=100, tags={"lang": "py"})
def burn_cpu_in_python(t):
    x = 0
    while time.time() < t: x += 1
burn_cpu_in_python(time.time() + 14)
pyroscope.shutdown()
`,
    );
    const { ok, output } = sh("v/bin/python main.py", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.py"}');
    expect(names.some((n) => n.includes("burn_cpu_in_python"))).toBe(true);
  }, 120_000);

  it("Go: github.com/grafana/pyroscope-go", async () => {
    const dir = join(work, "go");
    mkdirSync(dir, { recursive: true });
    writeFileSync(
      join(dir, "main.go"),
      `package main

import (
	"os"
	"time"

	"github.com/grafana/pyroscope-go"
)

//go:noinline
func burnCpuInGo(d time.Duration) (x int) {
	for t := time.Now(); time.Since(t) < d; {
		for i := 0; i < 1e5; i++ {
			x += i * i
		}
	}
	return
}

func main() {
	p, err := pyroscope.Start(pyroscope.Config{ApplicationName: "sdk.go", ServerAddress: os.Getenv("URL"), UploadRate: 3 * time.Second,
		Tags: map[string]string{"lang": "go"}, ProfileTypes: []pyroscope.ProfileType{pyroscope.ProfileCPU, pyroscope.ProfileAllocSpace, pyroscope.ProfileGoroutines}})
	if err != nil {
		panic(err)
	}
	burnCpuInGo(8 * time.Second)
	p.Stop()
}
`,
    );
    if (
      !install(
        "pyroscope-go",
        "export GOFLAGS=-mod=mod && go mod init sdk >/dev/null 2>&1; go get github.com/grafana/pyroscope-go@v1.4.3 && go build -o sdk .",
        dir,
      )
    )
      return;
    const { ok, output } = sh("./sdk", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    const names = await server.functions(CPU, ...range(), '{service_name="sdk.go"}');
    expect(names.some((n) => n.includes("burnCpuInGo"))).toBe(true);
    const types = await server.json("/querier.v1.QuerierService/ProfileTypes", {
      start: String(range()[0]),
      end: String(range()[1]),
    });
    expect(JSON.stringify(types.body)).toContain("goroutines");
  }, 300_000);

  it("Java: io.pyroscope:agent, which sends JFR", async () => {
    const dir = join(work, "java");
    if (
      !install(
        "io.pyroscope:agent",
        "mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -Dartifact=io.pyroscope:agent:2.9.2 -DoutputDirectory=. && javac -version",
        dir,
      )
    )
      return;
    writeFileSync(
      join(dir, "Main.java"),
      `
import java.util.*;
public class Main {
  static final Object LOCK = new Object();
  static volatile long sink;
  static void burnCpuInJava(long until) { while (System.currentTimeMillis() < until) { long x = 0; for (int i = 0; i < 100000; i++) x += i * 31 ^ x; sink = x; } }
  static void allocateInJava(long until) { List<byte[]> l = new ArrayList<>(); while (System.currentTimeMillis() < until) { l.add(new byte[64 << 10]); if (l.size() > 100) l.clear(); } }
  static void contendInJava(long until) { while (System.currentTimeMillis() < until) synchronized (LOCK) { try { Thread.sleep(20); } catch (InterruptedException e) { return; } } }
  public static void main(String[] a) throws Exception {
    long end = System.currentTimeMillis() + 7000;
    Thread[] all = { new Thread(() -> burnCpuInJava(end)), new Thread(() -> allocateInJava(end)), new Thread(() -> contendInJava(end)), new Thread(() -> contendInJava(end)) };
    for (Thread t : all) t.start();
    for (Thread t : all) t.join();
    Thread.sleep(3500);
  }
}
`,
    );
    const { ok, output } = sh(
      "javac Main.java && java -Xmx128m -javaagent:$(ls agent-*.jar) -cp . Main",
      dir,
      {
        PYROSCOPE_APPLICATION_NAME: "sdk.java",
        PYROSCOPE_SERVER_ADDRESS: server.url,
        PYROSCOPE_UPLOAD_INTERVAL: "3s",
        PYROSCOPE_FORMAT: "jfr",
        PYROSCOPE_PROFILER_EVENT: "itimer",
        PYROSCOPE_PROFILER_ALLOC: "512k",
        PYROSCOPE_PROFILER_LOCK: "10ms",
        PYROSCOPE_LABELS: "lang=java",
      },
    );
    expect(ok ? "" : output).toBe("");
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
  }, 300_000);

  it("OpenTelemetry: the collector's profiles service over gRPC, and over HTTP as protobuf and JSON", async () => {
    const dir = join(work, "otlp");
    mkdirSync(dir, { recursive: true });
    writeFileSync(
      join(dir, "main.go"),
      `package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func request(service string) *collector.ExportProfilesServiceRequest {
	return &collector.ExportProfilesServiceRequest{
		Dictionary: &profiles.ProfilesDictionary{
			StringTable: []string{"", "samples", "count", "cpu", "nanoseconds", "burnCpuInOtlp"},
			MappingTable: []*profiles.Mapping{{}}, FunctionTable: []*profiles.Function{{}, {NameStrindex: 5}}, LinkTable: []*profiles.Link{{}}, AttributeTable: []*profiles.KeyValueAndUnit{{}},
			LocationTable: []*profiles.Location{{}, {Lines: []*profiles.Line{{FunctionIndex: 1}}}}, StackTable: []*profiles.Stack{{}, {LocationIndices: []int32{1}}},
		},
		ResourceProfiles: []*profiles.ResourceProfiles{{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: service}}}}},
			ScopeProfiles: []*profiles.ScopeProfiles{{Profiles: []*profiles.Profile{{
				SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, PeriodType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, Period: 10000000,
				TimeUnixNano: uint64(time.Now().UnixNano()), DurationNano: 1e9, ProfileId: make([]byte, 16), Samples: []*profiles.Sample{{StackIndex: 1, Values: []int64{7}}},
			}}}},
		}},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func post(url, kind string, body []byte) {
	r, err := http.Post(url+"/v1development/profiles", kind, bytes.NewReader(body))
	must(err)
	if r.StatusCode != 200 || r.Header.Get("content-type") != "application/x-protobuf" {
		panic(fmt.Sprint(kind, r.StatusCode, r.Header))
	}
}

func main() {
	url := os.Getenv("URL")
	c, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	_, err = collector.NewProfilesServiceClient(c).Export(context.Background(), request("otlp.grpc"))
	must(err)
	b, err := proto.Marshal(request("otlp.proto"))
	must(err)
	post(url, "application/x-protobuf", b)
	j, err := protojson.Marshal(request("otlp.json"))
	must(err)
	post(url, "application/json", j)
}
`,
    );
    if (
      !install(
        "the OpenTelemetry protocol's Go module",
        "export GOFLAGS=-mod=mod && go mod init sdk >/dev/null 2>&1; go get go.opentelemetry.io/proto/otlp/collector/profiles/v1development@v0.3.0 google.golang.org/grpc@v1.85.0 && go build -o sdk .",
        dir,
      )
    )
      return;
    const { ok, output } = sh("./sdk", dir, { URL: server.url });
    expect(ok ? "" : output).toBe("");
    for (const service of ["otlp.grpc", "otlp.proto", "otlp.json"])
      expect(await server.functions(CPU, ...range(), `{service_name="${service}"}`)).toEqual(
        expect.arrayContaining(["burnCpuInOtlp"]),
      );
  }, 300_000);
});

describe("senders that cannot be run here, by bodies as their protocols say", () => {
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
