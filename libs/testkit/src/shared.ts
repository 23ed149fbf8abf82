import { partState } from "./parts/table.ts";

/** Folder with buckets and answers that Pyroscope v1 gave; for suites in `describeWith(["shared-testdata"], …)`. */
export function sharedTestdata(): string | undefined {
  const state = partState("shared-testdata");
  return state.here ? state.path : undefined;
}
