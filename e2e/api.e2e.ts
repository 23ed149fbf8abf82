import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { create, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { ProfileSchema, PushRequestSchema, PusherService, QuerierService } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";

type Profile = MessageShape<typeof ProfileSchema>;

const now = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;
const profile = (work: number, atMs = now): Uint8Array =>
  gzipSync(
    tinyPprof({
      stacks: [
        { frames: ["main", "work"], values: [work] },
        { frames: ["main", "idle"], values: [1] },
      ],
      timeNanos: BigInt(atMs) * 1_000_000n,
    }),
  );
const series = (pod: string, p: Uint8Array) => ({
  labels: [
    { name: "__name__", value: "process_cpu" },
    { name: "service_name", value: "shop" },
    { name: "pod", value: pod },
  ],
  samples: [{ rawProfile: p }],
});

describe("the single binary", () => {
  const server = new Server();
  beforeAll(() => server.start());
  afterAll(() => server.stop());

  it("accepts pushes over Connect (binary and JSON), gRPC and gRPC-web, on HTTP/1.1 and HTTP/2, on one port", async () => {
    const baseUrl = server.url;
    const transports = {
      "connect-h1": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }),
      "connect-h2": createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
      "json-h1": createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
      grpc: createGrpcTransport({ baseUrl }),
      "grpc-web-h1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
      "grpc-web-h2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
    };
    for (const [pod, transport] of Object.entries(transports))
      await createClient(PusherService, transport).push({ series: [series(pod, profile(10))] });
    const sums = await server.sums(["pod"], CPU, now - 1000, now + 15_000);
    expect([...sums]).toEqual(expect.arrayContaining(Object.keys(transports).map((pod) => [pod, 11])));
    for (const transport of Object.values(transports)) {
      const { names } = await createClient(QuerierService, transport).labelValues({ name: "pod" });
      expect(names).toEqual(Object.keys(transports).sort());
      const r = await createClient(QuerierService, transport).selectMergeStacktraces({
        profileTypeID: CPU,
        labelSelector: '{pod="grpc"}',
        start: BigInt(now - 1000),
        end: BigInt(now + 1000),
      });
      expect(r.flamegraph?.total).toBe(11n);
      expect(r.flamegraph?.names).toEqual(expect.arrayContaining(["total", "main", "work", "idle"]));
    }
  });

  it("answers a push on the direct path the same as through the router", async () => {
    const direct = {
      labels: [
        { name: "__name__", value: "process_cpu" },
        { name: "service_name", value: "direct" },
      ],
      samples: [{ rawProfile: profile(5) }],
    };
    const bodies: Record<string, Uint8Array> = {
      good: toBinary(PushRequestSchema, create(PushRequestSchema, { series: [direct] })),
      "two profiles, one broken": toBinary(
        PushRequestSchema,
        create(PushRequestSchema, {
          series: [direct, series("direct", Uint8Array.of(0x1f, 0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0))],
        }),
      ),
      "no profiles": toBinary(
        PushRequestSchema,
        create(PushRequestSchema, {
          series: [{ labels: [{ name: "service_name", value: "x" }], samples: [] }],
        }),
      ),
      "no protobuf": Uint8Array.of(255, 255, 255),
      "600 kB": toBinary(
        PushRequestSchema,
        create(PushRequestSchema, {
          series: [{ ...direct, annotations: [{ key: "k", value: "v".repeat(600_000) }] }],
        }),
      ),
    };
    const push = async (body: Uint8Array, more: Record<string, string>) => {
      const r = await fetch(`${server.url}/push.v1.PusherService/Push`, {
        method: "POST",
        body,
        headers: { "content-type": "application/proto", ...more },
      });
      return {
        status: r.status,
        headers: [...r.headers].filter(([k]) => k !== "date"),
        body: await r.text(),
      };
    };
    for (const [name, body] of Object.entries(bodies)) {
      // a timeout sends the request through the router
      expect([name, await push(body, {})]).toEqual([
        name,
        await push(body, { "connect-timeout-ms": "60000" }),
      ]);
    }
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(
      /pyroscope_request_duration_seconds_count\{[^}]*route="push_v1_pusherservice_push",status_code="400"[^}]*\} [1-9]/,
    );
    expect(metrics).toMatch(
      /pyroscope_inflight_requests\{method="POST",route="push_v1_pusherservice_push"\} 0/,
    );
  });

  it("reports errors to gRPC clients in trailers", async () => {
    const client = createClient(PusherService, createGrpcTransport({ baseUrl: server.url }));
    await expect(client.push({})).rejects.toMatchObject({ rawMessage: "no profiles received", code: 3 });
  });

  it("accepts /ingest: pprof as body and as form, folded text", async () => {
    const q = `from=${now / 1000}&until=${now / 1000 + 10}`;
    expect(
      (
        await fetch(`${server.url}/ingest?name=body{pod=b}&format=pprof&${q}`, {
          method: "POST",
          body: profile(3),
        })
      ).status,
    ).toBe(200);
    const form = new FormData();
    form.append("profile", new Blob([profile(4)]), "profile.pprof");
    expect(
      (
        await fetch(`${server.url}/ingest?name=form{pod=f}&spyName=gospy&${q}`, {
          method: "POST",
          body: form,
        })
      ).status,
    ).toBe(200);
    expect(
      (
        await fetch(`${server.url}/ingest?name=text.cpu{pod=t}&sampleRate=100&${q}`, {
          method: "POST",
          body: "main;work 2\nmain 1\n",
        })
      ).status,
    ).toBe(200);
    const sums = await server.sums(["service_name"], CPU, now - 1000, now + 15_000);
    expect([sums.get("body"), sums.get("form"), sums.get("text")]).toEqual([4, 5, 30_000_000]);
  });

  it("returns a merged pprof, a tree, a diff and /pyroscope/render", async () => {
    const client = createClient(
      QuerierService,
      createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }),
    );
    const range = { start: BigInt(now - 1000), end: BigInt(now + 1000) };
    const p = await client.selectMergeProfile({
      profileTypeID: CPU,
      labelSelector: '{service_name="shop"}',
      ...range,
    });
    expect(p.sample.map((s) => Number(s.value[0])).sort((a, b) => a - b)).toEqual([6, 60]);
    expect(p.stringTable[Number(p.sampleType[0]!.type)]).toBe("cpu");
    const d = await client.diff({
      left: { profileTypeID: CPU, labelSelector: '{pod="grpc"}', ...range },
      right: { profileTypeID: CPU, labelSelector: '{pod="b"}', ...range },
    });
    expect([d.flamegraph?.leftTicks, d.flamegraph?.rightTicks]).toEqual([11n, 4n]);
    const r = (await (
      await fetch(
        `${server.url}/pyroscope/render?query=${encodeURIComponent(`${CPU}{service_name="shop"}`)}&from=${now - 60_000}&until=${now + 60_000}&groupBy=pod`,
      )
    ).json()) as { flamebearer: { numTicks: number }; groups: object; timeline: { durationDelta: number } };
    expect([r.flamebearer.numTicks, Object.keys(r.groups).length, r.timeline.durationDelta]).toEqual([
      66, 6, 15,
    ]);
  });

  it("takes its merged pprof back: a service with that profile has the same stacks, values and mappings", async () => {
    const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }),
      client = createClient(QuerierService, transport);
    const merged = (service: string): Promise<Profile> =>
      client.selectMergeProfile({
        profileTypeID: CPU,
        labelSelector: `{service_name="${service}"}`,
        start: BigInt(now - 1000),
        end: BigInt(now + 1000),
      });
    const content = (p: Profile): unknown => {
      const text = (i: bigint): string => p.stringTable[Number(i)]!;
      const frame = (id: bigint): string => {
        const l = p.location[Number(id) - 1]!,
          m = p.mapping[Number(l.mappingId) - 1]!;
        const lines = l.line.map(({ functionId, line }) => {
          const f = p.function[Number(functionId) - 1]!;
          return `${text(f.name)} ${text(f.systemName)} ${text(f.filename)}:${line}`;
        });
        return `${lines.join(",")} ${text(m.filename)} ${m.hasFunctions} ${m.hasFilenames}`;
      };
      return {
        types: [...p.sampleType, p.periodType!].map((t) => `${text(t.type)}/${text(t.unit)}`),
        samples: p.sample.map((x) => `${x.locationId.map(frame).join(";")} ${x.value.join()}`).sort(),
      };
    };
    const first = await merged("shop");
    await createClient(PusherService, transport).push({
      series: [
        {
          labels: [
            { name: "__name__", value: "process_cpu" },
            { name: "service_name", value: "copy" },
          ],
          samples: [{ rawProfile: toBinary(ProfileSchema, first) }],
        },
      ],
    });
    const second = await merged("copy");
    expect(first.sample.length).toBe(2);
    expect(content(second)).toEqual(content(first));
  });

  it.each([
    ["GET", "/querier.v1.QuerierService/LabelNames", {}, "", 405, ""],
    ["POST", "/querier.v1.QuerierService/LabelNames", { "content-type": "text/plain" }, "{}", 415, ""],
    [
      "POST",
      "/querier.v1.QuerierService/Nothing",
      { "content-type": "application/json" },
      "{}",
      404,
      "404 page not found\n",
    ],
    ["GET", "/nowhere", {}, "", 404, "404 page not found\n"],
    ["POST", "/pyroscope/render", {}, "", 405, ""],
    ["GET", "/ingest", {}, "", 405, ""],
    [
      "POST",
      "/querier.v1.QuerierService/LabelValues",
      { "content-type": "application/json" },
      "{}",
      400,
      '{"code":"invalid_argument","message":"name is required"}',
    ],
    [
      "POST",
      "/push.v1.PusherService/Push",
      { "content-type": "application/json", "content-encoding": "br" },
      "{}",
      501,
      '{"code":"unimplemented","message":"unknown compression \\"br\\": supported encodings are gzip"}',
    ],
  ])("%s %s %j is refused as v1's clients expect", async (method, path, headers, body, status, text) => {
    const r = await fetch(`${server.url}${path}`, {
      method,
      headers: headers as Record<string, string>,
      ...(method === "GET" ? {} : { body }),
    });
    expect([r.status, await r.text()]).toEqual([status, text]);
  });

  it("serves every route below a proxy's prefix, and the UI's pages", async () => {
    const status = async (path: string, init: RequestInit = {}): Promise<number> =>
      (await fetch(`${server.url}${path}`, init)).status;
    const html = { headers: { accept: "text/html,*/*" } };
    expect([
      await status("/a/b/", html),
      await status("/a/b/explore"),
      await status("/a/b/"),
      await status("/a/b", html),
      await status("/ingest/", { method: "POST" }),
      await status("/a/ingest?name=x", { method: "POST" }),
      await status("/a/b/ready"),
      await status("/a/b/v1development/profiles", { method: "POST" }),
      await status("/a/b/none", { method: "POST" }),
    ]).toEqual([200, 200, 404, 404, 404, 200, 200, 415, 404]);
  });

  it("serves users, operators and load balancers", async () => {
    const page = await fetch(`${server.url}/`);
    expect([page.headers.get("content-security-policy")?.split(";")[0], await page.text()]).toEqual([
      "default-src 'self'",
      expect.stringContaining("<title>Cinderblock</title>"),
    ]);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(
      'pyroscope_distributor_profiles_received_total{tenant="anonymous"}',
    );
    expect(await (await fetch(`${server.url}/api/v1/status/config/diff`)).text()).toContain(
      "reject_older_than: 0s",
    );
    expect((await server.json("/grpc.health.v1.Health/Check", {})).body).toEqual({ status: "SERVING" });
  });

  it("returns the same answer from memory, after a flush, after a restart, and from the bucket alone", async () => {
    const ask = async (): Promise<string> =>
      JSON.stringify(
        [...(await server.sums(["pod", "service_name"], CPU, now - 60_000, now + 60_000))].sort(),
      ) + JSON.stringify((await server.functions(CPU, now - 60_000, now + 60_000)).sort());
    const before = await ask();
    await server.flush();
    expect(await ask()).toBe(before);
    expect(await server.stop()).toBe(0);
    const blocks = readdirSync(join(server.dir, "bucket/anonymous/phlaredb")).filter((f) => f.length === 26);
    expect(blocks.length).toBeGreaterThan(0);
    expect(existsSync(join(server.dir, "bucket/anonymous/phlaredb", blocks[0]!, "meta.json"))).toBe(true);
    await server.start();
    expect(await ask()).toBe(before);
    await server.stop();
    rmSync(join(server.dir, "db"), { recursive: true });
    await server.start();
    expect(await ask()).toBe(before);
    const index = JSON.parse(
      gunzipSync(
        (await import("node:fs")).readFileSync(
          join(server.dir, "bucket/anonymous/phlaredb/bucket-index.json.gz"),
        ),
      ).toString(),
    ) as { version: number; blocks: unknown[] };
    expect([index.version, index.blocks.length]).toEqual([3, blocks.length]);
  });

  it("counts a push that is retried after the cut once", async () => {
    const at = now + 30_000;
    const body = {
      series: [
        {
          labels: series("retry", profile(1)).labels,
          samples: [{ rawProfile: Buffer.from(profile(41, at)).toString("base64") }],
        },
      ],
    };
    await server.json("/push.v1.PusherService/Push", body);
    await server.flush();
    await server.json("/push.v1.PusherService/Push", body);
    expect((await server.sums(["pod"], CPU, now - 1000, now + 60_000)).get("retry")).toBe(42);
    await server.flush();
    expect((await server.sums(["pod"], CPU, now - 1000, now + 60_000)).get("retry")).toBe(42);
  });
});

