import { invalidError } from "@cinderblock/errors";
import { parseProfileType } from "@cinderblock/model";
import type { PartialResult } from "@cinderblock/query";
import type { ComparisonInput } from "@cinderblock/query-worker";
import { type QueryRunner, sampleIds } from "./query-runner.ts";
import type { ExploreSelection, MergeRequest, RequestContext } from "./request.ts";

/** Queries for call trees, whose partial trees flame graphs, comparisons and exports merge. */
export class CallTrees {
  private readonly runner: QueryRunner;

  constructor(runner: QueryRunner) {
    this.runner = runner;
  }

  /**
   * Partial call trees of a request; none if its range is too old, or if `spansOnly` comes without spans.
   * @param nodes nodes of the merged tree; 0: all
   */
  partialTrees(caller: RequestContext, r: MergeRequest, nodes: number): Promise<PartialResult[]> {
    // Only an unfiltered query of one tenant may truncate trees at the source.
    const whole = caller.tenants.length === 1 && (r.stacks?.callSite.length ?? 0) === 0;
    return this.runner.select(caller, r, (select) =>
      r.spansOnly && r.spans.length === 0
        ? undefined
        : { kind: "tree", select, ...sampleIds(r), maxNodes: whole ? nodes : 0 },
    );
  }

  /** Complete trees of one selection or two: nothing is truncated before the filter has run. */
  async comparisonSides(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
  ): Promise<ComparisonInput> {
    if (
      base &&
      parseProfileType(left.profileTypeId).storedId !== parseProfileType(base.profileTypeId).storedId
    )
      throw invalidError(
        `profile types must match: ${left.profileTypeId} cannot be compared with ${base.profileTypeId}`,
      );
    const selections = [left, ...(base ? [base] : [])],
      bounds = this.runner.bounds(caller);
    for (const s of selections) bounds.checkStackFilter(s.filter);
    for (const s of selections) this.runner.range(caller, s);
    const [parts, other] = await Promise.all([
      this.complete(caller, left),
      base && this.complete(caller, base),
    ]);
    return { parts, base: other, filter: left.filter, baseFilter: base?.filter ?? left.filter };
  }

  private complete(caller: RequestContext, s: ExploreSelection): Promise<PartialResult[]> {
    return this.partialTrees(caller, { ...s, maxNodes: 0, stacks: undefined }, 0);
  }
}
