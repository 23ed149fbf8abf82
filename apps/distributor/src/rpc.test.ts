import { request } from "node:http";
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { SentPush } from "@cinderblock/ingest";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { ApiServer, BodyBudget } from "@cinderblock/rpc";
import { testServer } from "@cinderblock/rpc/testing";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import type { Distributor } from "./distributor.ts";
import { distributorRoutes } from "./rpc.ts";

const LIMIT = 1 << 20;
const lines: Record<string, unknown>[] = [];
const base = {
  log: createLogger({ level: "warn", format: "json" }, (l) =>
    lines.push(JSON.parse(l) as Record<string, unknown>),
  ),
  metrics: new Metrics(),
  tracer: startTracing("", "0"),
  now: () => 1_795_409_460_000,
};

describe("pushes over HTTP", () => {
  const pushed: SentPush[] = [],
    bodies = new BodyBudget(1 << 24);
  let server: ApiServer;
  /** error of every push */
  let refusal: CinderblockError | undefined;
  beforeAll(async () => {
    const distributor = {
      bodyLimit: () => LIMIT,
      admit: () => undefined,
      push: (_tenant: string, service: string, push: SentPush) => {
        if (service === "wrong") return Promise.reject(invalidError("wrong labels", "invalid_labels"));
        if (refusal) return Promise.reject(refusal);
        pushed.push(push);
        return Promise.resolve();
      },
    } as unknown as Distributor;
    server = new ApiServer(
      testServer({
        maxHeaderBytes: 1 << 20,
        bodies,
        internalBodies: { budget: bodies, limitBytes: LIMIT },
      }),
      [distributorRoutes(distributor, bodies, false, base.now)],
      base,
    );
    await server.start();
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    pushed.length = 0;
    refusal = undefined;
  });

  /** Status and text of a POST; headers go out as given. */
  function post(path: string, body: Uint8Array, headers: Record<string, string>): Promise<[number, string]> {
    return new Promise((done, fail) => {
      const req = request(
        {
          host: "127.0.0.1",
          port: server.port,
          method: "POST",
          path,
          headers: { "x-scope-orgid": "shop", ...headers },
          agent: false,
        },
        (res) => {
          let text = "";
          res.setEncoding("utf8").on("data", (c: string) => {
            text += c;
          });
          res.on("end", () => done([res.statusCode!, text]));
        },
      );
      req.on("error", fail);
      req.end(body);
    });
  }
  const text = Buffer.from("a;b 3\n"),
    octets = { "content-type": "application/octet-stream" };
  it("answers wrong labels with v1's status for each format", async () => {
    const status = async (query: string, headers = octets): Promise<number> =>
      (await post(`/ingest?name=wrong${query}`, text, headers))[0];
    for (const format of ["", "&format=groups", "&format=lines", "&format=trie", "&format=tree"])
      expect([format, await status(format)]).toEqual([format, 400]);
    for (const format of ["pprof", "jfr", "speedscope"])
      expect([format, await status(`&format=${format}`)]).toEqual([format, 422]);
    expect(await status("", { "content-type": "multipart/form-data; boundary=B" })).toBe(422);
  });
  const ingested = (): string[] => pushed.map((p) => Buffer.from(p.body).toString());

  it.each<[string, (b: Buffer) => Uint8Array]>([
    ["gzip", gzipSync],
    ["GZIP", gzipSync],
    ["x-gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["identity", (b) => b],
    ["identity, gzip", gzipSync],
    ["gzip", (b) => b],
  ])("of the content coding %s are decoded", async (coding, encode) => {
    for (const format of ["", "&format=lines", "&format=trie", "&format=speedscope", "&format=pprof"])
      expect(
        await post(`/ingest?name=x${format}`, encode(text), { ...octets, "content-encoding": coding }),
      ).toEqual([200, ""]);
    expect(ingested()).toEqual(new Array(5).fill("a;b 3\n"));
    expect(bodies.heldBytes).toBe(0);
  });

  it.each(["compress", "gzip, br", "constructor"])("of the content coding %s are refused", async (coding) => {
    for (const path of ["/ingest?name=x", "/v1development/profiles"]) {
      const [status, answer] = await post(path, text, {
        "content-type": "application/json",
        "content-encoding": coding,
      });
      expect([status, answer]).toEqual([415, expect.stringContaining("send one of gzip, deflate, br, zstd")]);
    }
    expect(
      (
        await post("/push.v1.PusherService/Push", text, {
          "content-type": "application/json",
          "content-encoding": coding,
        })
      )[0],
    ).toBe(501);
    expect(pushed).toEqual([]);
  });

  it("are refused that are not of their coding, or too large without it", async () => {
    const headers = { ...octets, "content-encoding": "gzip" };
    const [status, answer] = await post("/ingest?name=x", gzipSync(text).subarray(0, 15), headers);
    expect([status, answer]).toEqual([400, expect.stringContaining("not of its content coding gzip")]);
    expect(await post("/ingest?name=x", gzipSync(Buffer.alloc(LIMIT + 1)), headers)).toEqual([
      413,
      expect.stringContaining(`more than ${LIMIT} bytes`),
    ]);
    expect(bodies.heldBytes).toBe(0);
  });

  it.each([
    ["application/json; charset=utf-8", "json"],
    ["Application/JSON", "json"],
    ["application/x-protobuf;v=1", "proto"],
    ['application/X-Protobuf; messageType="x"', "proto"],
    ["application/protobuf", "proto"],
  ])("of the media type %s are OTLP in %s", async (type, codec) => {
    for (const coding of ["identity", "Gzip"])
      expect(
        (
          await post("/v1development/profiles", text, { "content-type": type, "content-encoding": coding })
        )[0],
      ).toBe(200);
    expect(pushed).toEqual([
      { kind: "otlp", codec, gzip: false, body: text },
      { kind: "otlp", codec, gzip: true, body: text },
    ]);
  });

  it.each(["", "foo", "text/", "a/b/c", "application/json, text/plain"])(
    "of the malformed media type %j are read by /ingest and refused by the others",
    async (type) => {
      expect(await post("/ingest?name=x", text, { "content-type": type })).toEqual([200, ""]);
      expect(ingested()).toEqual(["a;b 3\n"]);
      for (const path of ["/push.v1.PusherService/Push", "/v1development/profiles"])
        expect((await post(path, text, { "content-type": type }))[0]).toBe(415);
      expect(pushed).toHaveLength(1);
    },
  );

  it("of a form keep the boundary's case, whatever the media type's", async () => {
    await post("/ingest?name=x", text, { "content-type": 'Multipart/Form-Data; boundary="aBc"' });
    expect(pushed).toMatchObject([{ request: { format: "multipart", boundary: "aBc" } }]);
  });

  it("go below a prefix as reads do, with long headers and names of JavaScript's own", async () => {
    const json = { "content-type": "application/json; charset=utf-8", cookie: `a=${"c".repeat(900_000)}` };
    for (const path of [
      "/push.v1.PusherService/Push",
      "/v1development/profiles",
      "/ingest?name=x",
      "/pyroscope/ingest?name=x",
    ])
      expect([path, (await post(`/profiles${path}`, text, json))[0]]).toEqual([path, 200]);
    expect(pushed).toHaveLength(4);
    for (const time of ["now-1constructor", "now-1__proto__h"])
      expect((await post(`/ingest?name=x&from=${time}`, text, octets))[0]).toBe(200);
  });

  it("take the first of a repeated parameter, and a rate that v1 takes", async () => {
    const sent = async (query: string): Promise<unknown> => {
      pushed.length = 0;
      const answer = await post(`/ingest?${query}`, text, octets);
      expect([query, ...answer]).toEqual([query, 200, ""]);
      return (pushed[0] as { request: unknown }).request;
    };
    expect(
      await sent(
        "name=x&name=y&format=lines&format=trie&sampleRate=5&sampleRate=6&spyName=a&spyName=b&from=0&from=1",
      ),
    ).toMatchObject({ app: "x", format: "lines", sampleRate: 5, spyName: "a", fromNanos: 0n });
    for (const [rate, want] of [
      ["", 100],
      ["1e3", 100],
      ["100.5", 100],
      ["-1", 100],
      ["0", 0],
      ["+97", 97],
      ["1000000000", 1e9],
    ] as const)
      expect(await sent(`name=x&sampleRate=${encodeURIComponent(rate)}`)).toMatchObject({ sampleRate: want });
    expect(await post("/ingest?name=x&sampleRate=1000000001", text, octets)).toEqual([
      400,
      expect.stringContaining("the limit is 1000000000"),
    ]);
  });

  it("name a time that no profile can have", async () => {
    for (const name of ["from", "until"]) {
      const [status, answer] = await post(`/ingest?name=x&${name}=99999999999999`, text, octets);
      expect([status, answer]).toEqual([400, expect.stringContaining("is too far from 1970")]);
    }
    expect(pushed).toEqual([]);
  });

  /** A refused push of each route and format: path, body, headers; text of an error that comes before the push. */
  const REFUSED: readonly [string, Uint8Array, Record<string, string>, string?][] = [
    ["/push.v1.PusherService/Push", Buffer.of(10, 0), { "content-type": "application/proto" }],
    ["/push.v1.PusherService/Push", Buffer.from("{}"), { "content-type": "application/json" }],
    ["/v1development/profiles", Buffer.from("{}"), { "content-type": "application/json" }],
    [
      "/v1development/profiles",
      gzipSync("{}"),
      { "content-type": "application/json", "content-encoding": "gzip" },
    ],
    [
      "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
      Buffer.of(0, 0, 0, 0, 0),
      { "content-type": "application/grpc-web+proto" },
    ],
    ["/ingest?name=x", text, octets],
    ["/ingest?name=x&format=pprof", text, octets],
    ["/pyroscope/ingest?name=x", text, octets],
    ["/ingest?name=x", text, { ...octets, "content-encoding": "compress" }, 'content encoding "compress"'],
    [
      "/ingest?name=x",
      Buffer.of(31, 139, 8, 0, 1),
      { ...octets, "content-encoding": "gzip" },
      "content coding gzip",
    ],
    ["/v1development/profiles", text, { "content-type": "text/html" }, 'content type "text/html"'],
    ["/push.v1.PusherService/Push", text, { "content-type": "text/html" }, 'content type "text/html"'],
    ["/ingest?name=x", Buffer.alloc(LIMIT + 1), octets, "the limit is 1048576"],
    ["/ingest?name=x&from=99999999999999", text, octets, "the limit is 9223372036854"],
  ];
  it.each(REFUSED.map((r, i) => [r[0], i] as const))(
    "have one line in the log when refused: %s (%i)",
    async (path, i) => {
      const [, body, headers, error] = REFUSED[i]!;
      // A new server: lines of one kind are limited by rate.
      await server.stop();
      await server.start();
      lines.length = 0;
      refusal = new CinderblockError("limit", "too much; the limit is 7", {
        reason: "rate_limited",
        detail: { limit: 7 },
      });
      await post(path, body, headers);
      await server.stop();
      expect(lines).toEqual([
        expect.objectContaining({
          level: 40,
          msg: "request refused",
          tenant: "shop",
          route: path.split("?")[0],
          error: expect.stringContaining(error ?? "too much; the limit is 7") as string,
          ...(error === undefined ? { reason: "rate_limited", limit: 7 } : {}),
        }),
      ]);
      await server.start();
    },
  );
});
