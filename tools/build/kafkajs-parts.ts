import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "esbuild";

/** Replacements for parts of kafkajs: path of a part -> the module that replaces it. */
const PARTS: Record<string, readonly [filter: RegExp, code: string]> = {
  crc32c: [/\/crc32C$/, 'require("@cinderblock/bytes").crc32c'],
  encoder: [
    /\/encoder$/,
    'require("./libs/kafka/src/parts-encoder.ts").copyFreeEncoder(require("kafkajs/src/protocol/encoder.js"))',
  ],
  batch: [
    /\/recordBatch\/v0$/,
    'require("./libs/kafka/src/record-batch.ts").copyFreeRecordBatch(require("kafkajs/src/protocol/recordBatch/v0/index.js"), require("./libs/kafka/src/parts-encoder.ts").copyFreeEncoder(require("kafkajs/src/protocol/encoder.js")))',
  ],
  queue: [
    /\/requestQueue$/,
    'require("./libs/kafka/src/quiet-queue.ts").timerlessQueue(require("kafkajs/src/network/requestQueue/index.js"))',
  ],
  connection: [
    /\/connection$/,
    'require("./libs/kafka/src/frame-socket.ts").frameConnection(require("kafkajs/src/network/connection.js"))',
  ],
};

/** Functions of this repository that the code calls and no module exports: the call would fail at the start. */
function missingFunctions(root: string, code: string): string[] {
  return [...code.matchAll(/require\("(\.\/libs\/[^"]+)"\)\.(\w+)/g)]
    .filter(
      ([, file, name]) =>
        !new RegExp(`^export function ${name}\\b`, "m").test(readFileSync(join(root, file!), "utf8")),
    )
    .map(([, file, name]) => `${file} exports no function ${name}`);
}

/**
 * Replaces five parts of kafkajs. A distributor spent half of its time in two of them: our checksum takes
 * eight bytes at a time instead of one (libs/bytes), and our encoder does not copy a request at each of seven
 * levels (libs/kafka/src/parts-encoder.ts). The third part woke every connection a thousand times a second
 * (libs/kafka/src/quiet-queue.ts), the fourth copied each answer a second time
 * (libs/kafka/src/frame-socket.ts), the fifth joined a batch's records two more times
 * (libs/kafka/src/record-batch.ts).
 */
export function kafkajsParts(root: string): Plugin {
  return {
    name: "kafkajs-hot-parts",
    setup(b) {
      const replaced = new Set<string>();
      let bundled = false;
      for (const [path, [filter]] of Object.entries(PARTS))
        b.onResolve({ filter }, (args) => {
          if (!/kafkajs.src/.test(args.importer)) return undefined;
          bundled = true;
          return { path, namespace: "ours" };
        });
      b.onLoad({ filter: /./, namespace: "ours" }, ({ path }) => {
        replaced.add(path);
        const [, code] = PARTS[path]!;
        return {
          contents: `module.exports = ${code};`,
          resolveDir: root,
          errors: missingFunctions(root, code).map((text) => ({ text })),
        };
      });
      // With other paths in a new kafkajs, the bundle would keep the original parts, and only the cost would
      // show this.
      b.onEnd(() => ({
        errors: Object.keys(PARTS)
          .filter((p) => bundled && !replaced.has(p))
          .map((p) => ({
            text: `kafkajs's ${p} was not found, so that it is not replaced: its release has changed`,
          })),
      }));
    },
  };
}
