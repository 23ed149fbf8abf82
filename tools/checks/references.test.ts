import { anchorsOf, type Known, pathsOf, problems } from "./references.ts";

const page = "# Cuts & claims\n\n## `a_b` of a page\n\n## Twice\n\n## Twice\n";
const known: Known = {
  paths: pathsOf(["docs/page.md", "docs/other.md", "libs/head/src/shard.ts"]),
  anchors: new Map([["docs/page.md", anchorsOf(page)]]),
  isFlag: (name) => name === "server.http-listen-port",
  isMetric: (name) => name === "pyroscope_pushes_total",
};
const found = (file: string, source: string): string[] =>
  problems(known, new Map([[file, source]])).map((p) => p.what);

describe("references of documents and comments", () => {
  it("finds links, paths, flags and metrics that do not exist, and no others", () => {
    expect(
      found(
        "docs/other.md",
        [
          "[good](page.md#cuts--claims), [also](page.md#twice-1), [web](https://example.org/none.md)",
          "[bad](none.md) [anchor](page.md#none)",
          "`libs/head/src/shard.ts`, `libs/head`, `libs/*/src`, `apps/<component>/src/main.ts`",
          "`libs/head/src/none.ts`",
          "`-server.http-listen-port=1`, `-server.http-*`, `-server.none`",
          "`pyroscope_pushes_total`, `cinderblock_none_total`",
          "```",
          "run -server.nothing=1",
          "```",
        ].join("\n"),
      ),
    ).toEqual([
      "link none.md leads nowhere",
      "link page.md#none: docs/page.md has no heading #none",
      "path libs/head/src/none.ts does not exist",
      "flag -server.none does not exist",
      "metric cinderblock_none_total does not exist",
      "flag -server.nothing does not exist",
    ]);
  });

  it("finds comments that cite a missing path or heading, and leaves code alone", () => {
    expect(
      found(
        "libs/head/src/shard.ts",
        '/** See docs/page.md, "Twice", and docs/page.md, "Never". */\nconst a = "docs/none.md";\n// docs/gone.md (correctness rule 3)\n',
      ),
    ).toEqual([
      'docs/page.md has no heading "Never"',
      "path docs/gone.md does not exist",
      "correctness rule 3 cites a page that is not in the repository",
    ]);
  });

  it("computes GitHub's anchors", () => {
    expect([...anchorsOf(page)]).toEqual(["cuts--claims", "a_b-of-a-page", "twice", "twice-1"]);
  });
});
