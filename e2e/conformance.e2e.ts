import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { FeatureFlagsService, QuerierService, SettingsService, Version } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";

// The public API of Pyroscope v1, route by route: method, content type, status, code and shape. INTENDED
// lists the intended differences, each with the words of its row in docs/differences.md. Any other difference
// fails here.

interface Row {
  name: string;
  method?: string;
  path: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  status: number;
  /** content type of the answer */
  type?: RegExp;
  /** text of the answer */
  text?: RegExp;
  /** code of a Connect error, or of an error of v1's older routes */
  code?: string;
  /** shape of a JSON answer */
  shape?: (body: Record<string, unknown>) => void;
  /** headers of the answer */
  has?: Record<string, RegExp>;
}

const now = Math.floor(Date.now() / 60_000) * 60_000 - 600_000,
  range = { start: String(now - 60_000), end: String(now + 60_000) };
const JSON_BODY = { "content-type": "application/json" },
  TEXT = /^text\/plain/,
  JSON_TYPE = /^application\/json/,
  RFC3339 = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
  HTML = /^text\/html/;
const select = { profileTypeID: CPU, labelSelector: "{}", ...range };
const pprof = gzipSync(
  tinyPprof({
    stacks: [{ frames: ["main", "work"], values: [5], labels: { span_id: "0123456789abcdef" } }],
    timeNanos: BigInt(now) * 1_000_000n,
  }),
);
const labels = [
  { name: "__name__", value: "process_cpu" },
  { name: "service_name", value: "shop" },
  { name: "pod", value: "a" },
];
const rpc = (name: string, body: object, more: Partial<Row> = {}): Row => ({
  name,
  method: "POST",
  path: `/${name.split(" ")[0]!}`,
  headers: JSON_BODY,
  body: JSON.stringify(body),
  status: 200,
  type: JSON_TYPE,
  ...more,
});
const bad = (name: string, body: object, code: string, status = 400): Row =>
  rpc(name, body, { status, code });
const keys =
  (...names: string[]) =>
  (body: Record<string, unknown>): void => {
    expect(Object.keys(body).sort()).toEqual(names.sort());
  };
const render = `query=${encodeURIComponent(`${CPU}{service_name="shop"}`)}&from=${now - 60_000}&until=${now + 60_000}`;
const diffed = ["left", "right"]
  .map(
    (s) => `${s}Query=${encodeURIComponent(`${CPU}{}`)}&${s}From=${now - 60_000}&${s}Until=${now + 60_000}`,
  )
  .join("&");
const Q = "querier.v1.QuerierService",
  SETTINGS = "settings.v1.SettingsService",
  ADHOC = "adhocprofiles.v1.AdHocProfileService";