describe("tenants", () => {
  const server = new Server();
  beforeAll(() => server.start("-auth.multitenancy-enabled=true"));
  afterAll(() => server.stop());
  it("are isolated, and invalid tenant IDs are refused", async () => {
    const push = (tenant: string) =>
      server.json(
        "/push.v1.PusherService/Push",
        {
          series: [
            {
              labels: series(tenant, profile(1)).labels,
              samples: [{ rawProfile: Buffer.from(profile(1)).toString("base64") }],
            },
          ],
        },
        tenant === "" ? {} : { "x-scope-orgid": tenant },
      );
    expect((await push("a")).status).toBe(200);
    expect((await push("b")).status).toBe(200);
    const values = await server.json(
      "/querier.v1.QuerierService/LabelValues",
      { name: "pod" },
      { "x-scope-orgid": "a" },
    );
    expect(values.body).toEqual({ names: ["a"] });
    expect(await push("")).toEqual({ status: 401, body: { code: "unauthenticated", message: "no org id" } });
    expect(await push("a|b")).toEqual({
      status: 401,
      body: { code: "unauthenticated", message: "multiple org IDs present" },
    });
    expect((await push("a/b")).status).toBe(401);
  });
});

describe("the services of a UI", () => {
  const server = new Server();
  beforeAll(() => server.start("-validation.max-profile-size-bytes=100000"));
  afterAll(() => server.stop());
  const settings = (method: string, body: object): ReturnType<Server["json"]> =>
    server.json(`/settings.v1.SettingsService/${method}`, body);
  const files = (method: string, body: object): ReturnType<Server["json"]> =>
    server.json(`/adhocprofiles.v1.AdHocProfileService/${method}`, body);

  it("keep settings across a restart", async () => {
    expect((await settings("Get", {})).body).toEqual({});
    expect((await settings("Set", { setting: { name: "b", value: "2", modifiedAt: "1000" } })).body).toEqual({
      setting: { name: "b", value: "2", modifiedAt: "1000" },
    });
    const now = (await settings("Set", { setting: { name: "a", value: "1" } })).body.setting as {
      modifiedAt: string;
    };
    expect(Math.abs(Number(now.modifiedAt) - Date.now())).toBeLessThan(10_000);
    expect(await settings("Set", { setting: { name: "b", value: "old", modifiedAt: "999" } })).toMatchObject({
      status: 409,
      body: { code: "already_exists" },
    });
    expect([
      (await settings("Set", {})).status,
      (await settings("Delete", {})).status,
      (await settings("Delete", { name: "nobody" })).status,
    ]).toEqual([400, 400, 200]);
    await server.stop();
    await server.start("-validation.max-profile-size-bytes=100000");
    expect((await settings("Get", {})).body).toEqual({
      settings: [
        { name: "a", value: "1", modifiedAt: now.modifiedAt },
        { name: "b", value: "2", modifiedAt: "1000" },
      ],
    });
    await settings("Delete", { name: "a" });
    expect(((await settings("Get", {})).body.settings as unknown[]).length).toBe(1);
    expect(
      (
        await fetch(`${server.url}/settings.v1.RecordingRulesService/ListRecordingRules`, {
          method: "POST",
          body: "{}",
        })
      ).status,
    ).toBe(404);
  });

  it("keep files, draw them, and compare two", async () => {
    expect((await files("List", {})).body).toEqual({});
    const up = async (
      name: string,
      bytes: Uint8Array | string,
    ): Promise<{ status: number; body: Record<string, unknown> }> =>
      files("Upload", { name, profile: Buffer.from(bytes).toString("base64") });
    const left = (
      await up(
        "left one.pb",
        tinyPprof({
          types: [
            ["samples", "count"],
            ["cpu", "nanoseconds"],
          ],
          stacks: [{ frames: ["main", "a"], values: [1, 10] }],
        }),
      )
    ).body;
    expect(left).toMatchObject({
      name: "left one.pb",
      profileType: "samples",
      profileTypes: ["samples", "cpu"],
      id: expect.stringMatching(/^[0-9A-Z]{26}-left_one\.pb$/),
    });
    const flame = (
      body: Record<string, unknown>,
    ): {
      flamebearer: { names: string[]; numTicks: number };
      metadata: { format: string; name: string; units: string };
      leftTicks?: number;
      rightTicks?: number;
    } => JSON.parse(body.flamebearerProfile as string);
    expect(flame(left)).toMatchObject({
      version: 1,
      metadata: { format: "single", name: "samples", units: "objects" },
      flamebearer: { names: ["total", "main", "a"], numTicks: 1 },
    });
    const cpu = await files("Get", { id: left.id, profileType: "cpu" });
    expect([cpu.body.profileType, flame(cpu.body).flamebearer.numTicks]).toEqual(["cpu", 10]);
    const right = (
      await up(
        "right.pb",
        tinyPprof({ types: [["cpu", "nanoseconds"]], stacks: [{ frames: ["main", "b"], values: [30] }] }),
      )
    ).body;
    const diff = await files("Diff", { leftId: left.id, rightId: right.id });
    expect([diff.body.profileTypes, flame(diff.body)]).toMatchObject([
      ["cpu"],
      { metadata: { format: "double", name: "cpu" }, leftTicks: 10, rightTicks: 30 },
    ]);
    expect(((await files("List", {})).body.profiles as { id: string }[]).map((p) => p.id)).toEqual([
      right.id,
      left.id,
    ]);
    const folded = (await up("stacks.txt", "main;a 3\n")).body;
    expect(folded.profileTypes).toEqual(["samples"]);
    expect(await files("Diff", { leftId: folded.id, rightId: right.id })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining("no common profile types") },
    });
    expect(await files("Get", { id: "../x" })).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
    expect(await files("Get", { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV-x" })).toMatchObject({ status: 404 });
    expect(await files("Get", { id: left.id, profileType: "heap" })).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining("samples, cpu") },
    });
    expect(await up("x.bin", Uint8Array.of(0, 1, 2))).toMatchObject({
      status: 500,
      body: { code: "unknown", message: expect.stringContaining("failed to parse profile") },
    });
    expect(await up("big.txt", "main;a 3\n".repeat(20_000))).toMatchObject({
      status: 400,
      body: { message: expect.stringContaining("the limit is 100000") },
    });
    expect(await files("Upload", { name: "x", profile: "%%%" })).toMatchObject({ status: 500 });
  });
});

