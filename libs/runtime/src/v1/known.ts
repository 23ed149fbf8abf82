import type { KnownNames, ComponentOption } from "@cinderblock/config";
import { OWN_OPTIONS } from "./own-options.ts";
import { foreignOptions } from "./outcomes.ts";

/** Options of all components, so that each program knows the names of the others. */
export const optionsOfAllComponents: readonly ComponentOption[] = OWN_OPTIONS.split("\n")
  .filter((line) => line !== "")
  .map((line) => {
    const [flag, yaml, kind, list, min, choices] = line.split("|") as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    return {
      flag,
      yaml,
      kind: kind as ComponentOption["kind"],
      ...(list === "list" ? { list: true } : {}),
      ...(min === "" ? {} : { min: Number(min) }),
      ...(choices === "-" ? {} : { choices: choices.split(",") }),
    };
  });

/** Names that a program accepts besides its schema: options of other components, and those of Pyroscope. */
export const knownNames: KnownNames = {
  others: optionsOfAllComponents,
  foreign: foreignOptions(optionsOfAllComponents),
  flags: "all",
};

/** Lines of OWN_OPTIONS for a schema. */
export function ownOptionLines(options: readonly ComponentOption[]): string {
  return options
    .map((o) =>
      [o.flag, o.yaml, o.kind, o.list ? "list" : "", o.min ?? "", o.choices?.join(",") ?? "-"].join("|"),
    )
    .sort()
    .join("\n");
}
