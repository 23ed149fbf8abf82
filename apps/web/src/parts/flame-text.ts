import {
  CUT_OFF_NAME,
  cutOffText,
  type Flame,
  formatShare,
  formatValue,
  levelOf,
  type ValueUnit,
} from "@cinderblock/flame";
import { changeTexts, type ComparisonFigures } from "../state/compare.ts";

/** Unit and whole that the figures of a box refer to. */
interface BoxFigures {
  unit: ValueUnit;
  /** total of the whole selection */
  all: number;
  compared: ComparisonFigures;
}

/** Figures after the name in a box: total and share, or change and factor. */
export function figuresOfBox(flame: Flame, b: number, { unit, all, compared }: BoxFigures): string {
  if (flame.baseTotal) {
    const c = changeTexts(flame.total[b]!, flame.baseTotal[b]!, compared);
    return `${c.delta} · ${c.factor}`;
  }
  return `${formatValue(flame.total[b]!, unit)} · ${formatShare(all > 0 ? flame.total[b]! / all : 0)}`;
}

/** Sentence of a box for screen readers. */
export function describeBox(flame: Flame, b: number, { unit, all, compared }: BoxFigures): string {
  if (flame.name[b] === CUT_OFF_NAME) return cutOffText(flame, b);
  const parent = flame.parent[b]!,
    siblings = b === 0 ? 1 : flame.children[parent]!,
    k = b === 0 ? 1 : b - flame.firstChild[parent]! + 1;
  const c = flame.baseTotal && changeTexts(flame.total[b]!, flame.baseTotal[b]!, compared),
    compare = c
      ? `, baseline ${formatValue(flame.baseTotal![b]!, compared.baseUnit)}, Δ ${c.delta}, ${c.factor}`
      : "";
  return `${b === 0 ? "total" : flame.names[flame.name[b]!]!}: total ${formatValue(flame.total[b]!, unit)}, ${formatShare(all > 0 ? flame.total[b]! / all : 0)}, self ${formatValue(flame.self[b]!, unit)}${compare}, level ${levelOf(flame, b)}, ${k} of ${siblings}`;
}

/** Most outlined boxes of the selected function. */
const MAX_OUTLINES = 2000;

/** Boxes of a function, in level order. */
export function boxesOf(flame: Flame, name: string): number[] {
  const id = name === "" ? -1 : flame.names.indexOf(name),
    boxes: number[] = [];
  for (let b = 1; id >= 0 && b < flame.name.length && boxes.length < MAX_OUTLINES; b++)
    if (flame.name[b] === id) boxes.push(b);
  return boxes;
}