describe("with a tokens file", () => {
  const server = new Server(),
    AGENT = "agent-token-0123456789",
    READER = "reader-token-0123456789",
    ADMIN = "admin-token-0123456789";
  beforeAll(async () => {
    const file = join(server.dir, "tokens.yaml");
    writeFileSync(
      file,
      `tokens:\n  - {name: agents, token: ${AGENT}, roles: [write], tenants: [a]}\n  - {name: grafana, token: ${READER}, roles: [read], tenants: [a, b]}\n  - {name: ops, token: ${ADMIN}, roles: [admin]}\n`,
    );
    await server.start("-auth.multitenancy-enabled=true", `-auth.tokens-file=${file}`);
  });
  afterAll(() => server.stop());
  const status = async (path: string, init: RequestInit = {}): Promise<number> =>
    (await fetch(`${server.url}${path}`, init)).status;

  it("requires a token on every route except /ready, /started and the UI's files, and does not reveal which routes exist", async () => {
    const bodies: RequestInit = {
      method: "POST",
      headers: { "content-type": "application/json", "x-scope-orgid": "a" },
      body: "{}",
    };
    for (const path of [
      "/push.v1.PusherService/Push",
      "/querier.v1.QuerierService/ProfileTypes",
      "/querier.v1.QuerierService/Diff",
      "/ingester.v1.IngesterService/Flush",
      "/ingest?name=a",
      "/pyroscope/ingest?name=a",
      "/v1development/profiles",
      "/cinderblock.internal.v1.IngesterService/PushRecord",
      "/nothing/here",
    ]) {
      expect([path, await status(path, bodies)]).toEqual([path, 401]);
      expect([
        path,
        await status(path, {
          ...bodies,
          headers: { ...bodies.headers, authorization: "Bearer wrong-token-0123456789" },
        }),
      ]).toEqual([path, 401]);
    }
    for (const path of [
      "/metrics",
      "/pyroscope/render?query=x",
      "/pyroscope/render-diff",
      "/pyroscope/label-values?label=x",
      "/api/v1/status/config",
      "/api/v1/status/buildinfo",
      "/runtime_config",
      "/nothing",
    ])
      expect([path, await status(path)]).toEqual([path, 401]);
    for (const path of ["/ready", "/started", "/", "/explore", "/icon.svg"])
      expect([path, await status(path)]).toEqual([path, 200]);
    for (const path of [
      "/cinderblock.explore.v1.ExploreService/CallTree",
      "/cinderblock.explore.v1.ExploreService/Capabilities",
      "/prefix/querier.v1.QuerierService/ProfileTypes",
    ])
      expect([path, await status(path, bodies)]).toEqual([path, 401]);
    const plain = await fetch(`${server.url}/push.v1.PusherService/Push`, {
      method: "POST",
      headers: { "content-type": "application/proto", "x-scope-orgid": "a" },
      body: toBinary(PushRequestSchema, create(PushRequestSchema, { series: [series("p", profile(1))] })),
    });
    expect([plain.status, plain.headers.get("www-authenticate")]).toEqual([
      401,
      'Basic realm="Cinderblock", Bearer',
    ]);
    await expect(
      createClient(PusherService, createGrpcTransport({ baseUrl: server.url })).push(
        { series: [] },
        { headers: { "x-scope-orgid": "a" } },
      ),
    ).rejects.toThrow(/\[unauthenticated\] a token is required/);
  });

  it("requires a token on each existing route, and refuses a wrong one and another tenant's", async () => {
    const { routes } = (await (
      await fetch(`${server.url}/admin`, {
        headers: { accept: "application/json", authorization: `Bearer ${ADMIN}` },
      })
    ).json()) as { routes: { path: string; methods: string[] }[] };
    expect(routes.length).toBeGreaterThan(70);
    const open =
      /^\/(|ready|started|explore|compare|files|status|comparison|comparison-diff|icon\.svg|assets\/.*|grpc\.health\.v1\.Health\/(Check|Watch))$/;
    const asked = async (path: string, method: string, token: string, tenant: string): Promise<number> =>
      (
        await fetch(`${server.url}${path}`, {
          method,
          headers: {
            "content-type": "application/json",
            "x-scope-orgid": tenant,
            ...(token === "" ? {} : { authorization: `Bearer ${token}` }),
          },
          ...(method === "GET" ? {} : { body: "{}" }),
        })
      ).status;
    let tenants = 0;
    for (const { path, methods } of routes) {
      const real = path.replaceAll(/:\w+/g, "x");
      for (const method of ["GET", "POST", "PUT", "DELETE"].filter((m) => methods.includes(m))) {
        if (open.test(path)) continue;
        const at = `${method} ${path}`;
        expect([at, await asked(real, method, "", "a")]).toEqual([at, 401]);
        expect([at, await asked(real, method, "wrong-token-0123456789", "a")]).toEqual([at, 401]);
        // The tokens of agent and reader allow neither tenant c nor administration.
        for (const token of [AGENT, READER])
          expect([at, await asked(real, method, token, "c")]).toEqual([at, 403]);
        tenants++;
      }
    }
    expect(tenants).toBeGreaterThan(70);
  });

  it("allows each token its roles and tenants", async () => {
    const push = (tenant: string, token: string) =>
      server.json(
        "/push.v1.PusherService/Push",
        {
          series: [
            {
              labels: series("p", profile(1)).labels,
              samples: [{ rawProfile: Buffer.from(profile(1)).toString("base64") }],
            },
          ],
        },
        {
          "x-scope-orgid": tenant,
          authorization: `Basic ${Buffer.from(`user:${token}`).toString("base64")}`,
        },
      );
    expect((await push("a", AGENT)).status).toBe(200);
    expect(await push("b", AGENT)).toEqual({
      status: 403,
      body: { code: "permission_denied", message: "the token agents has no access to tenant b" },
    });
    expect((await push("a", READER)).status).toBe(403);
    const ask = async (tenant: string, token: string) =>
      (
        await server.json(
          "/querier.v1.QuerierService/LabelNames",
          { start: String(now - 1000), end: String(now + 1000) },
          { "x-scope-orgid": tenant, authorization: `Bearer ${token}` },
        )
      ).status;
    expect([
      await ask("a", READER),
      await ask("a|b", READER),
      await ask("a|c", READER),
      await ask("a", AGENT),
      await ask("a", ADMIN),
    ]).toEqual([200, 200, 403, 403, 403]);
    // Readers and writers may call all of their routes: no answer is a refusal.
    const allowed = async (path: string, token: string): Promise<boolean> =>
      (
        await fetch(`${server.url}${path}`, {
          headers: { "x-scope-orgid": "a", authorization: `Bearer ${token}` },
        })
      ).status !== 403;
    for (const path of [
      "/pyroscope/render",
      "/pyroscope/render-diff",
      "/pyroscope/label-values",
      "/pyroscope/export?format=folded",
    ])
      expect([path, await allowed(path, READER), await allowed(path, AGENT)]).toEqual([path, true, false]);
    expect([
      await allowed("/pyroscope/debug-files", AGENT),
      await allowed("/pyroscope/debug-files", READER),
    ]).toEqual([true, false]);
    expect(
      (
        await server.json(
          "/vcs.v1.VCSService/GithubApp",
          {},
          { "x-scope-orgid": "a", authorization: `Bearer ${READER}` },
        )
      ).status,
    ).toBe(501);
    const admin = { headers: { authorization: `Bearer ${ADMIN}` } };
    expect([
      await status("/metrics", admin),
      await status("/api/v1/status/config", admin),
      await status("/nothing", admin),
    ]).toEqual([200, 200, 404]);
    // The page masks secrets.
    expect(await (await fetch(`${server.url}/api/v1/status/config`, admin)).text()).not.toMatch(
      /token-0123456789/,
    );
    expect(server.log()).not.toMatch(/token-0123456789/);
  });
});

