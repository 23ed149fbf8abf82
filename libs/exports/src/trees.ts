import { CinderblockError } from "@cinderblock/errors";
import {
  type CallTree,
  decodeCallTree,
  layoutFlame,
  toFirefox,
  toFolded,
  toFoldedDiff,
  toHtml,
  toSpeedscope,
  toSvg,
  type Unit,
} from "@cinderblock/flame";
import { encodeCallTree, type ComparisonTree } from "@cinderblock/query";
import type { TreeFormat } from "./formats.ts";

/** Maximum calls in a picture, which keeps the largest calls and reports omissions. */
const DRAWN = 100_000;
/** Maximum size of a text export, which is encoded in one buffer. */
const MAX_TEXT_BYTES = 256 << 20;

/**
 * Checks the size of a tree's stacks as text, before a byte is written: each stack with values repeats all
 * its names.
 * @throws CinderblockError `limit` if the text exceeds `max` characters
 */
function checkText(t: CallTree, max: number): void {
  const path = new Float64Array(t.parent.length);
  let bytes = 0;
  for (let i = 1; i < path.length; i++) {
    path[i] = path[t.parent[i]!]! + t.names[t.name[i]!]!.length + 1;
    if (t.self[i]! + t.folded[i]! > 0 || (t.base && t.base.self[i]! + t.base.folded[i]! > 0))
      bytes += path[i]!;
  }
  if (bytes > max)
    throw new CinderblockError(
      "limit",
      `the stacks are ${Math.round(bytes / 1e6)} MB of text; the limit is ${Math.round(max / 1e6)} MB: choose a shorter time range or a narrower selector, or format=pprof, which stores each function name once`,
    );
}

/**
 * Exports a call tree, or two for comparison. Text formats are complete; pictures have the largest calls and
 * report omissions.
 * @param title name of the export in the formats that have one
 * @param atMs time for the Firefox format, in milliseconds since 1970
 * @returns UTF-8 bytes
 * @throws CinderblockError `limit` for stacks of more than `maxTextBytes`
 */
export function exportTree(
  trees: ComparisonTree,
  format: TreeFormat,
  title: string,
  unit: Unit,
  atMs: number,
  maxTextBytes = MAX_TEXT_BYTES,
): Uint8Array {
  const t = decodeCallTree(encodeCallTree(trees, format === "svg" || format === "html" ? DRAWN : 0));
  if (format === "folded" || format === "speedscope") checkText(t, maxTextBytes);
  switch (format) {
    case "folded":
      return Buffer.from(t.base ? toFoldedDiff(t) : toFolded(t));
    case "speedscope":
      return Buffer.from(toSpeedscope(t, title, unit));
    case "firefox":
      return Buffer.from(toFirefox(t, title, unit, atMs));
    case "svg":
      return Buffer.from(toSvg(layoutFlame(t), title, unit));
    case "html":
      return Buffer.from(toHtml(layoutFlame(t), title, unit));
  }
}
