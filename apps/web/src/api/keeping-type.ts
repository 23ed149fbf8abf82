import type { Query } from "@tanstack/react-query";

/**
 * Options of a query whose previous answer stays in sight while the next one loads. An answer of another
 * profile type goes, because its values would be shown in the wrong unit.
 */
export function keepAnswersOfType(type: string): {
  meta: { type: string };
  placeholderData: <T>(previous: T | undefined, query: Pick<Query, "meta"> | undefined) => T | undefined;
} {
  return {
    meta: { type },
    placeholderData: (previous, query) => (query?.meta?.type === type ? previous : undefined),
  };
}
