import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
/**
 * Bound of a stop with the default of -server.graceful-shutdown-timeout, in seconds; libs/runtime/src/stop.test.ts
 * checks it.
 */
const BOUND_S = 150;

/** Each grace period that a deployment sets, in seconds. */
function gracePeriods(file: string): number[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/(?:terminationGracePeriodSeconds|stop_grace_period): (\d+)/g)].map((m) =>
    Number(m[1]),
  );
}

describe("the grace period of a deployment", () => {
  it.each([
    "charts/cinderblock/values.yaml",
    "charts/cinderblock/values-micro-services.yaml",
    "charts/cinderblock/values-try.yaml",
    "docker-compose.yml",
    "tools/compose/cluster.yml",
  ])("is above the bound of a stop in %s", (file) => {
    const found = gracePeriods(file);
    expect(found.length).toBeGreaterThan(0);
    for (const seconds of found) expect(seconds).toBeGreaterThan(BOUND_S);
  });
});