const ROWS: Row[] = [
  // §1.0, §1.2: pushing
  rpc(
    "push.v1.PusherService/Push",
    { series: [{ labels, samples: [{ rawProfile: pprof.toString("base64") }] }] },
    { shape: keys() },
  ),
  bad("push.v1.PusherService/Push without a profile", {}, "invalid_argument"),
  {
    name: "a method of no service",
    method: "POST",
    path: "/push.v1.PusherService/Pull",
    headers: JSON_BODY,
    body: "{}",
    status: 404,
  },
  { name: "Connect by GET", path: `/${Q}/ProfileTypes`, status: 405 },
  {
    name: "an unknown content type",
    method: "POST",
    path: `/${Q}/ProfileTypes`,
    headers: { "content-type": "text/plain" },
    body: "{}",
    status: 415,
  },
  {
    name: "a body that is no JSON",
    method: "POST",
    path: `/${Q}/ProfileTypes`,
    headers: JSON_BODY,
    body: "{",
    status: 400,
    code: "invalid_argument",
  },
  rpc(`${Q}/ProfileTypes with an unknown field`, { ...range, nonsense: 1 }, { shape: keys("profileTypes") }),
  // §1.3: queries
  rpc(`${Q}/ProfileTypes`, range, {
    shape: (b) => {
      expect(b.profileTypes).toEqual([
        {
          ID: CPU,
          name: "process_cpu",
          sampleType: "cpu",
          sampleUnit: "nanoseconds",
          periodType: "cpu",
          periodUnit: "nanoseconds",
        },
      ]);
    },
  }),
  rpc(
    `${Q}/LabelValues`,
    { name: "pod", ...range },
    {
      shape: (b) => {
        expect(b).toEqual({ names: ["a"] });
      },
    },
  ),
  bad(`${Q}/LabelValues without a name`, range, "invalid_argument"),
  rpc(`${Q}/LabelNames`, range, {
    shape: (b) => {
      expect(b.names).toEqual(expect.arrayContaining(["__profile_type__", "pod", "service_name"]));
    },
  }),
  rpc(
    `${Q}/Series`,
    { labelNames: ["pod"], ...range },
    {
      shape: (b) => {
        expect(b).toEqual({ labelsSet: [{ labels: [{ name: "pod", value: "a" }] }] });
      },
    },
  ),
  rpc(`${Q}/SelectMergeStacktraces`, select, {
    shape: (b) => {
      expect(Object.keys(b.flamegraph as object).sort()).toEqual(["levels", "maxSelf", "names", "total"]);
    },
  }),
  rpc(
    `${Q}/SelectMergeStacktraces as a tree`,
    { ...select, format: "PROFILE_FORMAT_TREE" },
    { shape: keys("tree") },
  ),
  rpc(
    `${Q}/SelectMergeStacktraces as pprof`,
    { ...select, format: "PROFILE_FORMAT_PPROF" },
    {
      shape: (b) => {
        expect(Object.keys(b.pprof as object)).toEqual(["profile"]);
      },
    },
  ),
  rpc(
    `${Q}/SelectMergeStacktraces by the field's own name`,
    { profile_typeID: CPU, label_selector: "{}", ...range, max_nodes: 10 },
    { shape: keys("flamegraph") },
  ),
  rpc(
    `${Q}/SelectMergeSpanProfile`,
    { ...select, spanSelector: ["0123456789abcdef"] },
    {
      shape: (b) => {
        expect((b.flamegraph as { total: string }).total).toBe("5");
      },
    },
  ),
  rpc(`${Q}/SelectMergeProfile`, select, {
    shape: (b) => {
      expect(Object.keys(b)).toEqual(
        expect.arrayContaining([
          "sampleType",
          "sample",
          "stringTable",
          "timeNanos",
          "durationNanos",
          "periodType",
        ]),
      );
    },
  }),
  rpc(
    `${Q}/SelectSeries`,
    { ...select, step: 60 },
    {
      shape: (b) => {
        expect(b.series).toEqual([{ points: [{ timestamp: String(now), value: 5 }] }]);
      },
    },
  ),
  rpc(
    `${Q}/SelectHeatmap`,
    { ...select, step: 60 },
    {
      shape: (b) => {
        expect(b.series).toEqual([{ slots: [{ timestamp: String(now), yMin: [5], counts: [1] }] }]);
      },
    },
  ),
  rpc(
    `${Q}/Diff`,
    { left: select, right: select },
    {
      shape: (b) => {
        expect(Object.keys(b.flamegraph as object).sort()).toEqual([
          "leftTicks",
          "levels",
          "maxSelf",
          "names",
          "rightTicks",
          "total",
        ]);
      },
    },
  ),
  rpc(`${Q}/GetProfileStats`, {}, { shape: keys("dataIngested", "newestProfileTime", "oldestProfileTime") }),
  rpc(
    `${Q}/AnalyzeQuery`,
    { ...range, query: `${CPU}{}` },
    {
      shape: (b) => {
        expect((b.queryScopes as { componentType: string }[]).map((s) => s.componentType)).toEqual([
          "Short term storage",
          "Long term storage",
        ]);
      },
    },
  ),
  rpc(`${Q}/AnalyzeQuery without a range`, {}, { shape: keys() }),
  bad(
    `${Q}/SelectMergeStacktraces without a range`,
    { profileTypeID: CPU, labelSelector: "{}" },
    "invalid_argument",
  ),
  bad(
    `${Q}/SelectMergeStacktraces backwards`,
    { ...select, start: range.end, end: range.start },
    "invalid_argument",
  ),
  bad(`${Q}/SelectMergeStacktraces of no type`, { ...select, profileTypeID: "cpu" }, "invalid_argument"),
  bad(
    `${Q}/SelectMergeStacktraces of a broken selector`,
    { ...select, labelSelector: "{a=" },
    "invalid_argument",
  ),
  bad(
    `${Q}/SelectMergeStacktraces of too many nodes`,
    { ...select, maxNodes: "1048577" },
    "invalid_argument",
  ),
  bad(`${Q}/SelectMergeStacktraces of invalid spans`, { ...select, spanSelector: ["xyz"] }, "unknown", 500),
  bad(`${Q}/SelectSeries without a step`, select, "invalid_argument"),
  // §1.5–1.12: other services
  rpc("ingester.v1.IngesterService/Flush", {}, { shape: keys() }),
  rpc(`${SETTINGS}/Get`, {}, { shape: keys() }),
  rpc(
    `${SETTINGS}/Set`,
    { setting: { name: "theme", value: "dark", modifiedAt: "5" } },
    {
      shape: (b) => {
        expect(b.setting).toEqual({ name: "theme", value: "dark", modifiedAt: "5" });
      },
    },
  ),
  bad(
    `${SETTINGS}/Set of something older`,
    { setting: { name: "theme", value: "light", modifiedAt: "4" } },
    "already_exists",
    409,
  ),
  rpc(`${SETTINGS}/Delete of a missing setting`, { name: "nobody" }, { shape: keys() }),
  bad(`${SETTINGS}/Delete without a name`, {}, "invalid_argument"),
  {
    name: "recording rules where they are not enabled",
    method: "POST",
    path: "/settings.v1.RecordingRulesService/ListRecordingRules",
    headers: JSON_BODY,
    body: "{}",
    status: 404,
  },
  rpc(
    `${ADHOC}/Upload`,
    { name: "p.folded", profile: Buffer.from("a;b 1\n").toString("base64") },
    { shape: keys("flamebearerProfile", "id", "name", "profileType", "profileTypes", "uploadedAt") },
  ),
  rpc(
    `${ADHOC}/List`,
    {},
    {
      shape: (b) => {
        expect((b.profiles as object[]).length).toBe(1);
      },
    },
  ),
  bad(`${ADHOC}/Get of a bad id`, { id: "../x" }, "invalid_argument"),
  bad(`${ADHOC}/Get of nobody`, { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV-x" }, "not_found", 404),
  ...["GithubApp", "GithubLogin", "GithubRefresh", "GetFile", "GetCommit", "GetCommits"].map((m) =>
    bad(`vcs.v1.VCSService/${m} where GitHub is not configured`, {}, "unimplemented", 501),
  ),
  rpc(
    "capabilities.v1.FeatureFlagsService/GetFeatureFlags",
    {},
    {
      shape: (b) => {
        expect((b.featureFlags as { name: string }[]).map((f) => f.name)).toEqual([
          "pyroscopeRuler",
          "pyroscopeRulerFunctions",
          "utf8LabelNames",
          "v2StorageLayer",
        ]);
      },
    },
  ),
  rpc(
    "version.v1.Version/Version",
    {},
    {
      shape: (b) => {
        expect(b).toEqual({ QuerierAPI: "1" });
      },
    },
  ),
  rpc(
    "grpc.health.v1.Health/Check",
    {},
    {
      shape: (b) => {
        expect(b.status).toMatch(/^(SERVING_STATUS_)?SERVING$/);
      },
    },
  ),
  {
    name: "the debug file service, which v1 disables",
    method: "POST",
    path: "/debuginfo.v1alpha1.DebuginfoService/ListDebuginfo",
    headers: JSON_BODY,
    body: "{}",
    status: 404,
  },
  // §2.1: routes
  { name: "GET /ready", path: "/ready", status: 200, type: TEXT, text: /^ready\n?$/ },
  { name: "HEAD /ready", method: "HEAD", path: "/ready", status: 405 },
  { name: "POST /ready", method: "POST", path: "/ready", status: 405, text: /^$/ },
  { name: "GET /metrics", path: "/metrics", status: 200, type: TEXT, text: /^# HELP /m },
  {
    name: "build information",
    path: "/api/v1/status/buildinfo",
    status: 200,
    type: JSON_TYPE,
    shape: (b) => {
      expect(b.status).toBe("success");
      expect(Object.keys(b.data as object)).toEqual(
        expect.arrayContaining(["version", "revision", "branch", "buildUser", "buildDate", "goVersion"]),
      );
    },
  },
  ...["", "/diff", "/default"].map(
    (p): Row => ({
      name: `the configuration${p}`,
      path: `/api/v1/status/config${p}`,
      status: 200,
      type: TEXT,
    }),
  ),
  {
    name: "the API's description",
    path: "/api/swagger.json",
    status: 200,
    type: JSON_TYPE,
    shape: (b) => {
      expect(b.swagger).toBe("2.0");
    },
  },
  {
    name: "the limits of a tenant",
    path: "/api/v1/tenant_limits",
    status: 404,
    shape: (b) => {
      expect(b).toEqual({ code: 5, message: "Not Found", details: [] });
    },
  },
  {
    name: "anything else below /api",
    path: "/api/v2/nothing",
    status: 404,
    shape: (b) => {
      expect(b).toEqual({ code: 5, message: "Not Found", details: [] });
    },
  },
  { name: "limits at run time without a file", path: "/runtime_config", status: 404 },
  { name: "the list of pages", path: "/admin", status: 200, type: HTML },
  ...[
    "/ring",
    "/distributor/ring",
    "/compactor/ring",
    "/store-gateway/ring",
    "/overrides-exporter/ring",
  ].flatMap((path): Row[] => [
    { name: `GET ${path}`, path, headers: { accept: "text/html" }, status: 200, type: HTML },
    {
      name: `${path} as JSON`,
      path,
      headers: { accept: "application/json" },
      status: 200,
      type: JSON_TYPE,
      shape: (b) => {
        expect(b).toMatchObject({
          shards: [
            {
              id: expect.any(String),
              state: "ACTIVE",
              address: expect.any(String),
              timestamp: expect.stringMatching(RFC3339),
              registered_timestamp: expect.stringMatching(RFC3339),
              zone: "",
              tokens: [0],
            },
          ],
          now: expect.stringMatching(RFC3339),
        });
      },
    },
  ]),
  {
    name: "tenants of the store-gateway",
    path: "/store-gateway/tenants",
    headers: { accept: "application/json" },
    status: 200,
    type: JSON_TYPE,
  },
  {
    name: "blocks of a tenant",
    path: "/store-gateway/tenant/anonymous/blocks",
    headers: { accept: "application/json" },
    status: 200,
    type: JSON_TYPE,
  },
  {
    name: "tenants of the bucket",
    path: "/ops/object-store/tenants",
    headers: { accept: "text/html" },
    status: 200,
    type: HTML,
  },
  {
    name: "blocks of the bucket",
    path: "/ops/object-store/tenants/anonymous/blocks",
    headers: { accept: "text/html" },
    status: 200,
    type: HTML,
  },
  { name: "a profile of the process", path: "/debug/pprof/profile?seconds=1", status: 200 },
  { name: "the heap of the process", path: "/debug/pprof/heap", status: 200 },
  { name: "the UI", path: "/", headers: { accept: "text/html" }, status: 200, type: HTML },
  ...["/explore", "/comparison", "/comparison-diff"].map(
    (path): Row => ({
      name: `the UI at ${path}`,
      path,
      headers: { accept: "text/html" },
      status: 200,
      type: HTML,
    }),
  ),
  { name: "an old address of the UI", path: "/ui/anything", status: 302, has: { location: /^\/$/ } },
  ...[
    "/ui",
    "/assets/",
    "/static/",
    "/icons/",
    "/public/",
    "/api",
    "/config",
    "/services",
    "/buildinfo",
    "/flush",
    "/shutdown",
    "/ingester/flush",
    "/ingester/shutdown",
    "/ingester/prepare-shutdown",
    "/compactor/tenants",
    "/healthz",
    "/render",
    "/label-values",
    "/api/apps",
    "/nothing",
  ].map((path): Row => ({ name: `nothing at ${path}`, path, status: 404 })),
  {
    name: "the words of a path that is not there",
    path: "/nothing",
    status: 404,
    type: TEXT,
    text: /^404 page not found/,
  },
  // §2.2: /ingest
  {
    name: "POST /ingest of folded stacks",
    method: "POST",
    path: `/ingest?name=app.cpu&from=${now / 1000}&format=groups`,
    body: "a;b 3\n",
    status: 200,
    text: /^$/,
  },
  {
    name: "the same below /pyroscope",
    method: "POST",
    path: `/pyroscope/ingest?name=app.cpu&from=${now / 1000}`,
    body: "a;b 4\n",
    status: 200,
    text: /^$/,
  },
  {
    name: "POST /ingest of pprof",
    method: "POST",
    path: "/ingest?name=app2&format=pprof",
    body: pprof,
    status: 200,
    text: /^$/,
  },
  {
    name: "POST /ingest of nothing",
    method: "POST",
    path: "/ingest?name=app2&format=pprof",
    body: "",
    status: 200,
  },
  {
    name: "POST /ingest without a name",
    method: "POST",
    path: "/ingest",
    body: "a 1",
    status: 400,
    type: JSON_TYPE,
  },
  {
    name: "POST /ingest of an unknown type",
    method: "POST",
    path: "/ingest?name=my.app",
    body: "a 1",
    status: 400,
    text: /unknown profile type: app/,
  },
  {
    name: "POST /ingest of an invalid pprof",
    method: "POST",
    path: "/ingest?name=app2&format=pprof",
    body: "nonsense",
    status: 422,
  },
  { name: "GET /ingest", path: "/ingest?name=a", status: 405, text: /^$/ },
  // §2.3–2.5: render
  {
    name: "render",
    path: `/pyroscope/render?${render}`,
    status: 200,
    type: JSON_TYPE,
    shape: keys("flamebearer", "groups", "heatmap", "metadata", "timeline", "version"),
  },
  {
    name: "render by groups",
    path: `/pyroscope/render?${render}&groupBy=pod`,
    status: 200,
    type: JSON_TYPE,
    shape: (b) => {
      expect(Object.keys(b.groups as object)).toEqual(["a"]);
    },
  },
  {
    name: "render as DOT",
    path: `/pyroscope/render?${render}&format=dot`,
    status: 200,
    type: TEXT,
    text: /^digraph/,
  },
  {
    name: "render without a query",
    path: "/pyroscope/render",
    status: 400,
    type: JSON_TYPE,
    code: "invalid_argument",
  },
  {
    name: "render without a type",
    path: "/pyroscope/render?query=%7B%7D",
    status: 400,
    type: JSON_TYPE,
    code: "invalid_argument",
  },
  {
    name: "render-diff",
    path: `/pyroscope/render-diff?${diffed}`,
    status: 200,
    type: JSON_TYPE,
    shape: keys(
      "flamebearer",
      "groups",
      "heatmap",
      "leftTicks",
      "metadata",
      "rightTicks",
      "timeline",
      "version",
    ),
  },
  {
    name: "label values",
    path: "/pyroscope/label-values?label=__name__",
    status: 200,
    type: JSON_TYPE,
    text: /^\["process_cpu:cpu/,
  },
  { name: "label values of nothing", path: "/pyroscope/label-values", status: 400, type: JSON_TYPE },
  {
    name: "label values of another label",
    path: "/pyroscope/label-values?label=pod",
    status: 400,
    text: /name is required/,
  },
  { name: "POST to render", method: "POST", path: "/pyroscope/render", status: 405 },
  // §2.6: OTLP
  {
    name: "OTLP of another content type",
    method: "POST",
    path: "/v1development/profiles",
    headers: { "content-type": "text/json" },
    body: "{}",
    status: 415,
    type: TEXT,
  },
  {
    name: "OTLP with parameters of its content type",
    method: "POST",
    path: "/v1development/profiles",
    headers: { "content-type": "application/json; charset=utf-8" },
    body: "{}",
    status: 400,
    type: TEXT,
  },
  {
    name: "OTLP that is no JSON",
    method: "POST",
    path: "/v1development/profiles",
    headers: JSON_BODY,
    body: "{",
    status: 400,
    type: TEXT,
    text: /Failed to parse JSON request/,
  },
  {
    name: "OTLP that is no protobuf",
    method: "POST",
    path: "/v1development/profiles",
    headers: { "content-type": "application/x-protobuf" },
    body: new Uint8Array([255, 255]),
    status: 400,
    type: TEXT,
    text: /protobuf request/,
  },
];

/**
 * Intended differences from v1: [name, path, request, status of the answer, words of docs/differences.md].
 */
const INTENDED: [name: string, path: string, init: RequestInit, status: number, words: string][] = [
  [
    "an Accept that cannot be read",
    "/ready",
    { headers: { accept: "a/b/c" } },
    200,
    "an `Accept` that cannot be read",
  ],
  [
    "OpenMetrics",
    "/metrics",
    { headers: { accept: "application/openmetrics-text; version=1.0.0" } },
    200,
    "OpenMetrics",
  ],
  [
    "a content type with parameters",
    "/v1development/profiles",
    { method: "POST", headers: { "content-type": "application/json; charset=utf-8" }, body: "{}" },
    400,
    "media types",
  ],
  ["the status screen", "/status", { headers: { accept: "text/html" } }, 200, "`/status`"],
  ["memberlist", "/memberlist", {}, 404, "`/memberlist`"],
  ["goroutines", "/debug/pprof/goroutine", {}, 404, "`/debug/pprof/cmdline`"],
];
/**
 * Queries of Grafana's data source and Profiles Drilldown, with the part of the answer that a panel needs.
 */
function panels(transport: Transport): [name: string, run: () => Promise<boolean>][] {
  const q = createClient(QuerierService, transport),
    times = { start: BigInt(range.start), end: BigInt(range.end) },
    one = { profileTypeID: CPU, labelSelector: '{service_name="shop"}', ...times };
  return [
    ["types of profiles", async () => (await q.profileTypes(times)).profileTypes.some((t) => t.ID === CPU)],
    [
      "names of labels",
      async () =>
        (
          await q.labelNames({
            ...times,
            matchers: ['{__profile_type__="process_cpu:cpu:nanoseconds:cpu:nanoseconds"}'],
          })
        ).names.includes("service_name"),
    ],
    [
      "values of a label",
      async () =>
        (await q.labelValues({ ...times, name: "service_name", matchers: ["{}"] })).names.includes("shop"),
    ],
    [
      "services and their types",
      async () =>
        (
          await q.series({ ...times, matchers: [], labelNames: ["service_name", "__profile_type__"] })
        ).labelsSet.some((s) => s.labels.length === 2),
    ],
    ["a time line", async () => (await q.selectSeries({ ...one, step: 15 })).series[0]!.points.length === 1],
    [
      "time lines by a label, the largest few",
      async () =>
        (await q.selectSeries({ ...one, step: 15, groupBy: ["pod"], limit: 1n, aggregation: 0 })).series
          .length === 1,
    ],
    [
      "a time line with exemplars",
      async () =>
        (await q.selectSeries({ ...one, step: 15, exemplarType: 2 })).series[0]!.points[0]!.exemplars
          .length === 1,
    ],
    [
      "a flame graph",
      async () => (await q.selectMergeStacktraces({ ...one, maxNodes: 16384n })).flamegraph!.total === 5n,
    ],
    [
      "a flame graph of a span",
      async () =>
        (await q.selectMergeSpanProfile({ ...one, spanSelector: ["0123456789abcdef"] })).flamegraph!.total ===
        5n,
    ],
    [
      "the profile behind an exemplar",
      async () => {
        const id = (await q.selectSeries({ ...one, step: 15, exemplarType: 2 })).series[0]!.points[0]!
          .exemplars[0]!.profileId;
        return (await q.selectMergeStacktraces({ ...one, profileIdSelector: [id] })).flamegraph!.total === 5n;
      },
    ],
    [
      "a heatmap",
      async () =>
        (await q.selectHeatmap({ ...one, step: 15, queryType: 1, exemplarType: 2 })).series[0]!.slots[0]!
          .exemplars.length === 1,
    ],
    ["two sides", async () => (await q.diff({ left: one, right: one })).flamegraph!.leftTicks === 5n],
    ["pprof", async () => (await q.selectMergeProfile(one)).sample.length === 1],
    ["whether there is anything", async () => (await q.getProfileStats({})).dataIngested],
    [
      "settings",
      async () => Array.isArray((await createClient(SettingsService, transport).get({})).settings),
    ],
    [
      "what the server can",
      async () =>
        (await createClient(FeatureFlagsService, transport).getFeatureFlags({})).featureFlags.length > 0,
    ],
    ["its version", async () => (await createClient(Version, transport).version({})).QuerierAPI === 1n],
  ];
}

describe("the public surface of v1", () => {
  const server = new Server();
  beforeAll(() => server.start("-querier.query-analysis-enabled=true"));
  afterAll(() => server.stop());

  it.each(ROWS.map((r): [string, Row] => [r.name, r]))("%s", async (_name, row) => {
    const r = await fetch(`${server.url}${row.path}`, {
      method: row.method ?? "GET",
      redirect: "manual",
      ...(row.headers ? { headers: row.headers } : {}),
      ...(row.body !== undefined ? { body: row.body as string } : {}),
    });
    const text = await r.text();
    expect([r.status, r.status === row.status ? "" : text.slice(0, 300)]).toEqual([row.status, ""]);
    if (row.type) expect(r.headers.get("content-type")).toMatch(row.type);
    if (row.text) expect(text.slice(0, 200_000)).toMatch(row.text);
    for (const [name, value] of Object.entries(row.has ?? {})) expect(r.headers.get(name)).toMatch(value);
    if (row.code !== undefined) expect((JSON.parse(text) as { code: string }).code).toBe(row.code);
    row.shape?.(JSON.parse(text) as Record<string, unknown>);
  });

  it.each([
    ["1.1", true],
    ["1.1", false],
    ["2", true],
    ["2", false],
  ] as const)("a dashboard's questions over HTTP/%s, binary: %s", async (httpVersion, useBinaryFormat) => {
    const headers: Interceptor = (next) => (r) => {
      for (const [k, v] of [
        ["user-agent", "Grafana/12.0.0"],
        ["x-scope-orgid", "anonymous"],
        ["x-grafana-org-id", "1"],
        ["accept", "*/*; allow-utf8-labelnames=true"],
      ] as const)
        r.header.set(k, v);
      return next(r);
    };
    for (const [name, run] of panels(
      createConnectTransport({ baseUrl: server.url, httpVersion, useBinaryFormat, interceptors: [headers] }),
    ))
      expect([name, await run()]).toEqual([name, true]);
  });

  it.each(INTENDED)(
    "%s: differs on purpose, and the docs say so",
    async (_name, path, init, status, words) => {
      expect((await fetch(`${server.url}${path}`, { redirect: "manual", ...init })).status).toBe(status);
      expect(readFileSync("docs/differences.md", "utf8")).toContain(words);
    },
  );

  it("long answers are compressed on request, short ones are not", async () => {
    const get = async (path: string): Promise<string | null> => {
      const r = await fetch(`${server.url}${path}`, { headers: { "accept-encoding": "gzip" } });
      await r.arrayBuffer();
      return r.headers.get("content-encoding");
    };
    expect([await get("/metrics"), await get("/ready"), await get("/api/v1/status/config")]).toEqual([
      "gzip",
      null,
      "gzip",
    ]);
    const plain = await fetch(`${server.url}/metrics`, {
      headers: { "accept-encoding": "gzip;q=0, identity" },
    });
    expect([plain.headers.get("content-encoding"), (await plain.text()).startsWith("# HELP")]).toEqual([
      null,
      true,
    ]);
  });
});
