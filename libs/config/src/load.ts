import { CinderblockError } from "@cinderblock/errors";
import { parseArguments, PROGRAM_FLAGS } from "./arguments.ts";
import { readFile, sectionsOf } from "./file.ts";
import { type ForeignOption, isDefault, type KnownNames, type ComponentOption } from "./known.ts";
import { type ConfigOf, type Option, parseValue, type Schema } from "./option.ts";
import { nearestName } from "./suggest.ts";

/** The effect of a flag or key that was given. */
export interface Decision {
  /** the flag with its hyphen, or the path in the file */
  name: string;
  /** `fits`: a foreign option with its default, or with a value that this system satisfies without it */
  is: "taken" | "other component" | "mapped" | "fits" | "meaningless" | "warned" | "refused";
  /**
   * detail of the effect: the option that a mapped name sets, why the name has no effect, or the error; ""
   * for the other effects
   */
  text: string;
}

/** Loaded configuration, with the decision on every flag and key that was given. */
export interface LoadedConfig<S extends Schema> {
  config: ConfigOf<S>;
  decisions: Decision[];
  help: "short" | "all" | undefined;
  version: boolean;
  modules: boolean;
  /** -config.check: refused options are in `decisions` instead of being thrown */
  check: boolean;
}

/** Known options by one of their names. */
interface ByName {
  own: Map<string, { key: string; o: Option<unknown> }>;
  others: Map<string, ComponentOption>;
  foreign: Map<string, ForeignOption>;
}

function byName(schema: Schema, known: KnownNames, name: "flag" | "yaml"): ByName {
  const index = <T extends { flag: string; yaml: string }>(options: readonly T[]): Map<string, T> =>
    new Map(options.filter((o) => o[name] !== "").map((o) => [o[name], o]));
  return {
    own: new Map(Object.entries(schema).map(([key, o]) => [o[name], { key, o }])),
    others: index(known.others),
    foreign: index(known.foreign),
  };
}

const namesOf = (by: ByName): Set<string> =>
  new Set([...by.own.keys(), ...by.others.keys(), ...by.foreign.keys()]);

/**
 * Loads the configuration: defaults, then YAML (`${ENV}` expanded only on request), then flags; later ones
 * win. `-flag` and `--flag` are the same. A name is an option of the schema or one of `known`; any other name
 * is an error with the nearest known name.
 * @throws `invalid` with a line for each option that is refused
 */
export function loadConfig<S extends Schema>(
  schema: S,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  known: KnownNames,
): LoadedConfig<S> {
  const flags = byName(schema, known, "flag"),
    keys = byName(schema, known, "yaml");
  const isBool = (flag: string): boolean =>
    (flags.own.get(flag)?.o ?? flags.others.get(flag) ?? flags.foreign.get(flag))?.kind === "bool";
  const args = parseArguments(argv, isBool);
  const settings = new Settings(schema, flags);

  if (args.file !== "") {
    const paths = namesOf(keys);
    for (const { path, value, where } of readFile(
      args.file,
      args.set.has("config.expand-env") ? env : undefined,
      paths,
    ))
      settings.decide(path, value, where, keys, () => {
        const sections = sectionsOf(paths);
        sections.delete("");
        return `${args.file}: unknown key ${path}${suggestion(path, keys.own.keys(), [...paths, ...sections])}`;
      });
    settings.endLayer();
  }
  const strict = known.flags === "schema";
  const ofFlags = strict
    ? { own: flags.own, others: new Map<string, never>(), foreign: new Map<string, never>() }
    : flags;
  const names = [...namesOf(ofFlags), ...PROGRAM_FLAGS];
  for (const { name, value } of args.flags)
    settings.decide(
      `-${name}`,
      value,
      `-${name}`,
      ofFlags,
      () => `unknown flag -${name}${suggestion(name, flags.own.keys(), names)}; see -help`,
    );

  const { decisions, values } = settings;
  const refused = decisions.filter((d) => d.is === "refused");
  const check = args.set.has("config.check");
  if (refused.length > 0 && !check)
    throw new CinderblockError("invalid", refused.map((d) => d.text).join("\n"));
  return {
    config: values as ConfigOf<S>,
    decisions,
    help: args.set.has("help-all") ? "all" : args.set.has("help") || args.set.has("h") ? "short" : undefined,
    version: args.set.has("version"),
    modules: args.set.has("modules"),
    check,
  };
}

/** Values of a schema, and the decisions on the names that set them. */
class Settings {
  readonly values: Record<string, unknown>;
  readonly decisions: Decision[] = [];
  /** option -> the name and the value that set it in the current layer: the file, or the flags */
  private layer = new Map<string, { name: string; value: unknown; mapped: boolean }>();

  private readonly flags: ByName;

  constructor(schema: Schema, flags: ByName) {
    this.flags = flags;
    this.values = Object.fromEntries(Object.entries(schema).map(([k, o]) => [k, o.initial]));
  }

  /** Lets later values replace those set so far, through whichever name. */
  endLayer(): void {
    this.layer = new Map();
  }

  /** Decides on one flag or key. @param unknown text of the error for a name that nothing declares */
  decide(name: string, value: unknown, where: string, by: ByName, unknown: () => string): void {
    const bare = name.replace(/^-/, "");
    try {
      const own = by.own.get(bare);
      if (own) return this.set(own, value, name, where, false);
      const other = by.others.get(bare);
      if (other) {
        // Lists and mappings of another component stay unchecked: this program does not have their rules.
        if (other.kind !== "yaml") parseValue({ ...other, initial: undefined, doc: "" }, value, where);
        this.add(name, "other component");
        return;
      }
      const foreign = by.foreign.get(bare);
      if (foreign) this.decideForeign(foreign, name, value, where);
      else this.add(name, "refused", unknown());
    } catch (err) {
      if (!(err instanceof CinderblockError) || err.kind !== "invalid") throw err;
      this.add(name, "refused", err.message);
    }
  }

  private decideForeign(o: ForeignOption, name: string, value: unknown, where: string): void {
    if (isDefault(o, value, where)) {
      this.add(name, "fits");
      return;
    }
    const { outcome } = o;
    if (outcome.is !== "mapped")
      this.add(
        name,
        outcome.is,
        outcome.is === "refused" ? `${where} is not supported: ${outcome.why}` : outcome.why,
      );
    else {
      const own = this.flags.own.get(outcome.to);
      if (own) this.set(own, value, name, where, true);
      else this.add(name, "other component");
    }
  }

  /** Sets an option; two names of one option must agree within a layer. @throws `invalid` */
  private set(
    { key, o }: { key: string; o: Option<unknown> },
    raw: unknown,
    name: string,
    where: string,
    mapped: boolean,
  ): void {
    const value = parseValue(o, raw, where);
    const before = this.layer.get(key);
    if (before && (before.mapped || mapped) && before.name !== name && before.value !== value)
      throw new CinderblockError(
        "invalid",
        `${where} and ${before.name} set the same option to different values; leave one out`,
      );
    this.layer.set(key, { name, value, mapped });
    this.values[key] = value;
    this.add(name, mapped ? "mapped" : "taken", mapped ? `-${o.flag}` : "");
  }

  private add(name: string, is: Decision["is"], text = ""): void {
    this.decisions.push({ name, is, text });
  }
}

function suggestion(name: string, preferred: Iterable<string>, others: Iterable<string>): string {
  const near = nearestName(name, preferred, others);
  return near === undefined ? "" : `; did you mean ${near}?`;
}
