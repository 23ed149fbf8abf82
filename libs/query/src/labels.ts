import { type Pace, UNPACED } from "@cinderblock/async";
import type { LabelSets, ProfileSource } from "@cinderblock/block";
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

/** Positions of the series that one of the selectors matches; undefined: all series. */
function pickedOf(source: ProfileSource, selectors: readonly Selector[]): readonly number[] | undefined {
  if (selectors.length === 0 || selectors[0]!.length === 0) return undefined;
  if (selectors.length === 1) return source.labelIndex.select(selectors[0]!);
  return [...new Set(selectors.flatMap((s) => source.labelIndex.select(s)))];
}

/**
 * Condition that the times of a series overlap the range of the query; undefined for a query without a range.
 */
function overlaps({ series }: ProfileSource, q: LabelQuery): ((i: number) => boolean) | undefined {
  if (q.startMs <= 0 || q.endMs <= 0) return undefined;
  const from = startNanos(q.startMs),
    to = endNanos(q.endMs);
  return (i) => series[i]!.minTimeNanos <= to && series[i]!.maxTimeNanos >= from;
}

/** Visits each source with the positions and the time condition of a query, ready for its label index. */
async function eachSource(
  sources: readonly ProfileSource[],
  q: LabelQuery,
  pace: Pace,
  visit: (
    source: ProfileSource,
    picked: readonly number[] | undefined,
    accepts: ((i: number) => boolean) | undefined,
  ) => void,
): Promise<void> {
  const selectors = selectorsOf(q);
  for (const s of sources) {
    for (const selector of selectors.length > 0 ? selectors : [[]])
      await s.labelIndex.prepare(selector, pace);
    visit(s, pickedOf(s, selectors), overlaps(s, q));
    if (pace.due()) await pace.next();
  }
}

/** Names of labels that a query matches. */
export async function labelNames(
  sources: readonly ProfileSource[],
  q: LabelQuery,
  pace = UNPACED,
): Promise<string[]> {
  const parts: string[][] = [];
  await eachSource(sources, q, pace, (s, picked, accepts) => parts.push(s.labelIndex.names(picked, accepts)));
  return distinct(parts);
}

/** Values of a label that a query matches. */
export async function labelValues(
  sources: readonly ProfileSource[],
  name: string,
  q: LabelQuery,
  pace = UNPACED,
): Promise<string[]> {
  const parts: string[][] = [];
  await eachSource(sources, q, pace, (s, picked, accepts) =>
    parts.push(s.labelIndex.values(name, picked, accepts)),
  );
  return distinct(parts);
}

function distinct(parts: readonly string[][]): string[] {
  return parts.length === 1 ? parts[0]! : [...new Set(parts.flat())];
}

/** Distinct label sets as columns, reduced to `names` if there are any. */
async function labelSets(
  sources: readonly ProfileSource[],
  names: readonly string[],
  q: LabelQuery,
  pace = UNPACED,
): Promise<LabelSets> {
  const merger = new LabelSetMerger(),
    wanted = new Set(names),
    name = wanted.size === 0 ? undefined : (n: string): boolean => wanted.has(n);
  await eachSource(sources, q, pace, (s, picked, accepts) =>
    merger.add(s.labelIndex.sets(), { picked, accepts, name }),
  );
  return merger.finish();
}

/** Distinct label sets, reduced to `names` if there are any. */
export async function seriesLabels(
  sources: readonly ProfileSource[],
  names: readonly string[],
  q: LabelQuery,
  pace = UNPACED,
): Promise<Label[][]> {
  return labelsOfSets(await labelSets(sources, names, q, pace));
}

/** Runs a label query on sources. */
export async function labelAnswer(
  sources: readonly ProfileSource[],
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
