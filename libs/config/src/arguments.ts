import { CinderblockError } from "@cinderblock/errors";
import { parseValue } from "./option.ts";

/** Flags that every program has besides its schema. */
export const PROGRAM_FLAGS = [
  "config.file",
  "config.expand-env",
  "config.check",
  "help",
  "help-all",
  "h",
  "version",
  "modules",
] as const;

/** A command line, divided into the program's own flags and those of options. */
export interface Arguments {
  file: string;
  /** true flags among PROGRAM_FLAGS */
  set: ReadonlySet<string>;
  flags: { name: string; value: string }[];
}

/**
 * Divides a command line as Go's flag package does: `-flag` and `--flag` are the same, a Boolean flag stands
 * alone or has `=value`, any other flag has `=value` or takes the next argument.
 * @throws `invalid`
 */
export function parseArguments(argv: readonly string[], isBool: (flag: string) => boolean): Arguments {
  const set = new Set<string>(),
    flags: Arguments["flags"] = [];
  let file = "";
  for (let i = 0; i < argv.length; i++) {
    const m = /^--?([^-=\s][^=\s]*)(?:=(.*))?$/s.exec(argv[i]!);
    if (!m)
      throw new CinderblockError(
        "invalid",
        `unexpected argument ${JSON.stringify(argv[i])}; write flags as -name=value, and a Boolean flag as -name or -name=false`,
      );
    const name = m[1]!,
      ofProgram = (PROGRAM_FLAGS as readonly string[]).includes(name);
    const alone = ofProgram ? name !== "config.file" : isBool(name);
    const value = m[2] ?? (alone ? "true" : argv[++i]);
    if (value === undefined) throw new CinderblockError("invalid", `flag -${name} needs a value`);
    if (name === "config.file") file = value;
    else if (ofProgram) {
      const on = parseValue(
        { flag: name, yaml: "", kind: "bool", initial: false, doc: "" },
        value,
        `-${name}`,
      );
      if (on) set.add(name);
      else set.delete(name);
    } else flags.push({ name, value });
  }
  return { file, set, flags };
}
