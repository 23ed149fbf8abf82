import { type Pace, UNPACED } from "@cinderblock/async";
import type { IndexedSeries, LabelSets, LabelSource } from "@cinderblock/block";
import { type Label, parseSelector, PatternBudget, type Selector } from "@cinderblock/model";
import type { LabelAnswer, LabelRequest } from "./contracts.ts";
import { LabelSetMerger, labelsOfSets } from "./label-sets.ts";
import { endNanos, startNanos } from "./select.ts";

/** A label query, answered from the label indexes of its sources. Without a range it covers all times. */
export interface LabelQuery {
  matchers: string[];
  startMs: number;
  endMs: number;
}

/** Parsed selectors of a query; several are alternatives. */
function selectorsOf(q: LabelQuery): Selector[] {
  const budget = new PatternBudget();
  return q.matchers.map((m) => parseSelector(m, budget));
}

/** Whether selectors match every series: none, or a first one without conditions. */
function matchesAll(selectors: readonly Selector[]): boolean {
  return selectors.length === 0 || selectors[0]!.length === 0;
}

/** Positions of the series that one of the selectors matches; undefined: all series. */
function pickedOf(source: IndexedSeries, selectors: readonly Selector[]): readonly number[] | undefined {
  if (matchesAll(selectors)) return undefined;
  if (selectors.length === 1) return source.labelIndex.select(selectors[0]!);
  return [...new Set(selectors.flatMap((s) => source.labelIndex.select(s)))];
}

/**
 * Condition that the times of a series overlap the range of the query; undefined for a query without a range.
 */
function overlaps({ series }: IndexedSeries, q: LabelQuery): ((i: number) => boolean) | undefined {
  if (q.startMs <= 0 || q.endMs <= 0) return undefined;
  const from = startNanos(q.startMs),
    to = endNanos(q.endMs);
  return (i) => series[i]!.minTimeNanos <= to && series[i]!.maxTimeNanos >= from;
}

/** A source whose series are in memory, or that reads them when a query needs them. */
type Source = IndexedSeries | LabelSource;

/** Series of a source, and which of them a query counts. */
interface Selected {
  source: IndexedSeries;
  /** positions; undefined: all */
  picked: readonly number[] | undefined;
  /** time condition; undefined: any time */
  accepts: ((i: number) => boolean) | undefined;
}

/** Selects the series of a source that a query counts, ready for its label index. */
async function select(
  from: Source,
  selectors: readonly Selector[],
  q: LabelQuery,
  pace: Pace,
): Promise<Selected> {
  const source =
    "seriesFor" in from ? await from.seriesFor(matchesAll(selectors) ? [] : selectors, pace) : from;
  for (const selector of selectors.length > 0 ? selectors : [[]])
    await source.labelIndex.prepare(selector, pace);
  return { source, picked: pickedOf(source, selectors), accepts: overlaps(source, q) };
}

/** Whether a query counts every series of a source that reads its series. */
function countsAll(source: LabelSource, selectors: readonly Selector[], q: LabelQuery): boolean {
  return (
    matchesAll(selectors) &&
    (q.startMs <= 0 ||
      q.endMs <= 0 ||
      (source.minTimeNanos >= startNanos(q.startMs) && source.maxTimeNanos <= endNanos(q.endMs)))
  );
}

/** Texts from the sources, each once: from their lists if a query counts all series, else from its series. */
async function textsOf(
  sources: readonly Source[],
  q: LabelQuery,
  pace: Pace,
  list: (source: LabelSource) => Promise<readonly string[] | undefined>,
  ofSeries: (selected: Selected) => string[],
): Promise<string[]> {
  const selectors = selectorsOf(q),
    parts: (readonly string[])[] = [];
  for (const s of sources) {
    const listed = "seriesFor" in s && countsAll(s, selectors, q) ? await list(s) : undefined;
    parts.push(listed ?? ofSeries(await select(s, selectors, q, pace)));
    if (pace.due()) await pace.next();
  }
  return parts.length === 1 ? [...parts[0]!] : [...new Set(parts.flat())];
}

/** Names of labels that a query matches. */
export function labelNames(sources: readonly Source[], q: LabelQuery, pace = UNPACED): Promise<string[]> {
  return textsOf(
    sources,
    q,
    pace,
    (s) => s.list(),
    ({ source, picked, accepts }) => source.labelIndex.names(picked, accepts),
  );
}

/** Values of a label that a query matches. */
export function labelValues(
  sources: readonly Source[],
  name: string,
  q: LabelQuery,
  pace = UNPACED,
): Promise<string[]> {
  return textsOf(
    sources,
    q,
    pace,
    (s) => s.list(name),
    ({ source, picked, accepts }) => source.labelIndex.values(name, picked, accepts),
  );
}

/** Distinct label sets as columns, reduced to `names` if there are any. */
async function labelSets(
  sources: readonly Source[],
  names: readonly string[],
  q: LabelQuery,
  pace = UNPACED,
): Promise<LabelSets> {
  const merger = new LabelSetMerger(),
    wanted = new Set(names),
    name = wanted.size === 0 ? undefined : (n: string): boolean => wanted.has(n);
  const selectors = selectorsOf(q);
  for (const s of sources) {
    const { source, picked, accepts } = await select(s, selectors, q, pace);
    merger.add(source.labelIndex.sets(), { picked, accepts, name });
    if (pace.due()) await pace.next();
  }
  return merger.finish();
}

/** Distinct label sets, reduced to `names` if there are any. */
export async function seriesLabels(
  sources: readonly Source[],
  names: readonly string[],
  q: LabelQuery,
  pace = UNPACED,
): Promise<Label[][]> {
  return labelsOfSets(await labelSets(sources, names, q, pace));
}

/** Runs a label query on sources. */
export async function labelAnswer(
  sources: readonly Source[],
  ask: LabelRequest,
  pace = UNPACED,
): Promise<LabelAnswer> {
  switch (ask.kind) {
    case "names":
      return { names: await labelNames(sources, ask.query, pace), sets: [] };
    case "values":
      return { names: await labelValues(sources, ask.name, ask.query, pace), sets: [] };
    case "series": {
      const sets = await labelSets(sources, ask.names, ask.query, pace);
      return ask.columns === true
        ? { names: [], sets: [], tables: [sets] }
        : { names: [], sets: labelsOfSets(sets) };
    }
  }
}

/** Answers of several sources as one; what two of them have is in it twice. */
export function joinLabelAnswers(answers: readonly LabelAnswer[]): LabelAnswer {
  return {
    names: answers.flatMap((a) => a.names),
    sets: answers.flatMap((a) => a.sets),
    tables: answers.flatMap((a) => a.tables ?? []),
  };
}

/** An answer for a caller of the previous release, which reads no columns. */
export function withoutColumns({ names, sets, tables = [] }: LabelAnswer): LabelAnswer {
  return { names, sets: [...sets, ...tables.flatMap(labelsOfSets)] };
}

/**
 * Distinct label sets of an answer, in its order.
 * @param name restricts the labels by their names
 */
export function distinctSets(
  { sets, tables = [] }: LabelAnswer,
  name?: (name: string) => boolean,
): LabelSets {
  // The sets of one source are distinct.
  const [first] = tables;
  if (first && tables.length === 1 && sets.length === 0 && (!name || first.names.every(name))) return first;
  const merger = new LabelSetMerger();
  for (const labels of sets) merger.addLabels(name ? labels.filter((l) => name(l.name)) : labels);
  for (const t of tables) merger.add(t, { name });
  return merger.finish();
}
