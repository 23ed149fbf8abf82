export { bool, duration, float, formatDuration, int, parseDuration, secret, str, yaml } from "./option.ts";
export type { ConfigOf, Option, Schema } from "./option.ts";
export { parseYaml, stringifyYaml } from "./yaml.ts";
export { formatValue, parseValue } from "./option.ts";
export { helpText, loadConfig, markdown, toYaml } from "./load.ts";
export type { AcceptedKeys, LoadedConfig } from "./load.ts";
