import { invalidError } from "@cinderblock/errors";
import { parseSelector, PatternBudget, textFilter } from "@cinderblock/model";
import { type LabelRequest, selectorOf, type SourceQuery, type StackFilter } from "@cinderblock/query";
import type { Limits } from "@cinderblock/tenant";

/** Maximum entries of any other list in a query: spans, traces, profiles, functions, label names. */
const MAX_LIST = 10_000;

/** Limits of one tenant that bound the text of a query. */
export type QueryLimits = Pick<
  Limits,
  "maxRegexInstructions" | "maxSelectorLength" | "maxMatchers" | "maxTenantsPerQuery"
>;

/**
 * Checks the text of one query against the strictest limits of its tenants, before it costs memory or CPU
 * (docs/correctness.md, "Every input has a budget").
 */
export class QueryBounds {
  /** budget of selectors and filters; a text may count more than once */
  readonly patterns: PatternBudget;
  private readonly maxMatchers: number;

  /** @param limits limits of each tenant of the query @throws `invalid` for too many tenants */
  constructor(limits: readonly QueryLimits[]) {
    const least = (of: (l: QueryLimits) => number): number =>
      limits.reduce((n, l) => Math.min(n, of(l) === 0 ? Infinity : of(l)), Infinity);
    const maxTenants = least((l) => l.maxTenantsPerQuery);
    if (limits.length > maxTenants)
      throw invalidError(
        `the query names ${limits.length} tenants; the limit is ${maxTenants} (-querier.max-tenants-per-query)`,
      );
    this.maxMatchers = least((l) => l.maxMatchers);
    this.patterns = new PatternBudget({
      characters: least((l) => l.maxSelectorLength),
      matchers: this.maxMatchers,
      instructions: least((l) => l.maxRegexInstructions),
    });
  }

  checkSelection(select: { profileTypeId: string; labelSelector: string }): void {
    selectorOf(select, this.patterns);
  }

  checkQuery(query: SourceQuery): void {
    const { select } = query;
    this.checkSelection(select);
    list("profile IDs", select.profileIds);
    if ("spans" in query) {
      list("span IDs", query.spans);
      list("trace IDs", query.traces);
    }
    if (query.kind === "profile") list("functions of the call site", query.stacks?.callSite);
    if (query.kind === "profile-points" && query.stacks) this.checkStackFilter(query.stacks);
    if (query.kind !== "series") return;
    this.checkGroupBy(query.range.groupBy);
    list("functions of the call site", query.callSite);
    if (query.stacks) this.checkStackFilter(query.stacks);
  }

  checkGroupBy(labels: readonly string[]): void {
    if (labels.length > this.maxMatchers)
      throw invalidError(
        `the query groups by ${labels.length} labels; the limit is ${this.maxMatchers} (-querier.max-matchers)`,
      );
  }

  checkLabelRequest(ask: LabelRequest): void {
    list("matchers", ask.query.matchers);
    for (const m of ask.query.matchers) parseSelector(m, this.patterns);
    if (ask.kind === "series") list("label names", ask.names);
  }

  checkStackFilter(f: StackFilter): void {
    list("functions of the call site", f.callSite);
    for (const [name, entries] of [
      ["stacks.only", f.only],
      ["stacks.without", f.without],
      ["stacks.hide", f.hide],
    ] as const) {
      if (entries.length > this.maxMatchers)
        throw invalidError(
          `${name} has ${entries.length} entries; the limit is ${this.maxMatchers} (-querier.max-matchers)`,
        );
      for (const e of entries) this.checkNameFilter(e);
    }
  }

  /** Checks a filter of names: a part of a name, or a regular expression. */
  checkNameFilter(filter: string): void {
    textFilter(filter, this.patterns);
  }

  checkTablePage(page: { filter: string; only: readonly string[] }): void {
    this.checkNameFilter(page.filter);
    list("function names", page.only);
  }
}

function list(what: string, entries: readonly unknown[] | undefined): void {
  if ((entries?.length ?? 0) > MAX_LIST)
    throw invalidError(`the query has ${entries!.length} ${what}; the limit is ${MAX_LIST}`);
}
