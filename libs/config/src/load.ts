import { readFileSync } from "node:fs";
import { isMap, isNode, isScalar, parseDocument, stringify } from "yaml";
import { CinderblockError } from "@cinderblock/errors";
import { type ConfigOf, formatValue, type Option, parseValue, type Schema } from "./option.ts";

/** Flags and YAML sections of v1 that are accepted and have no effect here. */
export interface AcceptedKeys {
  flags: readonly RegExp[];
  yaml: readonly RegExp[];
}

/** Loaded configuration, with warnings for the log. */
export interface LoadedConfig<S extends Schema> {
  config: ConfigOf<S>;
  /** accepted flags and keys without effect here */
  warnings: string[];
  help: "short" | "all" | undefined;
  version: boolean;
  modules: boolean;
}

/**
 * Loads the configuration: defaults, then YAML (`${ENV}` expanded only on request), then flags; later ones
 * win. `-flag` and `--flag` are the same.
 * @throws `invalid`
 */
export function loadConfig<S extends Schema>(
  schema: S,
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  accepted: AcceptedKeys,
): LoadedConfig<S> {
  const byFlag = new Map(Object.entries(schema).map(([key, o]) => [o.flag, { key, o }]));
  const byYaml = new Map(Object.entries(schema).map(([key, o]) => [o.yaml, { key, o }]));
  const values: Record<string, unknown> = Object.fromEntries(
    Object.entries(schema).map(([k, o]) => [k, o.initial]),
  );
  const out: LoadedConfig<S> = {
    config: values as ConfigOf<S>,
    warnings: [],
    help: undefined,
    version: false,
    modules: false,
  };

  const flags: { name: string; value: string }[] = [];
  let file = "",
    expand = false;
  for (let i = 0; i < argv.length; i++) {
    const m = /^--?([^=\s]+)(?:=(.*))?$/s.exec(argv[i]!);
    if (!m)
      throw new CinderblockError(
        "invalid",
        `unexpected argument ${JSON.stringify(argv[i])}; write flags as -name=value`,
      );
    const name = m[1]!;
    if (name === "h" || name === "help") {
      out.help = "short";
      continue;
    }
    if (name === "help-all") {
      out.help = "all";
      continue;
    }
    if (name === "version") {
      out.version = true;
      continue;
    }
    if (name === "modules") {
      out.modules = true;
      continue;
    }
    const known = byFlag.get(name);
    const isBool = known ? known.o.kind === "bool" : name === "config.expand-env";
    const value = m[2] ?? (isBool ? "true" : argv[++i]);
    if (value === undefined) throw new CinderblockError("invalid", `flag -${name} needs a value`);
    if (name === "config.file") {
      file = value;
      continue;
    }
    if (name === "config.expand-env") {
      expand = value === "true";
      continue;
    }
    flags.push({ name, value });
  }

  if (file !== "") {
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (err) {
      throw new CinderblockError("invalid", `-config.file: ${(err as Error).message}`, { cause: err });
    }
    if (expand) text = expandEnv(text, env);
    const doc = parseDocument(text);
    if (doc.errors.length > 0) throw new CinderblockError("invalid", `${file}: ${doc.errors[0]!.message}`);
    const sections = new Set(
      [...byYaml.keys()].flatMap((p) => p.split(".").map((_, i, all) => all.slice(0, i).join("."))),
    );
    const walk = (node: unknown, path: string): void => {
      if (isMap(node) && (path === "" || sections.has(path))) {
        for (const pair of node.items) {
          const key = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
          walk(pair.value, path === "" ? key : `${path}.${key}`);
        }
        return;
      }
      const known = byYaml.get(path);
      if (known) {
        values[known.key] = parseValue(
          known.o,
          isScalar(node)
            ? node.value
            : (known.o.kind === "yaml" || known.o.list) && isNode(node)
              ? node.toJS(doc)
              : node,
          `${file}: ${path}`,
        );
        return;
      }
      if (accepted.yaml.some((r) => r.test(path)) && !isMistyped(path, [...byYaml.keys()])) {
        out.warnings.push(path);
        return;
      }
      if (path === "" || (sections.has(path) && (node === null || (isScalar(node) && node.value === null))))
        return;
      throw new CinderblockError(
        "invalid",
        `${file}: unknown key ${path}${suggestion(path, [...byYaml.keys()])}`,
      );
    };
    walk(doc.contents, "");
  }
  for (const { name, value } of flags) {
    const known = byFlag.get(name);
    if (known) {
      values[known.key] = parseValue(known.o, value, `-${name}`);
      continue;
    }
    if (accepted.flags.some((r) => r.test(name)) && !isMistyped(name, [...byFlag.keys()])) {
      out.warnings.push(`-${name}`);
      continue;
    }
    throw new CinderblockError(
      "invalid",
      `unknown flag -${name}${suggestion(name, [...byFlag.keys()])}; see -help`,
    );
  }
  return out;
}

