// The table of real parts for the test runner; tests use `describeWith` and `part`.
export { declaredIn } from "./declare.ts";
export { describeInstall, installParts } from "./install.ts";
export { PARTS_FOLDER } from "./part.ts";
export type { Part } from "./part.ts";
export { PART_IDS, PARTS, partState, withNeeds } from "./table.ts";
export type { PartId } from "./table.ts";
