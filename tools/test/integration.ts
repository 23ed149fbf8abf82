/**
 * `npm run test:integration`: all suites that need a real part (docs/contributing/testing.md). Installs parts
 * only with --install or CI=true. A missing part skips its suites by name; in CI it fails them.
 */
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import {
  describeInstall,
  installParts,
  PART_IDS,
  type PartId,
  PARTS,
  partState,
} from "@cinderblock/testkit/parts";
import { changedSuites } from "./changed.ts";
import { type JestResult, runJest } from "./jest.ts";
import { writeReport } from "./report.ts";
import { NODE, ROOT } from "./root.ts";
import { Session } from "./session.ts";
import { partsOf, type Suite, SUITES, unitTests } from "./suites.ts";
import { add, fail } from "./totals.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    install: { type: "boolean", default: process.env.CI === "true" },
    "install-only": { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    changed: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  },
});

/** Factor of the budget at which a suite fails on any machine; above its budget, a suite is only reported. */
const MARGIN = 3,
  /** Seconds on top of the margin before a suite counts as hanging. */
  GRACE_S = 120;

/** Suites whose name contains the word, and suites that need the part of that name. */
function named(word: string): Suite[] {
  const found = SUITES.filter((s) => s.file.includes(word) || partsOf(s).includes(word as PartId));
  if (found.length === 0) throw new Error(`--only ${word}: no suite and no part has that name`);
  return found;
}

async function chosen(): Promise<Suite[]> {
  const files = positionals.flatMap((p) => {
    const path = relative(ROOT, resolve(p)),
      found = SUITES.filter((s) => s.file === path || s.file.startsWith(`${path}.`));
    if (found.length === 0) throw new Error(`${p}: no such suite (tools/test/suites.ts has them)`);
    return found;
  });
  if (files.length + flags.only.length > 0) {
    const wanted = new Set([...files, ...flags.only.flatMap(named)]);
    return SUITES.filter((s) => wanted.has(s));
  }
  // Suites without a part ran in `npm test`.
  const all = SUITES.filter((s) => (flags.long || !s.long) && (flags.long || partsOf(s).length > 0));
  return flags.changed ? changedSuites(all) : all;
}

function list(): void {
  for (const id of PART_IDS) {
    const { what, version, install } = PARTS[id],
      state = partState(id),
      suites = SUITES.filter((s) => partsOf(s).includes(id)).map((s) => s.file);
    console.log(`${state.here ? "here   " : "missing"} ${id}: ${what}, version ${version}`);
    if (!state.here) console.log(`        ${state.reason}`);
    console.log(
      `        installed by: ${install === undefined ? "nobody; name it in the environment" : describeInstall(install)}`,
    );
    console.log(`        suites: ${suites.join(", ") || "none; other parts need it"}`);
  }
}

async function install(session: Session, suites: readonly Suite[]): Promise<void> {
  const failed = await installParts([...new Set(suites.flatMap(partsOf))], (line) => console.log(line));
  for (const [id, why] of failed) fail(session.totals, `the part ${id} could not be installed: ${why}`);
}

async function runSuite(session: Session, suite: Suite, seconds: Map<string, number>): Promise<void> {
  const limit = flags.long ? 4 * 3600 : suite.budget * MARGIN + GRACE_S;
  const { totals, files } = await runJest({
    config: join(ROOT, "jest.e2e.config.mjs"),
    files: [suite.file],
    workers: 1,
    deadline: () => limit,
    folder: session.folder,
    run: (options) => session.run(options),
  });
  add(session.totals, totals);
  const took = files[0]?.seconds ?? 0;
  seconds.set(suite.file, took);
  if (flags.long || took <= suite.budget) return;
  console.log(`     ${suite.file} took ${took.toFixed(0)} s of its budget of ${suite.budget} s`);
  if (took > suite.budget * MARGIN)
    fail(
      session.totals,
      `${suite.file} took ${took.toFixed(0)} s, over ${MARGIN} times its budget of ${suite.budget} s`,
    );
}

/** Runs suites two at a time, then the suites that must run alone, one after another. */
async function runAll(session: Session, suites: readonly Suite[]): Promise<Map<string, number>> {
  const seconds = new Map<string, number>(),
    queue = suites.filter((s) => !s.alone).sort((a, b) => b.budget - a.budget);
  const lane = async (): Promise<void> => {
    for (let s = queue.shift(); s !== undefined; s = queue.shift()) await runSuite(session, s, seconds);
  };
  await Promise.all([lane(), lane()]);
  for (const s of suites.filter((x) => x.alone)) await runSuite(session, s, seconds);
  return seconds;
}

/** Unit tests with large numbers of mutated inputs. */
async function runUnitTests(session: Session): Promise<JestResult["files"]> {
  const { totals, files } = await runJest({
    config: join(ROOT, "jest.config.mjs"),
    files: unitTests(),
    workers: 2,
    deadline: () => 1800,
    folder: session.folder,
    run: (options) => session.run(options),
  });
  add(session.totals, totals);
  return files;
}

if (flags.list) {
  list();
  process.exit(0);
}
const suites = await chosen();
const session = new Session(flags.long ? 3 * 3600_000 : 80 * 60_000, () => ({
  CINDERBLOCK_HERMETIC: "",
  CINDERBLOCK_LONG: flags.long ? "1" : "",
}));
if (flags.install || flags["install-only"]) await install(session, suites);
if (flags["install-only"]) session.finish();
const stale = !existsSync(join(ROOT, "dist/cinderblock/main.mjs"));
if (
  await session.check(stale ? "build" : "build, where it is stale", [
    NODE,
    "tools/build/main.ts",
    "--if-stale",
  ])
) {
  const seconds = await runAll(session, suites);
  if (flags.long) {
    for (const f of await runUnitTests(session)) seconds.set(f.file, f.seconds);
    writeReport(session.totals, session.seconds / 60, seconds);
  }
}
session.finish();
