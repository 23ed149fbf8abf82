import { type Pace, UNPACED } from "@cinderblock/async";
import type { FlameIndex } from "@cinderblock/block";
import { textFilter } from "@cinderblock/model";
import type { SymbolTables } from "@cinderblock/symdb";

/**
 * Selection and display of stacks, by complete function names. In all lists except `callSite`, entries
 * between slashes are regular expressions (RE2, case-insensitive).
 */
export interface StackFilter {
  /** stacks that begin with these functions, root first */
  callSite: readonly string[];
  /** stacks that contain each of these functions */
  only: readonly string[];
  /** stacks that contain no such function */
  without: readonly string[];
  /** functions that are merged into their callers */
  hide: readonly string[];
}

/** Verdicts of a filter on a name: hide its functions, or drop their stacks. */
export const HIDDEN = 1;
const GONE = 2;

/**
 * Matcher of a filter entry: a complete name, or a pattern between slashes.
 * @throws `invalid` for an invalid pattern
 */
function matcher(entry: string): { bytes: Buffer } | { found: (name: string) => boolean } {
  return /^\/.+\/$/s.test(entry) ? { found: textFilter(entry) } : { bytes: Buffer.from(entry) };
}

/** Shape of a call tree: parents precede their children. */
interface NamedTree {
  nameBytes: Uint8Array;
  nameOffset: Uint32Array;
  parent: Int32Array;
  name: Uint32Array;
}

/** Verdicts of a filter on each name of a tree; `only` has one bit per entry. */
export interface NameVerdicts {
  said: Uint8Array;
  only: Uint32Array;
  entries: number;
}

/** Names to match between two checks of the clock. */
export const NAMES_BETWEEN_CHECKS = 256;
/** Length in bytes from which a regular expression may take a millisecond per name. */
export const LONG_NAME_BYTES = 200;

/** Applies a filter to each name of a tree. */
export async function nameVerdicts(t: NamedTree, f: StackFilter, pace: Pace): Promise<NameVerdicts> {
  const n = t.nameOffset.length - 1,
    out = { said: new Uint8Array(n), only: new Uint32Array(n), entries: new Set(f.only).size };
  const of = (
    list: readonly string[],
    mark: (name: number, entry: number) => void,
  ): { m: ReturnType<typeof matcher>; mark: (name: number) => void }[] =>
    [...new Set(list)].map((e, k) => ({
      m: matcher(e),
      mark: (name) => {
        mark(name, k);
      },
    }));
  const all = [
    ...of(f.hide, (i) => {
      out.said[i]! |= HIDDEN;
    }),
    ...of(f.without, (i) => {
      out.said[i]! |= GONE;
    }),
    ...of(f.only, (i, bit) => {
      out.only[i]! |= 1 << bit;
    }),
  ];
  if (all.length === 0) return out;
  const decoder = new TextDecoder(),
    patterns = all.some(({ m }) => "found" in m);
  for (let i = 1; i < n; i++) {
    const from = t.nameOffset[i]!,
      to = t.nameOffset[i + 1]!;
    if ((i % NAMES_BETWEEN_CHECKS === 0 || (patterns && to - from > LONG_NAME_BYTES)) && pace.due())
      await pace.next();
    const text = patterns ? decoder.decode(t.nameBytes.subarray(from, to)) : "";
    for (const { m, mark } of all)
      if (
        "found" in m
          ? m.found(text)
          : m.bytes.length === to - from && m.bytes.equals(t.nameBytes.subarray(from, to))
      )
        mark(i);
  }
  return out;
}

/** node -> 1 if the filter accepts its stack. */
export function acceptedNodes(t: NamedTree, f: StackFilter, names: NameVerdicts): Uint8Array {
  const n = t.parent.length,
    { said, only, entries } = names,
    callSite = f.callSite.map((s) => Buffer.from(s)),
    site = callSite.length;
  const isNamed = (name: number, as: Buffer): boolean =>
    Buffer.compare(t.nameBytes.subarray(t.nameOffset[name]!, t.nameOffset[name + 1]!), as) === 0;
  const every = (entries === 0 ? 0 : entries === 32 ? 0xffffffff : (1 << entries) - 1) >>> 0;
  // node -> number of call site functions that its stack begins with; bits of the `only` entries in its stack
  const begun = new Int32Array(n),
    bits = new Uint32Array(n),
    gone = new Uint8Array(n),
    depth = new Int32Array(n),
    counts = new Uint8Array(n);
  counts[0] = site === 0 && every === 0 ? 1 : 0;
  for (let i = 1; i < n; i++) {
    const p = t.parent[i]!,
      own = t.name[i]!;
    depth[i] = depth[p]! + 1;
    begun[i] =
      begun[p]! === site || (begun[p]! === depth[p]! && isNamed(own, callSite[depth[p]!]!))
        ? Math.min(site, begun[p]! + 1)
        : begun[p]!;
    bits[i] = bits[p]! | only[own]!;
    gone[i] = gone[p]! | (said[own]! & GONE);
    counts[i] = gone[i] === 0 && begun[i] === site && (bits[i]! & every) >>> 0 === every ? 1 : 0;
  }
  return counts;
}

/** Filter with only a call site. */
export function callSiteFilter(callSite: readonly string[]): StackFilter {
  return { callSite, only: [], without: [], hide: [] };
}

/**
 * Predicate for the stack nodes of a symbol partition that a filter accepts.
 * @param flame flame index of the same tables
 */
export async function stackPredicate(
  tables: SymbolTables,
  flame: FlameIndex,
  f: StackFilter,
  pace = UNPACED,
): Promise<(stackNode: number) => boolean> {
  // A head grows during the awaits: use its nodes and names as of now.
  const parent = flame.parent.view(),
    name = flame.name.view(),
    tree = { nameBytes: tables.stringBytes, nameOffset: tables.stringOffset, parent, name };
  const counts = acceptedNodes(tree, f, await nameVerdicts(tree, f, pace)),
    ofStack = flame.ofStack.data;
  return (node) => counts[ofStack[node]!] === 1;
}
