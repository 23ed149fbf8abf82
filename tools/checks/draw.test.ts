import { drawPlaces, exportedNames } from "./draw.ts";

describe("the draw of places", () => {
  it("lists exported names with the public methods of classes", () => {
    const names = exportedNames(
      "a.ts",
      "export const a = 1;\nexport class B { c(): void {} private d(): void {} }\nfunction e() {}\nexport type F = 1;\n",
    );
    expect(names.map((n) => n.text)).toEqual(["a", "B", "B.c", "F"]);
  });

  it("repeats for the same commit, and differs for another", () => {
    const texts = Array.from({ length: 100 }, (_, i) => ({
      file: "a.ts",
      line: i,
      kind: "comment" as const,
      text: `text ${i}`,
    }));
    const lines = (seed: string): number[] => drawPlaces(texts, seed, 5).map((t) => t.line);
    expect(lines("a")).toEqual(lines("a"));
    expect(lines("a")).not.toEqual(lines("b"));
    expect(new Set(lines("a")).size).toBe(5);
  });
});
