import { gzipSync } from "node:zlib";
import { Random, tinyPprof } from "@cinderblock/testkit";
import { CPU, Server } from "./server.ts";

/** Fewer kills in `npm test` than in a run of this suite by name and in `npm run test:long`. */
const ROUNDS = process.env.CINDERBLOCK_HERMETIC ? 8 : 20;
const now = Math.floor(Date.now() / 3600_000) * 3600_000 - 1800_000;

/**
 * kill -9 at random moments under load and flushes, with a different number of workers at each restart. Every
 * push has a unique value: afterwards each acknowledged push exists exactly once, and every other push at
 * most once.
 */
describe("a killed server", () => {
  const server = new Server();
  afterAll(() => server.stop("SIGKILL"));

  it(`has every acknowledged profile exactly once after each of ${ROUNDS} kills`, async () => {
    const random = new Random(20261123);
    const acknowledged = new Map<string, number>();
    const sent = new Map<string, number>();
    let n = 0,
      flushes = 0;
    const push = async (): Promise<void> => {
      const id = String(++n),
        value = 1000 + n;
      sent.set(id, value);
      const raw = gzipSync(
        tinyPprof({
          stacks: [{ frames: ["main", `f${n % 50}`, `g${n}`], values: [value] }],
          timeNanos: BigInt(now + (n % 900) * 1000) * 1_000_000n,
        }),
      );
      const labels = [
        { name: "__name__", value: "process_cpu" },
        { name: "service_name", value: `s${n % 4}` },
        { name: "id", value: id },
      ];
      const r = await server.json("/push.v1.PusherService/Push", {
        series: [{ labels, samples: [{ rawProfile: raw.toString("base64") }] }],
      });
      if (r.status === 200) acknowledged.set(id, value);
    };
    for (let round = 0; round < ROUNDS; round++) {
      await server.start(`-ingester.workers=${1 + (round % 3)}`, "-pyroscopedb.log-segment-mb=1");
      let killed = false;
      const load = Array.from({ length: 6 }, async () => {
        while (!killed) {
          try {
            await push();
          } catch {
            break;
          }
        }
      });
      const flusher = (async () => {
        while (!killed) {
          await new Promise((r) => {
            setTimeout(r, 20 + random.below(120));
          });
          try {
            await server.flush();
            flushes++;
          } catch {
            break;
          }
        }
      })();
      await new Promise((r) => {
        setTimeout(r, 60 + random.below(450));
      });
      await server.stop("SIGKILL");
      killed = true;
      await Promise.all([...load, flusher]);
    }
    await server.start();
    const found = await server.sums(["id"], CPU, now - 1000, now + 1_000_000);
    const lost = [...acknowledged].filter(([id, value]) => found.get(id) !== value);
    const doubled = [...found].filter(([id, value]) => value !== sent.get(id));
    process.stdout.write(
      `     ${acknowledged.size} acknowledged of ${sent.size} sent, ${flushes} flushes, ${found.size} found\n`,
    );
    expect(acknowledged.size).toBeGreaterThan(10 * ROUNDS);
    expect(lost).toEqual([]);
    expect(doubled).toEqual([]);
  });
});
