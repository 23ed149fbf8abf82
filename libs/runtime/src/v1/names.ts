import type { ForeignOption } from "@cinderblock/config";
import { OPTION_BLOCKS } from "./name-blocks.ts";
import { V1_NAMES } from "./names-v1.ts";
import { V2_NAMES } from "./names-v2.ts";

/** An option of Pyroscope: its names, type and defaults. */
export interface PyroscopeOption extends Pick<ForeignOption, "flag" | "yaml" | "kind" | "defaults"> {
  /** Only Pyroscope 2.2.1 has this option. */
  readonly later: boolean;
}

function parse(names: string, later: boolean): PyroscopeOption[] {
  return names
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const fields = line.split("|");
      if (!line.startsWith("+")) return [optionOf(fields, later)];
      const [block, flags, keys] = fields as [string, string, string];
      return parse(OPTION_BLOCKS[block.slice(1)]!, later).map((o) => ({
        ...o,
        flag: flags + o.flag,
        yaml: `${keys}.${o.yaml}`,
      }));
    });
}

function optionOf([flag, yaml, kind, ...defaults]: readonly string[], later: boolean): PyroscopeOption {
  return { flag: flag!, yaml: yaml!, kind: kind as PyroscopeOption["kind"], defaults, later };
}

/** All options of Pyroscope v1.21.1 and 2.2.1. A later line replaces an earlier one with the same names. */
export const pyroscopeOptions: readonly PyroscopeOption[] = [
  ...new Map(
    [...parse(V1_NAMES, false), ...parse(V2_NAMES, true)].map((o) => [`${o.flag}|${o.yaml}`, o]),
  ).values(),
];
