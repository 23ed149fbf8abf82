import { CinderblockError, kindOf } from "@cinderblock/errors";
import type { SampleRows, TreeFormat } from "@cinderblock/exports/formats";
import { unitOf } from "@cinderblock/flame";
import { parseProfileType, selectorText } from "@cinderblock/model";
import { callSiteFilter, type PartialResult, selectorOf } from "@cinderblock/query";
import type { CallTrees } from "./call-trees.ts";
import { type Labels, sortedNames } from "./labels.ts";
import type { MergedProfiles } from "./merged-profiles.ts";
import { type QueryRunner, sampleIds } from "./query-runner.ts";
import type { ExploreSelection, MergeRequest, RequestContext } from "./request.ts";

/**
 * Exports of samples advance in steps of time: target rows of a step, its first length, its minimum and
 * maximum length.
 */
const STEP_ROWS = 200_000,
  FIRST_STEP_MS = 60_000,
  MIN_STEP_MS = 1000,
  MAX_STEP_MS = 6 * 3600_000;
const MAX_PARQUET_BYTES = 256 << 20;

/** Answers as files of other programs' formats. */
export class Exports {
  private readonly runner: QueryRunner;
  private readonly trees: CallTrees;
  private readonly profiles: MergedProfiles;
  private readonly labels: Labels;

  constructor(runner: QueryRunner, trees: CallTrees, profiles: MergedProfiles, labels: Labels) {
    this.runner = runner;
    this.trees = trees;
    this.profiles = profiles;
    this.labels = labels;
  }

  /** A call tree, or a comparison of two, as a file. */
  async tree(
    caller: RequestContext,
    left: MergeRequest,
    base: MergeRequest | undefined,
    format: TreeFormat,
    title: string,
  ): Promise<Uint8Array> {
    const sides = await this.trees.comparisonSides(
      caller,
      exploreSelection(left),
      base && exploreSelection(base),
    );
    const file = await this.runner.export(caller, {
      kind: "tree",
      ...sides,
      format,
      title,
      unit: unitOf(parseProfileType(left.profileTypeId).sampleUnit),
      atMs: left.startMs,
    });
    return file.bytes;
  }

  /** A merged profile as OTLP; undefined when there is no data. */
  async otlp(caller: RequestContext, r: MergeRequest, service: string): Promise<Uint8Array | undefined> {
    const pprof = await this.profiles.pprof(caller, r);
    return pprof && (await this.runner.export(caller, { kind: "otlp", pprof, service })).bytes;
  }

  /** Profiles and their samples as pieces of an Arrow stream; one step of time at a time is in memory. */
  async *samples(caller: RequestContext, r: MergeRequest, rows: SampleRows): AsyncGenerator<Uint8Array> {
    const range = this.runner.range(caller, r),
      type = parseProfileType(r.profileTypeId),
      selector = selectorText(selectorOf(r, this.runner.bounds(caller).patterns));
    const names = range
      ? (await this.labels.labelSets(caller, { matchers: [selector], ...range }, [], true)).names
      : [];
    const table = {
      rows,
      labels: sortedNames(names).filter((n) => !n.startsWith("__")),
      profileType: type.id,
      unit: type.sampleUnit,
    };
    const { startMs, endMs } = range ?? { startMs: 1, endMs: 1 };
    for (let at = startMs, stepMs = FIRST_STEP_MS, first = true; ; ) {
      const until = Math.min(endMs, at + stepMs - 1),
        last = until === endMs;
      let parts: PartialResult[] = [];
      try {
        if (range) parts = await this.stepParts(caller, r, at, until);
      } catch (err) {
        if (kindOf(err) !== "limit" || stepMs <= MIN_STEP_MS) throw err;
        // the step has too many samples for one answer: use a shorter step
        stepMs = Math.max(MIN_STEP_MS, Math.floor(stepMs / 8));
        continue;
      }
      const piece = await this.runner.export(caller, { kind: "samples", parts, table, first, last });
      if (first || last || piece.rows > 0) {
        yield piece.bytes;
        first = false;
      }
      if (last) return;
      at = until + 1;
      stepMs = nextStep(stepMs, piece.rows);
    }
  }

  /** The table of `samples` as a Parquet file. */
  async parquet(caller: RequestContext, r: MergeRequest, rows: SampleRows): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const p of this.samples(caller, r, rows)) {
      pieces.push(p);
      bytes += p.length;
      if (bytes > MAX_PARQUET_BYTES)
        throw new CinderblockError(
          "limit",
          `the uncompressed table exceeds ${MAX_PARQUET_BYTES >> 20} MiB, the limit of a Parquet export: choose a shorter time range, a narrower selector, or format=arrow, which has no limit`,
        );
    }
    const stream = new Uint8Array(bytes);
    let at = 0;
    for (const p of pieces) {
      stream.set(p, at);
      at += p.length;
    }
    return (await this.runner.export(caller, { kind: "parquet", stream })).bytes;
  }

  /** Partial results of one step of time. */
  private stepParts(
    caller: RequestContext,
    r: MergeRequest,
    startMs: number,
    endMs: number,
  ): Promise<PartialResult[]> {
    const { profileTypeId, labelSelector } = r;
    return this.runner.partialResults(caller, {
      kind: "samples",
      select: { profileTypeId, labelSelector, startMs, endMs },
      ...sampleIds(r),
    });
  }
}

/** The length of the step after one with `rows` rows. */
function nextStep(stepMs: number, rows: number): number {
  if (rows < STEP_ROWS / 4) return Math.min(stepMs * 4, MAX_STEP_MS);
  return rows > STEP_ROWS ? Math.max(MIN_STEP_MS, Math.floor(stepMs / 2)) : stepMs;
}

/** The selection of a request, with its call site as the only filter. */
function exploreSelection(r: MergeRequest): ExploreSelection {
  return {
    ...r,
    profileIds: r.profileIds ?? [],
    filter: callSiteFilter(r.stacks?.callSite ?? []),
  };
}
