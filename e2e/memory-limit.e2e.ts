import { readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { tinyPprof } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";
import { settle } from "./wait.ts";

/**
 * Inputs that once made memory grow without bound, one after the other against one process: memory peaks at
 * most a quarter above the limit, returns below it, and pushes of another tenant are answered meanwhile.
 */
const MIB = 1 << 20,
  LIMIT = 512 * MIB,
  PEAK = 1.25 * LIMIT,
  /** Seconds after the load by which memory is below the limit. */
  CALM_S = 30,
  /** Bound of one push of another tenant. */
  SLOWEST_MS = 5000;

const server = new Server();
const agent = new Agent({ keepAlive: true });
beforeAll(async () => {
  await server.start("-auth.multitenancy-enabled=true", `-memory.limit-bytes=${LIMIT}`);
  // The first push loads code; it is no measure.
  expect((await push(pushOf(now), "bystander")).status).toBe(200);
}, 60_000);
afterAll(async () => {
  agent.destroy();
  await server.stop("SIGKILL"); // thousands of tenants' heads would become blocks
});

/** Times of all profiles are after this one, and past. */
const now = Date.now() - 3600_000;
const profile = (at: number): Buffer =>
  gzipSync(tinyPprof({ stacks: [{ frames: ["main"], values: [1] }], timeNanos: BigInt(at) * 1_000_000n }));

const varint = (v: number): number[] => (v < 128 ? [v] : [(v % 128) | 128, ...varint(Math.floor(v / 128))]);
const field = (n: number, bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([...varint(n * 8 + 2), ...varint(bytes.length)]), bytes]);
const label = (name: string, value: string): Buffer =>
  field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))]));
/** A push of one profile, in protobuf. */
const pushOf = (at: number, labels: Record<string, string> = {}): Buffer =>
  field(
    1,
    Buffer.concat([
      label("__name__", "process_cpu"),
      label("service_name", "shop"),
      ...Object.entries(labels).map(([name, value]) => label(name, value)),
      field(2, field(1, profile(at))),
    ]),
  );

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly ms: number;
}

/** One request over a kept connection; a connection that the server closes is status 0. */
function post(path: string, body: string | Buffer, type: string, tenant: string): Promise<Answer> {
  const from = performance.now(),
    headers = {
      "content-type": type,
      "content-length": Buffer.byteLength(body),
      "x-scope-orgid": tenant,
    };
  return new Promise((done) => {
    const answer = (status: number, text: string): void => {
      done({ status, text, ms: performance.now() - from });
    };
    const sent = request(`${server.url}${path}`, { method: "POST", agent, headers }, (r) => {
      const parts: Buffer[] = [];
      r.on("data", (b: Buffer) => parts.push(b));
      r.on("end", () => {
        answer(r.statusCode!, Buffer.concat(parts).toString());
      });
      r.on("error", (err) => {
        answer(0, err.message);
      });
    });
    sent.on("error", (err) => {
      answer(0, err.message);
    });
    sent.end(body);
  });
}
const push = (body: Buffer, tenant: string): Promise<Answer> =>
  post("/push.v1.PusherService/Push", body, "application/proto", tenant);
const query = (method: string, body: unknown, tenant: string): Promise<Answer> =>
  post(`/querier.v1.QuerierService/${method}`, JSON.stringify(body), "application/json", tenant);

