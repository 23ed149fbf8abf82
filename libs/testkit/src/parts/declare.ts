import { readFileSync } from "node:fs";
import { IN_JEST } from "../at-end.ts";
import { type PartId, PARTS, partState, withNeeds } from "./table.ts";

const declared = new Set<PartId>();

/**
 * Parts named as literals in `describeWith([…])` and `needs(…)`: the runner reads them without running the
 * suite.
 */
export function declaredIn(source: string): PartId[] {
  const found = new Set<PartId>();
  for (const [, list, args] of source.matchAll(/\bdescribeWith\(\s*\[([^\]]*)\]|\bneeds\(([^)]*)\)/g))
    for (const [, id] of (list ?? args)!.matchAll(/"([\w-]+)"/g)) if (id! in PARTS) found.add(id as PartId);
  return [...found];
}

/** List of parts for `describeWith`, where a table of cases names them. */
export function needs(...ids: PartId[]): readonly PartId[] {
  return ids;
}

/** Start of the reason in the title of a skipped group, for the reporter. */
const SKIPPED = "skipped: ";

/**
 * Group of tests that need real parts. If one is missing, Jest skips the group and shows the reason in its
 * title. In CI (`CI=true`) the group fails, except for parts that the project never installs.
 */
export function describeWith(ids: readonly PartId[], title: string, body: () => void): void {
  const all = withNeeds(ids);
  for (const id of all) declared.add(id);
  checkLiteral(ids);
  if (process.env.CINDERBLOCK_HERMETIC === "1" && ids.length > 0) {
    describe.skip(`${title} [${SKIPPED}needs ${ids.join(", ")}: npm run test:integration]`, body);
    return;
  }
  const lacking = ids.map(partState).filter((s) => !s.here),
    reasons = [...new Set(lacking.map((s) => s.reason))].join("; ");
  if (lacking.length === 0) describe(title, body);
  else if (process.env.CI === "true" && lacking.some((s) => !s.excused))
    describe(title, () => {
      it("has its parts, which CI=true asks for", () => {
        throw new Error(`missing ${reasons}`);
      });
    });
  else describe.skip(`${title} [${SKIPPED}${reasons}]`, body);
}

function checkLiteral(ids: readonly PartId[]): void {
  const { testPath } = expect.getState();
  const literal = new Set(testPath === undefined ? ids : declaredIn(readFileSync(testPath, "utf8")));
  for (const id of ids)
    if (!literal.has(id))
      throw new Error(
        `part "${id}" is no literal in describeWith([…]) or needs(…): the runner cannot see it`,
      );
}

/** Path of a part. A test must have declared the part. */
export function part(id: PartId): string {
  if (IN_JEST && !declared.has(id))
    throw new Error(`the suite uses the part "${id}" and does not declare it in describeWith(["${id}"], …)`);
  const state = partState(id);
  if (!state.here)
    throw new Error(`missing ${state.reason} (npm run test:integration -- --install --only ${id})`);
  return state.path;
}
