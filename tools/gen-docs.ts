// Writes docs/reference/configuration.md from the schema; --check compares instead.
import { schema } from "@cinderblock/cinderblock/config";
import { markdown } from "@cinderblock/config";
import { generated } from "./generated.ts";

generated({ "docs/reference/configuration.md": markdown(schema) }, "the schema");
