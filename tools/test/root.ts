import { join } from "node:path";

/** Root of the checkout, and the Node that `npm ci` brings: tests and programs run on it, whatever Node the machine has. */
export const ROOT = join(import.meta.dirname, "../.."),
  NODE = join(ROOT, "node_modules/node/bin/node");