describe("limits of single tenants", () => {
  it("come from the runtime file, are reloaded at run time, and are displayed", async () => {
    const server = new Server(),
      file = join(server.dir, "overrides.yaml");
    writeFileSync(file, "overrides:\n  small:\n    max_profile_size_bytes: 10\n");
    await server.start(
      "-auth.multitenancy-enabled=true",
      `-runtime-config.file=${file}`,
      "-runtime-config.reload-period=1s",
    );
    const push = async (tenant: string) =>
      (
        await server.json(
          "/push.v1.PusherService/Push",
          {
            series: [
              {
                ...series("a", profile(1)),
                samples: [{ rawProfile: Buffer.from(profile(1)).toString("base64") }],
              },
            ],
          },
          { "x-scope-orgid": tenant },
        )
      ).status;
    expect([await push("small"), await push("other")]).toEqual([400, 200]);
    expect(await (await fetch(`${server.url}/runtime_config?mode=diff`)).text()).toBe(
      "overrides:\n  small:\n    max_profile_size_bytes: 10\n",
    );
    expect(await (await fetch(`${server.url}/runtime_config`)).text()).toContain(
      "    reject_older_than: 0s\n",
    );
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toContain(
      'pyroscope_limits_overrides{limit_name="max_global_series_per_tenant",tenant="small"} 0',
    );
    expect(metrics).toContain('pyroscope_limits_defaults{limit_name="max_query_parallelism"} 0');
    expect(metrics).toContain("pyroscope_runtime_config_last_reload_successful 1");
    writeFileSync(file, "overrides:\n  other:\n    max_profile_size_bytes: 10\n");
    for (let i = 0; i < 50 && (await push("small")) !== 200; i++)
      await new Promise((r) => {
        setTimeout(r, 100);
      });
    expect([await push("small"), await push("other")]).toEqual([200, 400]);
    await server.stop();
  });
});

