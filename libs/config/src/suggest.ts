/** A known name is suggested if its similarity to the unknown name exceeds this value. */
const LIKE = 0.55;
/** Two words whose similarity exceeds this value count as the same word. */
const SAME_WORD = 0.6;

/** Rows of the distance table, reused; names are shorter. */
const rows = [new Uint16Array(256), new Uint16Array(256), new Uint16Array(256)] as const;

/** Edit distance in which exchanging two neighboring characters is one edit. */
function distance(a: string, b: string): number {
  let [before, row, next] = rows as unknown as [Uint16Array, Uint16Array, Uint16Array];
  for (let j = 0; j <= b.length; j++) row[j] = j;
  for (let i = 1; i <= a.length; i++) {
    const c = a.charCodeAt(i - 1);
    next[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const other = b.charCodeAt(j - 1);
      let d = row[j - 1]! + (c === other ? 0 : 1);
      if (next[j - 1]! + 1 < d) d = next[j - 1]! + 1;
      if (row[j]! + 1 < d) d = row[j]! + 1;
      if (
        i > 1 &&
        j > 1 &&
        c === b.charCodeAt(j - 2) &&
        a.charCodeAt(i - 2) === other &&
        before[j - 2]! + 1 < d
      )
        d = before[j - 2]! + 1;
      next[j] = d;
    }
    [before, row, next] = [row, next, before];
  }
  return row[b.length]!;
}

/** Likeness of two texts by edits, from 0 to 1. */
function likeness(a: string, b: string): number {
  if (a === b) return 1;
  return 1 - distance(a, b) / Math.max(a.length, b.length, 1);
}

/** The largest likeness that two texts of these lengths can have. */
const bound = (a: string, b: string): number =>
  Math.min(a.length, b.length) / Math.max(a.length, b.length, 1);

const wordsOf = (name: string): string[] => name.split(/[._-]+/);

/** Share of the words of both names that have a counterpart in the other name, from 0 to 1. */
function sharedWords(
  a: readonly string[],
  b: readonly string[],
  like: (a: string, b: string) => number,
): number {
  const left = [...b];
  let shared = 0;
  for (const word of a) {
    let best = -1,
      score = SAME_WORD;
    for (const [i, other] of left.entries()) {
      const s = bound(word, other) > score ? like(word, other) : 0;
      if (s > score) {
        score = s;
        best = i;
      }
    }
    if (best < 0) continue;
    shared += score;
    left.splice(best, 1);
  }
  return (2 * shared) / (a.length + b.length);
}

/**
 * The known name nearest to a wrong name, by edits and by shared words; undefined if none is near.
 * @param preferred names that win over equally near ones of `others`
 */
export function nearestName(
  name: string,
  preferred: Iterable<string>,
  others: Iterable<string>,
): string | undefined {
  const wrong = name.toLowerCase().slice(0, 200),
    words = wordsOf(wrong);
  // Cache of word likenesses, because option names share most of their words.
  const known = new Map<string, number>();
  const like = (a: string, b: string): number => {
    const key = `${a} ${b}`;
    let value = known.get(key);
    if (value === undefined) known.set(key, (value = likeness(a, b)));
    return value;
  };
  let best: string | undefined,
    score = LIKE;
  for (const [names, bonus] of [
    [preferred, 0.02],
    [others, 0],
  ] as const)
    for (const candidate of names) {
      const lower = candidate.toLowerCase();
      if ((bound(wrong, lower) + 1) / 2 + bonus <= score) continue;
      const shared = sharedWords(words, wordsOf(lower), like);
      if ((bound(wrong, lower) + shared) / 2 + bonus <= score) continue;
      const s = (likeness(wrong, lower) + shared) / 2 + bonus;
      if (s > score) {
        score = s;
        best = candidate;
      }
    }
  return best;
}
