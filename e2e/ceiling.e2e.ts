import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Random } from "@cinderblock/testkit";
import { Server } from "./server.ts";

const CEILING = 256 << 20;
const TYPE = "process_cpu:cpu:nanoseconds::";
const now = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;

/** A pprof of about a megabyte: many distinct stacks of long names, so profiles share no symbols. */
function large(id: number): { raw: number; body: Buffer } {
  const random = new Random(id);
  const parts: Buffer[] = [];
  const varint = (v: number): number[] => {
    const out: number[] = [];
    while (v > 127) {
      out.push((v & 127) | 128);
      v = Math.floor(v / 128);
    }
    out.push(v);
    return out;
  };
  const message = (n: number, body: Buffer): void => {
    parts.push(Buffer.from([n * 8 + 2, ...varint(body.length)]), body);
  };
  const functions = 4000;
  message(1, Buffer.from([8, 1, 16, 2]));
  for (let i = 0; i < 3000; i++) {
    const stack = Array.from({ length: 40 }, () => varint(1 + random.below(functions))).flat();
    message(2, Buffer.from([10, ...varint(stack.length), ...stack, 18, 1, 1]));
  }
  for (let i = 1; i <= functions; i++) {
    const line = Buffer.from([8, ...varint(i)]);
    message(4, Buffer.concat([Buffer.from([8, ...varint(i), 34, line.length]), line]));
    message(5, Buffer.from([8, ...varint(i), 16, ...varint(i + 2)]));
  }
  for (const s of ["", "cpu", "nanoseconds"]) message(6, Buffer.from(s));
  for (let i = 0; i < functions; i++)
    message(6, Buffer.from(`package/of/program${id}/function_number_${i}_${random.below(1e9)}`));
  parts.push(Buffer.from([9 * 8, ...bigVarint(BigInt(now + (id % 900) * 1000) * 1_000_000n)]));
  const raw = Buffer.concat(parts);
  return { raw: raw.length, body: gzipSync(raw, { level: 1 }) };
}
function bigVarint(v: bigint): number[] {
  const out: number[] = [];
  while (v > 127n) {
    out.push(Number(v & 127n) | 128);
    v >>= 7n;
  }
  out.push(Number(v));
  return out;
}

describe("a memory ceiling", () => {
  it("holds while the bucket is blocked during pushes of ten times its size: 429s, and no acknowledged profile is lost", async () => {
    const server = new Server();
    mkdirSync(join(server.dir, "bucket"), { recursive: true });
    writeFileSync(join(server.dir, "bucket", "anonymous"), "a file where the tenant's folder would be");
    await server.start(`-memory.limit-bytes=${CEILING}`, "-pyroscopedb.local-budget-bytes=100000000");
    const acknowledged = new Set<string>();
    let pushed = 0,
      refused = 0,
      id = 0;
    const bodies = Array.from({ length: 12 }, (_, i) => large(i));
    const push = async (): Promise<void> => {
      const own = String(++id);
      const { raw, body } = bodies[id % bodies.length]!;
      const r = await fetch(
        `${server.url}/ingest?name=${encodeURIComponent(`ceiling{id=${own}}`)}&format=pprof&from=${now / 1000}`,
        { method: "POST", body },
      );
      pushed += raw;
      if (r.status === 200) acknowledged.add(own);
      else if (r.status === 429) {
        refused++;
        await new Promise((done) => {
          setTimeout(done, 20);
        });
      } else throw new Error(`${r.status} ${await r.text()}`);
    };
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        while (pushed < CEILING * 10) await push();
      }),
    );
    const peak =
      Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.child!.pid}/status`, "utf8"))![1]) * 1024;
    const found = await server.sums(["id"], TYPE, now - 1000, now + 1_000_000);
    process.stdout.write(
      `     pushed ${Math.round(pushed / 1e6)} MB, ${acknowledged.size} acknowledged, ${refused} refused with 429, peak RSS ${Math.round(peak / 1e6)} MB\n`,
    );
    await server.stop("SIGKILL");
    await server.start(`-memory.limit-bytes=${CEILING}`, "-pyroscopedb.local-budget-bytes=100000000");
    const again = await server.sums(["id"], TYPE, now - 1000, now + 1_000_000);
    await server.stop("SIGKILL");
    expect(refused).toBeGreaterThan(0);
    expect([...acknowledged].filter((x) => found.get(x) !== 3000)).toEqual([]);
    expect([...acknowledged].filter((x) => again.get(x) !== 3000)).toEqual([]);
    expect(peak).toBeLessThan(CEILING);
  }, 600_000);
});