it("limits a tenant's series, and keeps accepting known series at the limit", async () => {
  const server = new Server();
  await server.start("-ingester.max-global-series-per-tenant=3");
  const push = (pod: string, at: number): Promise<{ status: number; body: Record<string, unknown> }> =>
    server.json("/push.v1.PusherService/Push", {
      series: [
        {
          labels: [
            { name: "__name__", value: "process_cpu" },
            { name: "service_name", value: "shop" },
            { name: "pod", value: pod },
          ],
          samples: [{ rawProfile: Buffer.from(profile(10, now + at)).toString("base64") }],
        },
      ],
    });
  expect((await Promise.all(["a", "b", "c"].map((p) => push(p, 0)))).map((r) => r.status)).toEqual([
    200, 200, 200,
  ]);
  const refused = await push("d", 0);
  expect([refused.status, refused.body.code, refused.body.message]).toEqual([
    429,
    "resource_exhausted",
    expect.stringContaining("Maximum active series limit exceeded (3/3)"),
  ]);
  expect((await Promise.all(["a", "b", "c"].map((p) => push(p, 1)))).map((r) => r.status)).toEqual([
    200, 200, 200,
  ]);
  await server.flush(); // a new head does not reset the series limit
  expect([(await push("d", 2)).status, (await push("a", 2)).status]).toEqual([429, 200]);
  expect([...(await server.sums(["pod"], CPU, now - 1000, now + 15_000))].sort()).toEqual([
    ["a", 33],
    ["b", 22],
    ["c", 22],
  ]);
  await server.stop();
});

