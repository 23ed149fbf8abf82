import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { QueryPool } from "@cinderblock/query-worker";
import { createLogger, Metrics, startTracing } from "@cinderblock/telemetry";
import { temporaryFolder } from "@cinderblock/testkit";
import { Ingester, type IngesterConfig } from "./ingester.ts";

/** An ingester that has not replayed its log yet. */
function beginning(dataPath: string): Ingester {
  const base = {
    log: createLogger({ level: "fatal", format: "json" }),
    metrics: new Metrics(),
    tracer: startTracing("", "0"),
    now: () => Date.now(),
  };
  return new Ingester(
    new URL("file:///none"),
    { dataPath } as IngesterConfig,
    undefined as unknown as QueryPool,
    base,
    () => undefined,
  );
}

describe("a starting ingester", () => {
  it("knows that it has no data when its disk is empty, so that answers are complete without it", async () => {
    expect(await beginning(join(temporaryFolder(), "not-there-yet")).blocks("t", 0, 1)).toEqual([]);
    expect(await beginning(temporaryFolder()).blocks("t", 0, 1)).toEqual([]);
  });

  it("does not know its data before its log is read, or while its disk has blocks", async () => {
    const logged = temporaryFolder(),
      log = join(logged, ".cinderblock", "log", "shard-0");
    mkdirSync(log, { recursive: true });
    writeFileSync(join(log, "00000001.log"), "");
    await expect(beginning(logged).blocks("t", 0, 1)).rejects.toThrow("the ingester is starting");
    const cut = temporaryFolder();
    mkdirSync(join(cut, "t", "local"), { recursive: true });
    await expect(beginning(cut).blocks("t", 0, 1)).rejects.toThrow("the ingester is starting");
  });
});
