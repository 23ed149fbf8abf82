// node:fs for tests; tools/jest/transform.ts writes the text of this module.
export * from "node:fs";
