export { readProfileFile } from "./read.ts";
export type { FileProfile } from "./read.ts";
