import type { PartialResult } from "@cinderblock/query";
import type { CallTrees } from "./call-trees.ts";
import { flameGraphNodes } from "./limits.ts";
import type { QueryRunner } from "./query-runner.ts";
import type { MergeRequest, RequestContext } from "./request.ts";

/** Encoding of a flame graph: Pyroscope's message, or the JSON of its legacy routes. */
type FlameFormat = "proto" | "flamebearer";

/** Flame graphs, their differences, and call trees in Pyroscope's format. */
export class FlameGraphs {
  private readonly runner: QueryRunner;
  private readonly trees: CallTrees;

  constructor(runner: QueryRunner, trees: CallTrees) {
    this.runner = runner;
    this.trees = trees;
  }

  /** A flame graph of one selection. */
  async flame(caller: RequestContext, r: MergeRequest, as: FlameFormat): Promise<Uint8Array> {
    return this.runner.renderBytes(caller, { kind: "flame", ...(await this.merge(caller, r)), as });
  }

  /** A call tree of one selection. */
  async tree(caller: RequestContext, r: MergeRequest): Promise<Uint8Array> {
    return this.runner.renderBytes(caller, { kind: "tree", ...(await this.merge(caller, r)) });
  }

  /** The flame graph of a comparison. */
  async diff(
    caller: RequestContext,
    left: MergeRequest,
    right: MergeRequest,
    as: FlameFormat,
  ): Promise<Uint8Array> {
    const nodes = flameGraphNodes(Math.max(left.maxNodes, right.maxNodes), this.runner.limits(caller));
    for (const side of [left, right]) this.runner.range(caller, side);
    const [l, r] = await Promise.all(
      [left, right].map((side) => this.trees.partialTrees(caller, side, nodes)),
    );
    return this.runner.renderBytes(caller, {
      kind: "diff",
      left: l!,
      right: r!,
      callSite: [left.stacks?.callSite ?? [], right.stacks?.callSite ?? []],
      maxNodes: nodes,
      as,
    });
  }

  /** Input of a merge: partial trees, the call site of its root, and the number of its nodes. */
  private async merge(
    caller: RequestContext,
    r: MergeRequest,
  ): Promise<{ parts: PartialResult[]; callSite: string[]; maxNodes: number }> {
    const nodes = flameGraphNodes(r.maxNodes, this.runner.limits(caller));
    return {
      parts: await this.trees.partialTrees(caller, r, nodes),
      callSite: r.stacks?.callSite ?? [],
      maxNodes: nodes,
    };
  }
}
