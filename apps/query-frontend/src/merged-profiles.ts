import { parseProfileType } from "@cinderblock/model";
import { pprofToDot } from "./dot.ts";
import { flameGraphNodes } from "./limits.ts";
import { type QueryRunner, sampleIds, selectRequest } from "./query-runner.ts";
import type { MergeRequest, RequestContext } from "./request.ts";

/** Merged profiles with complete symbols. */
export class MergedProfiles {
  private readonly runner: QueryRunner;

  constructor(runner: QueryRunner) {
    this.runner = runner;
  }

  /** A merged pprof; undefined when there is no data. */
  async pprof(caller: RequestContext, r: MergeRequest): Promise<Uint8Array | undefined> {
    const range = this.runner.range(caller, r),
      type = parseProfileType(r.profileTypeId),
      limits = this.runner.limits(caller);
    const nodes = limits.maxFlamegraphNodesOnSelectMergeProfile
      ? flameGraphNodes(r.maxNodes, limits)
      : Math.max(0, r.maxNodes);
    if (!range) return undefined;
    const parts = await this.runner.partialResults(caller, {
      kind: "profile",
      select: selectRequest(r, range),
      ...sampleIds(r),
      ...(r.stacks ? { stacks: r.stacks } : {}),
    });
    const answer = await this.runner.render(caller, {
      kind: "pprof",
      parts,
      sampleType: { type: type.sampleType, unit: type.sampleUnit },
      periodType: { type: type.periodType, unit: type.periodUnit },
      period: type.name === "process_cpu" ? 1_000_000_000n : type.name === "memory" ? 524_288n : 1n,
      timeNanos: BigInt(Math.trunc(r.endMs)) * 1_000_000n,
      durationNanos: BigInt(Math.trunc(r.endMs - range.startMs)) * 1_000_000n,
      maxNodes: nodes,
      ...(r.stacks?.goPgo ? { goPgo: r.stacks.goPgo } : {}),
    });
    return "bytes" in answer ? answer.bytes : undefined;
  }

  /** A call graph in Graphviz's DOT language; "" without data. */
  async dot(caller: RequestContext, r: MergeRequest): Promise<string> {
    const pprof = await this.pprof(caller, { ...r, maxNodes: Math.max(512, r.maxNodes) });
    return pprof ? pprofToDot(pprof, r.maxNodes > 0 ? r.maxNodes : 100) : "";
  }
}