describe("usage groups", () => {
  it("count a tenant's bytes by its runtime file, and sample a group", async () => {
    const server = new Server(),
      file = join(server.dir, "groups.yaml");
    writeFileSync(
      file,
      `overrides: {anonymous: {distributor_usage_groups: {"team \${labels.team}": '{team!=""}', gone: '{service_name="gone"}'}, distributor_sampling: {usage_groups: {gone: {probability: 0}, "team \${labels.team}": {probability: 1}}}}}\n`,
    );
    await server.start(`-runtime-config.file=${file}`);
    const push = async (labels: Record<string, string>): Promise<number> =>
      (
        await server.json("/push.v1.PusherService/Push", {
          series: [
            {
              labels: Object.entries({ __name__: "process_cpu", ...labels }).map(([name, value]) => ({
                name,
                value,
              })),
              samples: [{ rawProfile: Buffer.from(profile(1)).toString("base64") }],
            },
          ],
        })
      ).status;
    expect([
      await push({ service_name: "kept", team: "a" }),
      await push({ service_name: "gone" }),
      await push({ service_name: "nobody" }),
    ]).toEqual([200, 200, 200]);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    for (const group of ["team a", "gone", "other"])
      expect(metrics).toMatch(
        new RegExp(
          `pyroscope_usage_group_received_decompressed_total\\{[^}]*tenant="anonymous",usage_group="${group}"\\} [1-9]`,
        ),
      );
    expect(metrics).toMatch(
      /pyroscope_usage_group_discarded_bytes_total\{reason="dropped_by_sampling_rules",tenant="anonymous",usage_group="gone"\} [1-9]/,
    );
    expect(
      (
        await server.json("/querier.v1.QuerierService/LabelValues", {
          name: "service_name",
          matchers: [],
          start: String(now - 3600_000),
          end: String(now + 3600_000),
        })
      ).body,
    ).toEqual({ names: ["kept", "nobody"] });
    const annotations = async (service: string): Promise<unknown> =>
      (
        (
          await server.json("/querier.v1.QuerierService/SelectSeries", {
            profileTypeID: CPU,
            labelSelector: `{service_name="${service}"}`,
            start: String(now - 60_000),
            end: String(now + 60_000),
            step: 120,
          })
        ).body as { series: { points: { annotations?: unknown }[] }[] }
      ).series[0]!.points[0]!.annotations;
    expect([await annotations("kept"), await annotations("nobody")]).toEqual([
      [
        {
          key: "pyroscope.ingest.sampled",
          value: '{"body":{"source":{"usageGroup":"team a","probability":1}}}',
        },
      ],
      undefined,
    ]);
    await server.stop();
    writeFileSync(file, `overrides: {anonymous: {distributor_usage_groups: {other: "{}"}}}\n`);
    await expect(server.start(`-runtime-config.file=${file}`)).rejects.toThrow(
      "the name other is reserved for profiles without a group",
    );
  });
});

