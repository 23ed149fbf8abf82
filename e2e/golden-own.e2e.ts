import { cpSync } from "node:fs";
import { CPU, folder, Server } from "./server.ts";

const START = 1_795_132_800_000,
  PROFILES = 30;
const HEAP = "memory:alloc_space:bytes:space:bytes";

/**
 * Pushes of each service by testdata/README.md: profile k has 1,000,000 (k + 1) + 500,007 ns of CPU and
 * 1000 (k + 1) allocated bytes.
 */
const cpuOfService = Array.from({ length: PROFILES }, (_, k) => 1_000_000 * (k + 1) + 500_007).reduce(
  (a, b) => a + b,
);
/** Cumulative: the first profile of a series is only its baseline. */
const heapOfService = 1000 * (PROFILES - 1);

describe("data of an earlier release", () => {
  it("is read completely from its log and its block, cumulative profiles included", async () => {
    const server = new Server(folder());
    cpSync("testdata/cinderblock/0.1.0/db", `${server.dir}/db`, { recursive: true });
    cpSync("testdata/cinderblock/0.1.0/bucket", `${server.dir}/bucket`, { recursive: true });
    await server.start("-ingester.workers=2");
    const services = ["cart", "login", "mail", "search"];
    const sums = (type: string): Promise<Map<string, number>> =>
      server.sums(["service_name"], type, START - 60_000, START + 3600_000);
    const all = (value: number): [string, number][] => services.map((s) => [s, value]);
    expect([...(await sums(CPU))].sort()).toEqual(all(cpuOfService));
    expect([...(await sums(HEAP))].sort()).toEqual(all(heapOfService));
    // This release cuts the heads of the old log into blocks.
    await server.flush();
    expect([...(await sums(CPU))].sort()).toEqual(all(cpuOfService));
    expect([...(await sums(HEAP))].sort()).toEqual(all(heapOfService));
    await server.stop();
  });
});
