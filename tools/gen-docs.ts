// Writes the files that follow from the schema: the reference of configuration, the page on Pyroscope's options,
// the names of all options for the programs of single components, and the chart's list of YAML keys that only some
// components read; --check compares instead.
import { components, schema } from "@cinderblock/cinderblock/config";
import { configurationPage } from "@cinderblock/config";
import { ownOptionLines } from "@cinderblock/runtime";
import { generated } from "./generated.ts";
import { v1OptionsPage } from "./v1-options-page.ts";

/** YAML key -> names of the components that read it, without the keys that all of them read. */
const readers: Record<string, string[]> = {};
for (const { yaml } of Object.values(schema)) {
  const names = components
    .filter((c) => Object.values<{ yaml: string }>(c.schema).some((o) => o.yaml === yaml))
    .map((c) => c.name);
  if (names.length > 0 && names.length < components.length) readers[yaml] = names.sort();
}

generated(
  {
    "docs/reference/configuration.md": configurationPage(schema),
    "docs/reference/v1-options.md": v1OptionsPage(Object.values(schema)),
    "libs/runtime/src/v1/own-options.ts": `/**
 * Options of all components, made by tools/gen-docs.ts from their schemas. One option a line: flag, YAML key,
 * type, "list" for a comma-separated list, minimum, choices ("-": any value).
 */
export const OWN_OPTIONS = \`
${ownOptionLines(Object.values(schema))}
\`;
`,
    "charts/cinderblock/config-readers.json": `${JSON.stringify(Object.fromEntries(Object.entries(readers).sort()), null, 2)}\n`,
  },
  "the schema",
);
