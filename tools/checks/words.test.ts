import { findings, grown } from "./words.ts";
import { type Text, textsOfMarkdown, textsOfSource } from "./texts.ts";

const text = (t: string): Text => ({ file: "f.ts", line: 1, kind: "comment", text: t });
const isFound = (t: string): boolean => findings([text(t)]).length > 0;

/** Sentences that are hard to read, each with its plain form. */
const EXAMPLES: readonly (readonly [obscure: string, plain: string])[] = [
  [
    "Of a strong read it is known who has read how far: `strongLists` looks whether these answered.",
    "For strong reads, the querier already knows which ingesters have caught up.",
  ],
  [
    "Who did not say which rows it has is not asked for them: they could be another's, too.",
    "Skip a source that did not return its row keys; its rows may be duplicates.",
  ],
  ["A push goes by what was found so long ago at most", "Maximum age of the cached backpressure decision"],
  [
    "Where this ingester stopped is where it goes on; another took over from it, and has committed, else.",
    "Resume from the local position; otherwise another owner has committed past it.",
  ],
  [
    "With replicas the smaller difference is taken, which is theirs; an ingester alone has nobody who could have taken its place.",
    "With replicas, the smaller difference wins.",
  ],
  [
    "the query that this job is a part of, and the how manieth part",
    "the query of this job, and the sub-query index",
  ],
  ["values as what they are in a second of their range", "values per second"],
  [
    "The most of a large answer is read where it stays.",
    "Most of a large response is read into its final buffer.",
  ],
  ["The file is none that can be read", "The file is not a readable ELF file"],
  [
    "A copy moves: what lies behind a view would be cloned whole.",
    "Transfer a copy; structured clone would copy the whole backing buffer.",
  ],
  ["Notes what it is given and answers when it is told to.", "Records pushes and resolves on demand."],
  [
    "takes one that was held alone as it came, and the series of a push each for itself",
    "forwards a single held push unchanged",
  ],
  [
    "learns from cumulative profiles that others store, and forgets those of services that went elsewhere, over a crash too",
    "updates baselines from other owners' profiles and drops baselines of services that moved, also across a crash",
  ],
  ["a source fell silent", "source stopped responding"],
  ["Parts of far blocks' files that are kept on the local disk", "Disk cache for remote blocks"],
  ["who owns which series could not be looked at", "listing series owners failed"],
  [
    "For a strong read those that answer must be such that have read far enough: if they fell silent since, the others are waited for.",
    "A strong read needs responses from ingesters that have caught up.",
  ],
  [
    "is bounded: a series by what one write may hold, all of them by what may wait",
    "limits held bytes per series and in total",
  ],
];

describe("the word checker", () => {
  it("finds at least two thirds of the obscure examples by rules, and none of the plain forms", () => {
    const caught = EXAMPLES.filter(([obscure]) => isFound(obscure)).length;
    expect(caught).toBeGreaterThanOrEqual((EXAMPLES.length * 2) / 3);
    expect(EXAMPLES.map(([, plain]) => plain).filter(isFound)).toEqual([]);
  });

  it("reads comments, strings for people and test titles of a source, and no code", () => {
    const found = textsOfSource(
      "a.ts",
      '/** One made anew. */\nit("takes what it is given here", () => f("anew"));\nconst anew = 1; // stands still\nthrow new Error(`the topic ${t} was made anew`);\n',
    );
    expect(found.map((t) => [t.line, t.kind, t.text])).toEqual([
      [1, "comment", "One made anew."],
      [2, "string", "takes what it is given here"],
      [3, "comment", "stands still"],
      [4, "string", "the topic … was made anew"],
    ]);
  });

  it("reads line comments of consecutive lines as one text", () => {
    const found = textsOfSource("a.ts", "// One,\n  // two.\n\n// Another.\nf(); // three\n// Last.\ng();\n");
    expect(new Map(found.map((t) => [t.line, t.text]))).toEqual(
      new Map([
        [1, "One,\ntwo."],
        [4, "Another."],
        [5, "three"],
        [6, "Last."],
      ]),
    );
  });

  it("reads Markdown without code blocks and inline code", () => {
    expect(
      textsOfMarkdown("a.md", "A `anew` word\n\n```\nanew\n```\n\n    anew\n").map((t) => t.text),
    ).toEqual(["A `code` word"]);
  });

  it("lets a file's findings only decrease", () => {
    expect(grown({ a: 2, b: 1, c: 1 }, { a: 3, b: 1 })).toEqual(["c"]);
  });
});
