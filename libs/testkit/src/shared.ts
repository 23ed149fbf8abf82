import { existsSync } from "node:fs";
import { resolve } from "node:path";

/**
 * The folder of test data that lies beside a checkout of the team; a user's clone has none. In CI its absence is a failure,
 * elsewhere the tests that need it say so and are left out.
 */
export function sharedTestdata(): string | undefined {
  const path = resolve(process.cwd(), "../shared/testdata");
  if (existsSync(path)) return path;
  if (process.env.CI === "true") throw new Error(`${path} is missing, and CI needs it`);
  process.stderr.write(
    "NOTE: the shared test data is not here; tests on buckets that Pyroscope v1 wrote are left out\n",
  );
  return undefined;
}
