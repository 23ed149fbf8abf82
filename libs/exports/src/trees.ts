import { decodeCallTree, layout, toFirefox, toFolded, toFoldedDiff, toHtml, toSpeedscope, toSvg, type Unit } from "@cinderblock/flame";
import { encodeCallTree, type TwoTrees } from "@cinderblock/query";
import type { TreeFormat } from "./formats.ts";

/** A call tree, or two side by side, whole: nothing is folded into `other`. */
export function exportTree(trees: TwoTrees, format: TreeFormat, title: string, unit: Unit, atMs: number): Uint8Array {
  const t = decodeCallTree(encodeCallTree(trees, 0));
  switch (format) {
    case "folded": return Buffer.from(t.base ? toFoldedDiff(t) : toFolded(t));
    case "speedscope": return Buffer.from(toSpeedscope(t, title, unit));
    case "firefox": return Buffer.from(toFirefox(t, title, unit, atMs));
    case "svg": return Buffer.from(toSvg(layout(t), title, unit));
    case "html": return Buffer.from(toHtml(layout(t), title, unit));
  }
}