describe("an ingestion limit", () => {
  it("refuses the tenant's pushes except a trickle, and no other tenant's; ends without a restart", async () => {
    const server = new Server(),
      file = join(server.dir, "limits.yaml");
    const reached = (yes: boolean): void => {
      writeFileSync(
        file,
        `overrides: {full: {ingestion_limit: {period_type: hour, period_limit_mb: 128, limit_reset_time: 1795411800, limit_reached: ${yes}, sampling: {num_requests: 1, period: 1h}}}}\n`,
      );
    };
    reached(true);
    await server.start(
      "-auth.multitenancy-enabled=true",
      `-runtime-config.file=${file}`,
      "-runtime-config.reload-period=1s",
    );
    const push = (tenant: string, at: number) =>
      server.json(
        "/push.v1.PusherService/Push",
        {
          series: [
            {
              labels: [
                { name: "__name__", value: "process_cpu" },
                { name: "service_name", value: "shop" },
              ],
              samples: [{ rawProfile: Buffer.from(profile(10, now + at)).toString("base64") }],
            },
          ],
        },
        { "x-scope-orgid": tenant },
      );
    expect([
      (await push("full", 0)).status,
      (await push("other", 0)).status,
      (await push("other", 1)).status,
    ]).toEqual([200, 200, 200]);
    const refused = await push("full", 1);
    expect([refused.status, refused.body.code, refused.body.message]).toEqual([
      429,
      "resource_exhausted",
      "limit of 128 MB per hour reached, next reset at 2026-11-23T05:30:00.000Z",
    ]);
    const form = await fetch(`${server.url}/ingest?name=shop.cpu&from=${now / 1000}`, {
      method: "POST",
      headers: { "x-scope-orgid": "full" },
      body: "a;b 1",
    });
    expect(form.status).toBe(429);
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain(
      'pyroscope_discarded_samples_total{reason="ingest_limit_reached",tenant="full"} 2',
    );
    // Annotations of the points show that profiles are missing, in memory and from the block.
    const throttled = {
      key: "pyroscope.ingest.throttled",
      value:
        '{"body":{"periodType":"hour","periodLimitMb":128,"limitResetTime":1795411800,"samplingPeriodSec":3600,"samplingRequests":1,"usageGroup":""}}',
    };
    const points = async (tenant: string): Promise<unknown> =>
      (
        (
          await server.json(
            "/querier.v1.QuerierService/SelectSeries",
            {
              profileTypeID: CPU,
              labelSelector: "{}",
              start: String(now - 60_000),
              end: String(now + 60_000),
              step: 120,
            },
            { "x-scope-orgid": tenant },
          )
        ).body as { series: { points: unknown[] }[] }
      ).series.flatMap((x) => x.points);
    for (const flushed of [false, true]) {
      if (flushed) await server.flush();
      expect(await points("full")).toEqual([expect.objectContaining({ annotations: [throttled] })]);
      expect(await points("other")).toEqual([
        expect.not.objectContaining({ annotations: expect.anything() }),
      ]);
    }
    reached(false);
    for (let i = 0; (await push("full", 2)).status !== 200; i++) {
      expect(i).toBeLessThan(100);
      await new Promise((r) => {
        setTimeout(r, 100);
      });
    }
    await server.stop();
  });
});
