import type { Answer, History, Push } from "./history.ts";

/** A profile that an answer counts more or less often than the durability promise allows. */
export interface Violation {
  readonly what: "lost" | "doubled" | "wrong" | "never pushed";
  readonly id: string;
  readonly expected: string;
  readonly found: number;
  readonly answer: Answer;
}

/** Whether an answer must include a push that was acknowledged at a given time. */
export type MustHave = (acknowledgedMs: number, answer: Answer) => boolean;

/** An acknowledged push is in every answer that begins later. */
export const ACKNOWLEDGED: MustHave = (acknowledgedMs, answer) => acknowledgedMs < answer.askedMs;

/**
 * Compares an answer with the history. A partial answer may lack any profile, and rows that could not be
 * compared make an answer partial: only complete answers must have each profile exactly once. No answer may
 * have an unpushed profile.
 */
export function checkAnswer(
  history: History,
  answer: Answer,
  mustHave: MustHave = ACKNOWLEDGED,
): Violation[] {
  if (answer.status !== 200) return [];
  const found: Violation[] = [],
    whole = answer.partial === "";
  const report = (what: Violation["what"], id: string, expected: string): void => {
    found.push({ what, id, expected, found: answer.values.get(id) ?? 0, answer });
  };
  for (const id of answer.values.keys())
    if (!history.pushes.has(id) && !history.growths.has(id)) report("never pushed", id, "nothing");
  if (!whole) return found;
  /** service -> cumulative profiles that are missing */
  const missing = new Map<string, number>();
  for (const p of history.pushes.values()) {
    if (p.kind !== answer.kind) continue;
    const what = misfit(p, answer, mustHave);
    if (!what) continue;
    if (what === "lost" && p.kind === "heap") {
      const n = (missing.get(p.service) ?? 0) + 1;
      missing.set(p.service, n);
      if (n <= history.moves) continue;
    }
    report(what, p.id, String(p.value));
  }
  for (const { id, steps } of answer.kind === "heap" ? history.growths.values() : []) {
    let least = 0,
      most = 0,
      before = 0,
      missed = 0;
    for (const s of steps) {
      most = Math.max(most, s.total);
      // A missing difference is missing completely: its own stack, and its share of the growing stack.
      if (history.moves > 0 && isMissing(history.pushes.get(s.push), answer, mustHave))
        missed += s.total - before;
      before = s.total;
      if (s.acknowledgedMs !== undefined && mustHave(s.acknowledgedMs, answer))
        least = Math.max(least, s.total);
    }
    const n = answer.values.get(id) ?? 0,
      expected = `${least} to ${most}${missed > 0 ? `, less ${missed} of missing differences` : ""}`;
    if (n + missed > most) report("doubled", id, expected);
    else if (n + missed < least) report("lost", id, expected);
    else if (n + missed !== 0 && !steps.some((s) => s.total === n + missed)) report("wrong", id, expected);
  }
  return found;
}

function isMissing(p: Push | undefined, answer: Answer, mustHave: MustHave): boolean {
  return p !== undefined && p.value > 0 && misfit(p, answer, mustHave) === "lost";
}

function misfit(p: Push, answer: Answer, mustHave: MustHave): Violation["what"] | undefined {
  const n = answer.values.get(p.id) ?? 0;
  if (n === p.value) return undefined;
  if (n === 0)
    return p.acknowledgedMs !== undefined && mustHave(p.acknowledgedMs, answer) ? "lost" : undefined;
  return p.value === 0 || n % p.value === 0 ? "doubled" : "wrong";
}

/** Violations as text: the first of each kind with the history around it. */
export function describeViolations(history: History, violations: readonly Violation[]): string {
  const lines: string[] = [];
  for (const what of ["lost", "doubled", "wrong", "never pushed"] as const) {
    const all = violations.filter((v) => v.what === what),
      first = all[0];
    if (!first) continue;
    const { answer: a } = first;
    const ids = [...new Set(all.map((v) => v.id))];
    lines.push(
      `${what}: ${ids.length} profiles (${ids.slice(0, 12).join(", ")}${ids.length > 12 ? ", …" : ""}) in ${new Set(all.map((v) => v.answer)).size} answers`,
      `  ${first.id}: expected ${first.expected}, found ${first.found}, in a ${a.strong ? "strong" : "default"} read of ${a.by} from ${history.time(a.askedMs)} to ${history.time(a.answeredMs)}, partial "${a.partial}"`,
      history.around(first.id),
    );
  }
  return lines.join("\n");
}
