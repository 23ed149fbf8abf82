import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { jest } from "@jest/globals";
import { CinderblockError } from "@cinderblock/errors";
import { Metrics } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import type { Bucket } from "./bucket.ts";
import { withinDeadline } from "./deadline.ts";
import { withMetrics, observeOperations, operationCounters } from "./with-metrics.ts";
import { S3Bucket } from "./s3.ts";

const TIMEOUT_MS = 150;
let server: Server;
let answer: (res: ServerResponse, sent: number) => void;
let bucket: Bucket;

beforeEach(async () => {
  server = createServer((req, res) => {
    let sent = 0;
    req.on("data", (chunk: Buffer) => {
      sent += chunk.length;
    });
    req.on("end", () => answer(res, sent));
    req.on("error", () => res.destroy());
  });
  await new Promise<void>((done) => {
    server.listen(0, "127.0.0.1", done);
  });
  bucket = bucketWithin(TIMEOUT_MS);
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => {
    server.close(done);
  });
});

/** Client of the server, with a time-out in milliseconds. */
function bucketWithin(requestTimeoutMs: number): Bucket {
  return new S3Bucket({
    bucket: "blocks",
    endpoint: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: "",
    accessKeyId: "id",
    secretAccessKey: "secret",
    sessionToken: "",
    insecure: true,
    lookup: "path",
    sseType: "",
    sseKmsKeyId: "",
    sseKmsContext: "",
    maxConnections: 8,
    requestTimeoutMs,
    tls: { skipVerify: false, ca: "" },
    flags: { bucket: "-storage.s3.bucket-name", credentials: "-storage.s3.access-key-id" },
  });
}

/** Kind and message of an error. */
const failure = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "no error",
    (err: unknown) =>
      err instanceof CinderblockError ? `${err.kind}: ${err.message}` : `not ours: ${String(err)}`,
  );
const file = (bytes: number): string => {
  const path = join(temporaryFolder(), "file");
  writeFileSync(path, Buffer.alloc(bytes, 7));
  return path;
};

describe("a bucket operation without a response", () => {
  const operations: [string, () => Promise<unknown>][] = [
    ["attributes", () => bucket.exists("a/b")],
    ["attributes", () => bucket.attributes("a/b")],
    ["get", () => bucket.get("a/b")],
    ["getRange", () => bucket.getRange("a/b", 5, 100)],
    ["put", () => bucket.put("a/b", new Uint8Array(10))],
    ["putIfAbsent", () => bucket.putIfAbsent("a/b", new Uint8Array(10))],
    ["putFile", () => bucket.putFile("a/b", file(10))],
    ["delete", () => bucket.delete("a/b")],
    ["list", () => bucket.list("a/b")],
  ];
  it.each(operations)("%s names itself, the object, the time and the flag", async (operation, work) => {
    answer = () => undefined;
    expect(await failure(work())).toMatch(
      new RegExp(
        `^unavailable: bucket blocks at 127\\.0\\.0\\.1:\\d+: ${operation} of "a/b" made no progress for 3\\d\\d ms and was canceled; -storage\\.s3\\.request-timeout is 150 ms$`,
      ),
    );
  });

  it("counts as a timeout", async () => {
    const counters = operationCounters(),
      metrics = new Metrics();
    observeOperations(counters, "blocks", metrics);
    answer = () => undefined;
    await failure(withMetrics(bucket, counters).exists("a/b"));
    expect(await metrics.registry.metrics()).toContain(
      'cinderblock_objstore_operation_timeouts_total{operation="exists"} 1',
    );
  });

  it("is retried within its deadline", async () => {
    let asked = 0;
    answer = (res) => {
      if (++asked > 1) res.writeHead(200).end("whole");
    };
    expect(Buffer.from(await bucket.get("a/b")).toString()).toBe("whole");
  });
});

describe("a body that stalls", () => {
  it.each([
    ["get", () => bucket.get("a/b")],
    ["getRange", () => bucket.getRange("a/b", 0, 1000)],
  ] as [string, () => Promise<unknown>][])("ends %s", async (_, work) => {
    answer = (res) => {
      res.writeHead(206, { "content-length": "1000" });
      res.write(Buffer.alloc(500));
    };
    expect(await failure(work())).toMatch(/^unavailable: bucket blocks at .*(timed out|made no progress)/);
  });

  it("continues while it progresses", async () => {
    const chunk = Buffer.alloc(64 << 10, 3),
      chunks = 25,
      timeoutMs = 1000; // a busy machine may stop this process for longer than TIMEOUT_MS
    answer = (res) => {
      res.writeHead(200, { "content-length": String(chunks * chunk.length) });
      let left = chunks;
      const timer = setInterval(() => {
        res.write(chunk);
        if (--left === 0) clearInterval(timer);
      }, timeoutMs / 10);
    };
    expect(await bucketWithin(timeoutMs).get("a/b")).toHaveLength(chunks * chunk.length);
  });
});

describe("a deadline", () => {
  const timeout = { ms: 100, flag: "-storage.timeout" };
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it("ends an operation whose client ignores the signal, and ignores its late failure", async () => {
    let fail: (err: Error) => void = () => undefined;
    const work = failure(
      withinDeadline(
        { operation: "get", name: "x" },
        timeout,
        "bucket b",
        () => new Promise((_, reject) => (fail = reject)),
      ),
    );
    jest.advanceTimersByTime(200);
    expect(await work).toBe(
      'unavailable: bucket b: get of "x" made no progress for 200 ms and was canceled; -storage.timeout is 100 ms',
    );
    fail(new Error("late"));
    await Promise.resolve();
  });

  it("grows with the body size, and a trickle does not extend it", async () => {
    const work = failure(
      withinDeadline({ operation: "put", name: "x", bytes: 1 << 20 }, timeout, "bucket b", (deadline) => {
        setInterval(() => deadline.recordBytes(1), 100);
        return new Promise(() => undefined);
      }),
    );
    jest.advanceTimersByTime(2199);
    expect(await Promise.race([work, Promise.resolve("waits")])).toBe("waits");
    jest.advanceTimersByTime(1);
    expect(await work).toMatch(/^unavailable: .*for 2200 ms/);
  });
});
