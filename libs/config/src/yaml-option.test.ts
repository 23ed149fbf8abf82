import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import { loadConfig, toYaml, yaml } from "./index.ts";

const schema = {
  rules: yaml("rules", "limits.rules", [] as string[], "Rules.", (v, where) => {
    if (!Array.isArray(v)) throw new Error(`${where}: expected a list`);
    return v as string[];
  }),
};
const none = { others: [], foreign: [], flags: "all" as const };

describe("an option that is a list", () => {
  it("accepts a YAML list or text in the file, and YAML or JSON text in a flag", () => {
    const file = join(temporaryFolder(), "c.yaml");
    const load = (text: string, ...flags: string[]): string[] => {
      writeFileSync(file, text);
      return loadConfig(schema, [`-config.file=${file}`, ...flags], {}, none).config.rules;
    };
    expect(load("limits:\n  rules:\n    - a\n    - b\n")).toEqual(["a", "b"]);
    expect(load("limits:\n  rules: '[c]'\n")).toEqual(["c"]);
    expect(load("", '-rules=["d"]')).toEqual(["d"]);
    expect(load("limits: {rules: [a]}", "-rules=- e\n- f")).toEqual(["e", "f"]);
    expect(() => load("limits: {rules: {a: 1}}")).toThrow("limits.rules: expected a list");
  });
  it("is printed unchanged", () => {
    expect(toYaml(schema, { rules: ["a"] }, "changed")).toBe("limits:\n  rules:\n    - a\n");
  });
});
