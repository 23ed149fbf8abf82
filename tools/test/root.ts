import { join } from "node:path";

/** Root of the checkout, and the Node that `npm ci` brings: tests and programs run on it, whatever Node the machine has. */
export const ROOT = join(import.meta.dirname, "../.."),
  NODE = join(ROOT, "node_modules/node/bin/node");

/** Node's cache of compiled code of the built programs, below an ignored path: a start costs a third less. */
export const CODE_CACHE = join(ROOT, "dist/code-cache");
