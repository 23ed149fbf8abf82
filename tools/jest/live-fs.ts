// node:fs as tests see it; tools/jest/transform.ts writes the text of this module.
export * from "node:fs";
