import { decisionsText, loadConfig, type Option, type Schema } from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { commonSchema, knownNames, optionsOfAllComponents } from "@cinderblock/runtime";
import type { CommandContext } from "./context.ts";

/** Options of all components. A component's own rules for lists and mappings apply only in the component. */
const serverSchema: Schema = Object.fromEntries([
  ...optionsOfAllComponents.map((o): [string, Option<unknown>] => [
    o.flag,
    { ...o, initial: undefined, doc: "", parse: (value) => value },
  ]),
  ...Object.values(commonSchema as Schema).map((o): [string, Option<unknown>] => [o.flag, o]),
]);

/** Prints what becomes of each key of a server's configuration file. @returns 1 if a key is refused */
export async function checkConfig(c: CommandContext): Promise<number> {
  if (c.args.length === 0) throw new CinderblockError("invalid", "name a configuration file");
  let refused = 0;
  for (const file of c.args) {
    const { decisions } = loadConfig(
      serverSchema,
      [`-config.file=${file}`, "-config.check"],
      process.env,
      knownNames,
    );
    if (c.args.length > 1) c.out.write(`${file}\n`);
    c.out.write(decisionsText(decisions));
    refused += decisions.filter((d) => d.is === "refused").length;
  }
  return refused === 0 ? 0 : 1;
}
