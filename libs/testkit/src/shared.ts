import { partState } from "./parts/table.ts";

/**
 * Folder with recorded buckets and answers of Pyroscope v1; for suites in `describeWith(["shared-testdata"],
 * …)`.
 */
export function sharedTestdata(): string | undefined {
  const state = partState("shared-testdata");
  return state.here ? state.path : undefined;
}