function expandEnv(text: string, env: NodeJS.ProcessEnv): string {
  return text.replace(
    /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}/g,
    (_, name: string, otherwise: string | undefined) => env[name] ?? otherwise ?? "",
  );
}

function suggestion(name: string, known: readonly string[]): string {
  let best = "",
    score = Math.max(3, name.length / 3);
  for (const k of known) {
    const d = distance(name, k);
    if (d < score) {
      score = d;
      best = k;
    }
  }
  return best === "" ? "" : `; did you mean ${best}?`;
}

/**
 * Whether a name is within two edits of a known name. No other flag of v1 is that close; a test checks that.
 */
function isMistyped(name: string, known: readonly string[]): boolean {
  return (
    name.length > 8 && known.some((k) => Math.abs(k.length - name.length) <= 2 && distance(name, k) <= 2)
  );
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}

/** The configuration as YAML; `only` selects all values or only changed ones. Secrets are masked. */
export function toYaml<S extends Schema>(schema: S, config: ConfigOf<S>, only: "all" | "changed"): string {
  const tree: Record<string, unknown> = {};
  for (const [key, o] of Object.entries(schema)) {
    const value = config[key as keyof S];
    if (only === "changed" && value === o.initial) continue;
    const path = o.yaml.split(".");
    let at = tree;
    for (const p of path.slice(0, -1)) at = (at[p] ??= {}) as Record<string, unknown>;
    at[path.at(-1)!] = o.kind === "duration" || o.kind === "secret" ? formatValue(o, value) : value;
  }
  return stringify(tree);
}

function typeName(o: Option<unknown>): string {
  return o.kind === "secret" ? "string" : o.kind;
}

/** Sentence with the valid values of an option, after its doc; empty without choices. */
function choicesText(o: Option<unknown>): string {
  return o.choices ? ` One of ${o.choices.map((c) => (c === "" ? '""' : c)).join(", ")}.` : "";
}

/** Text of -help. */
export function helpText(schema: Schema, program: string): string {
  const lines = Object.values(schema)
    .sort((a, b) => (a.flag < b.flag ? -1 : 1))
    .map(
      (o) =>
        `  -${o.flag} ${typeName(o)}\n    \t${o.doc}${choicesText(o)} (default ${JSON.stringify(formatValue(o, o.initial))})`,
    );
  return `Usage of ${program}:\n  -config.file string\n    \tYAML configuration file; flags override its values.\n  -config.expand-env\n    \tExpand \${VAR} and \${VAR:default} in the configuration file. (default "false")\n${lines.join("\n")}\n`;
}

/** Content of docs/reference/configuration.md. */
export function markdown(schema: Schema): string {
  const rows = Object.values(schema)
    .sort((a, b) => (a.flag < b.flag ? -1 : 1))
    .map(
      (o) =>
        `| \`-${o.flag}\` | \`${o.yaml}\` | ${typeName(o)} | \`${formatValue(o, o.initial) || '""'}\` | ${o.doc.replaceAll("|", "\\|")}${choicesText(o)} |`,
    );
  return `# Configuration\n\nGenerated by \`npm run gen\` from the schemas: \`libs/runtime/src/config.ts\` and the \`config.ts\` of each component. Do not edit.\n\nPrecedence: default, then the YAML file (\`-config.file\`), then flags. \`\${VAR}\` and \`\${VAR:default}\` are expanded in the file only with \`-config.expand-env\`. Flags and keys of Pyroscope v1 without a meaning in Cinderblock (memberlist, consul, etcd, components that do not exist yet) are accepted with a warning at startup.\n\n| flag | YAML | type | default | meaning |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
}
