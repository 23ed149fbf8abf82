// Writes the files that follow from the schema: the reference of configuration, the page on Pyroscope's options,
// and the names of all options for the programs of single components; --check compares instead.
import { schema } from "@cinderblock/cinderblock/config";
import { markdown } from "@cinderblock/config";
import { ownOptionLines } from "@cinderblock/runtime";
import { generated } from "./generated.ts";
import { v1OptionsPage } from "./v1-options-page.ts";

generated(
  {
    "docs/reference/configuration.md": markdown(schema),
    "docs/reference/v1-options.md": v1OptionsPage(Object.values(schema)),
    "libs/runtime/src/v1/own-options.ts": `/**
 * Options of all components, made by tools/gen-docs.ts from their schemas. One option a line: flag, YAML key,
 * type, "list" for a comma-separated list, minimum, choices ("-": any value).
 */
export const OWN_OPTIONS = \`
${ownOptionLines(Object.values(schema))}
\`;
`,
  },
  "the schema",
);
