import { readFileSync } from "node:fs";
import * as nodeFs from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

interface Transformer {
  process(source: string, path: string, options: object): { code: string };
  getCacheKey(source: string, path: string, options: object): string;
}

const { createTransformer } = createRequire(import.meta.url)("@swc/jest") as {
  createTransformer(options: object): Transformer;
};
const swc = createTransformer({
  jsc: { parser: { syntax: "typescript" }, target: "es2024" },
  module: { type: "es6" },
});
const LIVE_FS = join(import.meta.dirname, "live-fs.ts");
const self = readFileSync(import.meta.filename, "utf8");

/**
 * The text of a module with the exports of node:fs, as functions that look up the real function at each call.
 * An ES module binds imported names at load time, so without this module `jest.spyOn(fs, "writeSync")` would
 * have no effect.
 */
function liveFs(): string {
  const names = Object.keys(nodeFs).filter((n) => n !== "default");
  return `const fs = process.getBuiltinModule("node:fs");
export default fs;
const live = (name) => {
  const real = fs[name];
  if (typeof real !== "function" || /^[A-Z_]/.test(name)) return real;
  const { length, name: own, prototype, ...rest } = Object.getOwnPropertyDescriptors(real);
  return Object.defineProperties((...args) => fs[name](...args), rest);
};
${names.map((n) => `export const ${n} = live("${n}");`).join("\n")}
`;
}

/** TypeScript to ES modules by swc; node:fs becomes the module above. */
const transformer: Transformer = {
  process(source, path, options) {
    if (path === LIVE_FS) return { code: liveFs() };
    const out = swc.process(source, path, options);
    return { ...out, code: out.code.replaceAll(/\bfrom "node:fs";/g, `from ${JSON.stringify(LIVE_FS)};`) };
  },
  getCacheKey: (source, path, options) => swc.getCacheKey(source + self, path, options),
};
export default transformer;
