import type { Base } from "@cinderblock/telemetry";
import type { Limits } from "@cinderblock/tenant";
import { CallTrees } from "./call-trees.ts";
import { Explore } from "./explore.ts";
import { Exports } from "./exports.ts";
import { FlameGraphs } from "./flame-graphs.ts";
import { Labels } from "./labels.ts";
import { MergedProfiles } from "./merged-profiles.ts";
import type { QueryBounds } from "./query-bounds.ts";
import { QueryRunner, type QueryRunnerOptions } from "./query-runner.ts";
import type { RequestContext } from "./request.ts";
import type { SlowQueries } from "./slow-queries.ts";
import { StoredBlocks } from "./stored-blocks.ts";
import { TimeSeries } from "./time-series.ts";

/**
 * The public read API: one member per kind of answer. All of them check and queue their queries with one
 * `QueryRunner`, and have worker threads merge and render the results.
 */
export class QueryFrontend {
  readonly blocks: StoredBlocks;
  readonly explore: Explore;
  readonly exports: Exports;
  readonly flameGraphs: FlameGraphs;
  readonly labels: Labels;
  readonly profiles: MergedProfiles;
  readonly timeSeries: TimeSeries;
  /** the slowest queries of the last hour */
  readonly slow: SlowQueries;
  private readonly runner: QueryRunner;

  constructor(options: QueryRunnerOptions, base: Base) {
    const runner = new QueryRunner(options, base),
      trees = new CallTrees(runner);
    this.runner = runner;
    this.slow = options.slow;
    this.blocks = new StoredBlocks(runner);
    this.explore = new Explore(runner, trees);
    this.flameGraphs = new FlameGraphs(runner, trees);
    this.labels = new Labels(runner);
    this.profiles = new MergedProfiles(runner);
    this.timeSeries = new TimeSeries(runner);
    this.exports = new Exports(runner, trees, this.profiles, this.labels);
  }

  /** The strictest of each limit, over all tenants that the caller reads. */
  limits(caller: RequestContext): Limits {
    return this.runner.limits(caller);
  }

  /** The bounds of the text of a caller's query. */
  bounds(caller: RequestContext): QueryBounds {
    return this.runner.bounds(caller);
  }
}
