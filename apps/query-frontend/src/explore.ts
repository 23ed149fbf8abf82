import { invalidError } from "@cinderblock/errors";
import { mergeProfileLists, type ProfileList, type FunctionTablePage } from "@cinderblock/query";
import type { CallTrees } from "./call-trees.ts";
import { callTreeNodes } from "./limits.ts";
import { type QueryRunner, sampleIds } from "./query-runner.ts";
import type { ExploreSelection, RequestContext } from "./request.ts";

/** The explore API: complete call trees, function tables, and single profiles. */
export class Explore {
  private readonly runner: QueryRunner;
  private readonly trees: CallTrees;

  constructor(runner: QueryRunner, trees: CallTrees) {
    this.runner = runner;
    this.trees = trees;
  }

  /**
   * Answers with an encoded cinderblock.explore.v1.CallTreeResponse.
   * @param nodes 0: the tenant's default; -1: all
   */
  async callTree(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    nodes: number,
  ): Promise<Uint8Array> {
    const maxNodes = callTreeNodes(nodes, this.runner.limits(caller));
    return this.runner.renderBytes(caller, {
      kind: "call-tree",
      ...(await this.trees.comparisonSides(caller, left, base)),
      maxNodes,
    });
  }

  /**
   * Answers with an encoded cinderblock.explore.v1.FunctionTableResponse; its values are exact, whatever the
   * number of nodes.
   */
  async functionTable(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    page: FunctionTablePage,
  ): Promise<Uint8Array> {
    this.runner.bounds(caller).checkTablePage(page);
    return this.runner.renderBytes(caller, {
      kind: "functions",
      ...(await this.trees.comparisonSides(caller, left, base)),
      page,
    });
  }

  /**
   * Answers with an encoded cinderblock.explore.v1.FunctionNeighboursResponse: callers and callees of a
   * function.
   */
  async functionNeighbors(
    caller: RequestContext,
    left: ExploreSelection,
    base: ExploreSelection | undefined,
    name: string,
    nodes: number,
  ): Promise<Uint8Array> {
    if (name === "")
      throw invalidError(
        "function is required: the full name of the function whose callers and callees to return",
      );
    return this.runner.renderBytes(caller, {
      kind: "neighbours",
      ...(await this.trees.comparisonSides(caller, left, base)),
      name,
      maxNodes: callTreeNodes(nodes, this.runner.limits(caller)),
    });
  }

  /** cinderblock.explore.v1.FunctionLinesResponse: a function's source position, the cost of its lines. */
  async functionLines(caller: RequestContext, s: ExploreSelection, name: string): Promise<Uint8Array> {
    if (name === "")
      throw invalidError("function is required: the full name of the function whose lines to return");
    this.runner.bounds(caller).checkStackFilter(s.filter);
    const parts = await this.runner.select(caller, s, (select) => ({
      kind: "profile",
      select,
      ...sampleIds(s),
    }));
    return this.runner.renderBytes(caller, { kind: "function-lines", parts, name, filter: s.filter });
  }

  /** cinderblock.explore.v1.HeatmapResponse: number of profiles by time and value. */
  async heatmap(
    caller: RequestContext,
    s: ExploreSelection,
    columns: number,
    rows: number,
  ): Promise<Uint8Array> {
    const parts = await this.runner.select(caller, allProfiles(s), (select) => ({ kind: "points", select }));
    const { startMs, endMs } = s;
    return this.runner.renderBytes(caller, { kind: "heatmap", parts, startMs, endMs, columns, rows });
  }

  /** Single profiles with a value in (minValue, maxValue], the largest first. */
  async profiles(
    caller: RequestContext,
    s: ExploreSelection,
    minValue: number,
    maxValue: number,
    limit: number,
  ): Promise<ProfileList> {
    const parts = await this.runner.select(caller, allProfiles(s), (select) => ({
      kind: "profiles",
      select,
      minValue,
      maxValue,
      limit,
    }));
    return mergeProfileLists(
      parts.flatMap((p) => (p.kind === "profiles" ? [p.list] : [])),
      limit,
    );
  }
}

/** A selection without its profile IDs: heatmaps and lists of profiles ignore them. */
function allProfiles(s: ExploreSelection): ExploreSelection {
  return { ...s, profileIds: [] };
}
