import { checkAnswer, describeViolations, type Violation } from "./checker.ts";
import { type Answer, History, type Kind } from "./history.ts";

/** A history with three pushes of value 7: acknowledged at 100, never acknowledged, acknowledged at 900. */
function three(kind: Kind = "cpu"): History {
  const h = new History();
  h.push("a", kind, "s", 7).acknowledgedMs = 100;
  h.push("b", kind, "s", 7);
  h.push("c", kind, "s", 7).acknowledgedMs = 900;
  return h;
}
const answer = (values: Record<string, number>, more: Partial<Answer> = {}): Answer => ({
  kind: "cpu",
  strong: true,
  askedMs: 500,
  answeredMs: 600,
  status: 200,
  partial: "",
  values: new Map(Object.entries(values)),
  by: "query-frontend-0",
  ...more,
});
const kinds = (violations: readonly Violation[]): string[] => violations.map((v) => `${v.what} ${v.id}`);

describe("the history checker", () => {
  it("accepts an answer with every previously acknowledged push, with and without the others", () => {
    for (const values of [{ a: 7 }, { a: 7, b: 7 }, { a: 7, b: 7, c: 7 }])
      expect(checkAnswer(three(), answer(values))).toEqual([]);
  });
  it("finds a missing acknowledged push, unless the answer is partial", () => {
    expect(kinds(checkAnswer(three(), answer({ b: 7 })))).toEqual(["lost a"]);
    expect(checkAnswer(three(), answer({ b: 7 }, { partial: "ingester-0 did not answer" }))).toEqual([]);
    expect(checkAnswer(three(), answer({}, { status: 503 }))).toEqual([]);
  });
  it("detects a loss that a duplicate of another push hides in the total", () => {
    expect(kinds(checkAnswer(three(), answer({ a: 0, b: 14 })))).toEqual(["lost a", "doubled b"]);
  });
  it("finds duplicates of unacknowledged pushes, other values, and profiles without a push", () => {
    expect(kinds(checkAnswer(three(), answer({ a: 7, b: 14 })))).toEqual(["doubled b"]);
    expect(kinds(checkAnswer(three(), answer({ a: 6 })))).toEqual(["wrong a"]);
    expect(kinds(checkAnswer(three(), answer({ a: 7, z: 7 }, { partial: "x" })))).toEqual(["never pushed z"]);
  });
  it("checks only profiles of the answer's type", () => {
    expect(checkAnswer(three("heap"), answer({}))).toEqual([]);
  });
  it("limits the growth of a cumulative stack to a step between the acknowledged and the sent one", () => {
    const h = new History();
    h.push("first", "heap", "s", 0).acknowledgedMs = 100;
    h.growths.set("grows", {
      id: "grows",
      steps: [
        { push: "first", total: 0, acknowledgedMs: 100 },
        { push: "second", total: 30, acknowledgedMs: 200 },
        { push: "third", total: 70, acknowledgedMs: undefined },
      ],
    });
    const heap = (grows: number, first = 0): string[] =>
      kinds(checkAnswer(h, answer({ grows, first }, { kind: "heap" })));
    expect(heap(30)).toEqual([]);
    expect(heap(70)).toEqual([]);
    expect(heap(0)).toEqual(["lost grows"]);
    expect(heap(100)).toEqual(["doubled grows"]);
    expect(heap(45)).toEqual(["wrong grows"]);
    expect(heap(30, 5)).toEqual(["doubled first"]);
  });
  it("allows a moved series to miss one difference, and no second one", () => {
    const h = three("heap");
    h.moves = 1;
    expect(checkAnswer(h, answer({}, { kind: "heap" }))).toEqual([]);
    expect(kinds(checkAnswer(h, answer({}, { kind: "heap", askedMs: 1000 })))).toEqual(["lost c"]);
    expect(kinds(checkAnswer(h, answer({ a: 14 }, { kind: "heap" })))).toEqual(["doubled a"]);
  });
  it("lets the growing stack miss the difference that a move missed, and no other", () => {
    const h = new History();
    for (const [id, ms] of [
      ["first", 100],
      ["second", 200],
      ["third", 300],
    ] as const)
      h.push(id, "heap", "s", id === "first" ? 0 : 7).acknowledgedMs = ms;
    h.growths.set("grows", {
      id: "grows",
      steps: [
        { push: "first", total: 0, acknowledgedMs: 100 },
        { push: "second", total: 30, acknowledgedMs: 200 },
        { push: "third", total: 70, acknowledgedMs: 300 },
      ],
    });
    h.moves = 1;
    const heap = (values: Record<string, number>): string[] =>
      kinds(checkAnswer(h, answer(values, { kind: "heap" })));
    expect(heap({ second: 7, third: 7, grows: 70 })).toEqual([]);
    expect(heap({ third: 7, grows: 40 })).toEqual([]);
    expect(heap({ second: 7, third: 7, grows: 40 })).toEqual(["lost grows"]);
    expect(heap({ third: 7, grows: 30 })).toEqual(["lost grows"]);
    expect(heap({ third: 7, grows: 70 })).toEqual(["doubled grows"]);
    expect(heap({ grows: 0 })).toEqual(["lost third"]);
  });
  it("prints the history around the profile", async () => {
    const h = new History();
    const p = h.push("a", "cpu", "s", 7);
    p.attempts.push("distributor-0: 200");
    p.acknowledgedMs = p.begunMs;
    await h.fault("kill -9 of ingester-0", () => Promise.resolve());
    const text = describeViolations(h, checkAnswer(h, answer({}, { askedMs: p.begunMs + 1 })));
    expect(text).toContain("lost: 1 profiles (a) in 1 answers");
    expect(text).toContain("> push a (s, value 7): distributor-0: 200, acknowledged at");
    expect(text).toContain("fault begins: kill -9 of ingester-0");
  });
});