/** A field of the process's status, in bytes. */
const memory = (name: "VmHWM" | "VmRSS"): number =>
  Number(
    new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${server.child!.pid}/status`, "utf8"))![1],
  ) * 1024;
const mib = (bytes: number): number => Math.round(bytes / MIB);

/** Runs `count` tasks, one at a time in each lane. */
async function inLanes(
  lanes: number,
  count: number,
  task: (i: number, lane: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (next < count) await task(next++, lane);
    }),
  );
}

/** Pushes of another tenant, one after the other, until they are stopped. */
class Bystander {
  readonly answers: Answer[] = [];
  private stopped = false;
  private readonly loop: Promise<void>;
  constructor(start: number) {
    this.loop = this.run(start);
  }
  private async run(start: number): Promise<void> {
    for (let at = start; !this.stopped; at++) {
      this.answers.push(await push(pushOf(at), "bystander"));
      await settle(100);
    }
  }
  async stop(): Promise<Answer[]> {
    this.stopped = true;
    await this.loop;
    return this.answers;
  }
}

let times = now;
/** Runs a load; checks the peak, the memory after it, and the pushes of another tenant during both. */
async function survives(name: string, load: () => Promise<string>): Promise<void> {
  writeFileSync(`/proc/${server.child!.pid}/clear_refs`, "5"); // resets the peak
  const bystander = new Bystander((times += 100_000));
  const told = await load(),
    peak = memory("VmHWM");
  await settle(CALM_S * 1000);
  const after = memory("VmRSS"),
    answers = await bystander.stop(),
    slowest = Math.max(...answers.map((a) => a.ms)),
    refused = answers.filter((a) => a.status !== 200);
  process.stdout.write(
    `     ${name}: ${told}; peak RSS ${mib(peak)} MiB, ${mib(after)} MiB ${CALM_S} s later; ${answers.length} other pushes, ${refused.length} refused, the slowest ${Math.round(slowest)} ms\n`,
  );
  expect(server.child!.exitCode).toBeNull();
  expect(mib(peak)).toBeLessThanOrEqual(mib(PEAK));
  expect(mib(after)).toBeLessThan(mib(LIMIT));
  expect(slowest).toBeLessThanOrEqual(SLOWEST_MS);
  // A push that is refused while memory is short may be sent again later.
  expect(refused.filter((a) => a.status !== 429)).toEqual([]);
  expect(answers.at(-1)!.status).toBe(200);
}

/** Opens a connection and sends bytes; errors of a closed connection are the expected end. */
function open(bytes: string | Buffer): Promise<Socket> {
  return new Promise((done) => {
    const socket = connect(server.port, "127.0.0.1", () => {
      socket.write(bytes);
      done(socket);
    });
    socket.on("error", () => {
      done(socket);
    });
    socket.resume();
  });
}

/** Sends `bytes` in pieces as fast as the server reads them, until `deadline`. */
async function feed(socket: Socket, piece: Buffer, bytes: number, deadline: number): Promise<number> {
  let sent = 0;
  while (sent < bytes && !socket.destroyed && Date.now() < deadline) {
    sent += piece.length;
    if (socket.write(piece)) continue;
    await new Promise<void>((go) => {
      const timer = setTimeout(go, Math.max(0, deadline - Date.now()));
      for (const event of ["drain", "close"])
        socket.once(event, () => {
          clearTimeout(timer);
          go();
        });
    });
  }
  return sent;
}

const counted = (answers: readonly Answer[]): string => {
  const by = new Map<string, number>();
  for (const { status, text } of answers) {
    const name = status === 0 ? text : String(status);
    by.set(name, (by.get(name) ?? 0) + 1);
  }
  return [...by].map(([name, n]) => `${n} × ${name}`).join(", ");
};

describe("with a memory limit of 512 MiB, the server survives", () => {
  it("60 refused pushes with labels of 8 MB", async () => {
    const value = "number00" + "a".repeat(8 * MIB),
      json = {
        series: [
          {
            labels: [
              { name: "__name__", value: "process_cpu" },
              { name: "id", value },
            ],
            samples: [{ rawProfile: profile(now).toString("base64") }],
          },
        ],
      };
    // A body for each lane, made before: this process measures the other pushes as well.
    const bodies = [0, 1, 2, 3].map((lane) =>
        lane % 2 === 0 ? pushOf(now, { id: value }) : Buffer.from(JSON.stringify(json)),
      ),
      at = bodies.map((body) => body.indexOf("number00") + "number".length);
    await survives("60 pushes with labels of 8 MB", async () => {
      const answers: Answer[] = [];
      await inLanes(4, 60, async (i, lane) => {
        const body = bodies[lane]!;
        body.write(String(i).padStart(2, "0"), at[lane]!); // each push has another value
        answers.push(
          await (lane % 2 === 0
            ? push(body, "hostile")
            : post("/push.v1.PusherService/Push", body, "application/json", "hostile")),
        );
      });
      expect(answers.filter((a) => a.status === 200)).toEqual([]);
      return counted(answers);
    });
  }, 180_000);

  it.each([
    ["with their length", "Content-Length: 62914560", Buffer.alloc(MIB, 97)],
    [
      "in chunks",
      "Transfer-Encoding: chunked",
      Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(MIB, 97), Buffer.from("\r\n")]),
    ],
  ])(
    "25 bodies of 60 MB without their end, %s",
    async (way, header, piece) => {
      await survives(`25 bodies of 60 MB without their end, ${way}`, async () => {
        const head = `POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: hostile\r\nContent-Type: application/proto\r\n${header}\r\n\r\n`,
          sockets = await Promise.all(Array.from({ length: 25 }, () => open(head))),
          deadline = Date.now() + 12_000,
          sent = await Promise.all(sockets.map((s) => feed(s, piece, 59 * piece.length, deadline)));
        await settle(Math.max(0, deadline - Date.now()));
        const open25 = sockets.filter((s) => !s.destroyed).length;
        for (const s of sockets) s.destroy();
        return `${open25} still open after 12 s, ${mib(sent.reduce((a, b) => a + b, 0))} MiB taken`;
      });
    },
    180_000,
  );

  it("3,000 slow connections", async () => {
    const ways: (string | Buffer)[] = [
      "",
      "POST /ing",
      "POST /ingest HTTP/1.1\r\nHost: x\r\n",
      `POST /ingest HTTP/1.1\r\nHost: x\r\nX-Filling: ${"a".repeat(8000)}`,
      "POST /ingest?name=a.cpu HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: hostile\r\nContent-Length: 100000\r\n\r\nabc",
      "POST /push.v1.PusherService/Push HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: hostile\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      Buffer.concat([
        Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
      ]),
    ];
    await survives("3,000 slow connections", async () => {
      const sockets: Socket[] = [];
      await inLanes(50, 3000, async (i) => {
        sockets.push(await open(ways[i % ways.length]!));
      });
      await settle(15_000);
      const left = sockets.filter((s) => !s.destroyed).length;
      for (const s of sockets) s.destroy();
      return `${left} open after 15 s`;
    });
  }, 180_000);

  it("a regular expression of 94 characters over values of 2,000", async () => {
    const dear = `${".{0,1000}".repeat(10)}[xy]`,
      from = now + 1_000_000;
    expect(dear).toHaveLength(94);
    for (let i = 0; i < 80; i++)
      expect((await push(pushOf(from + i, { path: `${i}${"a".repeat(1990)}` }), "hostile")).status).toBe(200);
    const range = { start: String(from - 1), end: String(from + 10_000) },
      matchers = [`{path=~"${dear}"}`];
    await survives("a regular expression of 94 characters", async () =>
      counted(
        await Promise.all([
          query(
            "SelectMergeStacktraces",
            { profileTypeID: CPU, labelSelector: matchers[0], ...range },
            "hostile",
          ),
          query("LabelNames", { matchers, ...range }, "hostile"),
          query("LabelValues", { name: "path", matchers, ...range }, "hostile"),
          query("Series", { matchers, labelNames: ["path"], ...range }, "hostile"),
        ]),
      ),
    );
  }, 180_000);
});

describe("beside 10,000 tenants that pushed one profile each", () => {
  it("takes 18 of a customer's 20 pushes that begin 5 s later", async () => {
    const TENANTS = 10_000,
      PUSHES = 20,
      from = now + 2_000_000,
      small = pushOf(from),
      answers: Answer[] = [];
    writeFileSync(`/proc/${server.child!.pid}/clear_refs`, "5");
    const began = Date.now();
    await inLanes(16, TENANTS, async (i) => {
      answers[i] = await push(small, `tenant-${i}`);
    });
    const seconds = (Date.now() - began) / 1000;
    await settle(5000);
    const customer: Answer[] = [];
    for (let i = 0; i < PUSHES; i++) {
      customer.push(await push(pushOf(from + i), "customer"));
      await settle(1000);
    }
    const taken = customer.filter((a) => a.status === 200).length,
      peak = memory("VmHWM");
    process.stdout.write(
      `     10,000 tenants in ${Math.round(seconds)} s: ${counted(answers)}; the customer's pushes: ${counted(customer)}, the slowest ${Math.round(Math.max(...customer.map((a) => a.ms)))} ms; peak RSS ${mib(peak)} MiB\n`,
    );
    expect(taken).toBeGreaterThanOrEqual(PUSHES * 0.9);
    expect(mib(peak)).toBeLessThanOrEqual(mib(PEAK));
    expect(answers.filter((a) => a.status !== 200 && a.status !== 429)).toEqual([]);
    expect(await found("customer", from)).toBe(taken);
    // A sample of the small tenants: each acknowledged profile is found, and no other.
    for (let i = 0; i < TENANTS; i += TENANTS / 40)
      expect(await found(`tenant-${i}`, from)).toBe(answers[i]!.status === 200 ? 1 : 0);
  }, 600_000);
});

/** Profiles of a tenant that an answer counts. */
async function found(tenant: string, from: number): Promise<number> {
  const { status, text } = await query(
    "SelectMergeStacktraces",
    { profileTypeID: CPU, labelSelector: "{}", start: String(from - 1), end: String(from + 60_000) },
    tenant,
  );
  expect(status).toBe(200);
  return Number((JSON.parse(text) as { flamegraph?: { total?: string } }).flamegraph?.total ?? 0);
}
