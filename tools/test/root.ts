import { join } from "node:path";

/**
 * Root of the checkout, and the Node of `npm ci`, on which tests and programs run instead of the machine's
 * Node.
 */
export const ROOT = join(import.meta.dirname, "../.."),
  NODE = join(ROOT, "node_modules/node/bin/node");

/** Node's compile cache for the built programs, below an ignored path: it makes a start a third cheaper. */
export const CODE_CACHE = join(ROOT, "dist/code-cache");
