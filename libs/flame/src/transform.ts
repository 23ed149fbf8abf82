import type { CallTree } from "./call-tree.ts";

/** A tree under construction: equal name paths share a node. */
class Growing {
  readonly parent: number[] = [0];
  readonly name: number[] = [0];
  readonly self: number[] = [0];
  readonly folded: number[] = [0];
  readonly count: number[] = [0];
  readonly baseSelf: number[] = [0];
  readonly baseFolded: number[] = [0];
  private readonly children = new Map<number, number>();

  child(parent: number, name: number): number {
    const key = parent * 0x200000 + name;
    const known = this.children.get(key);
    if (known !== undefined) return known;
    const node = this.parent.length;
    this.children.set(key, node);
    this.parent.push(parent);
    this.name.push(name);
    this.self.push(0);
    this.folded.push(0);
    this.count.push(0);
    this.baseSelf.push(0);
    this.baseFolded.push(0);
    return node;
  }

  finish(t: CallTree): CallTree {
    return {
      names: t.names,
      parent: Uint32Array.from(this.parent),
      name: Uint32Array.from(this.name),
      self: Float64Array.from(this.self),
      folded: Float64Array.from(this.folded),
      foldedCount: Uint32Array.from(this.count),
      base: t.base && {
        self: Float64Array.from(this.baseSelf),
        folded: Float64Array.from(this.baseFolded),
        total: t.base.total,
      },
      total: t.total,
      nodes: this.parent.length,
    };
  }
}

/** Merges direct recursion: a function that calls itself becomes one box. */
export function collapseRecursion(t: CallTree): CallTree {
  const g = new Growing(),
    map = new Uint32Array(t.parent.length);
  for (let i = 0; i < t.parent.length; i++) {
    const p = t.parent[i]!;
    const node = i === 0 ? 0 : t.name[i] === t.name[p]! && p !== 0 ? map[p]! : g.child(map[p]!, t.name[i]!);
    map[i] = node;
    g.self[node]! += t.self[i]!;
    g.folded[node]! += t.folded[i]!;
    g.count[node]! += t.foldedCount[i]!;
    if (t.base) {
      g.baseSelf[node]! += t.base.self[i]!;
      g.baseFolded[node]! += t.base.folded[i]!;
    }
  }
  return g.finish(t);
}

/**
 * Inverts a tree: functions by self value below the root, and callers below each function. Branches narrower
 * than `minShare` of the total are cut off, so that the visible part bounds the work. A complete inverted
 * tree has as many nodes as all stacks have frames.
 */
export function invertTree(t: CallTree, minShare: number): CallTree {
  const g = new Growing(),
    n = t.parent.length;
  const all = t.total || 1,
    baseAll = t.base?.total || 1;
  const share = (a: number, b: number): number => Math.max(a / all, b / baseAll);
  // Children that the server cut off have no function: they stay at the root.
  let level: { node: number; members: Uint32Array; at: Uint32Array }[] = [];
  const byName = new Map<number, number[]>();
  for (let i = 1; i < n; i++) {
    if (t.self[i]! === 0 && (t.base?.self[i] ?? 0) === 0) continue;
    const list = byName.get(t.name[i]!);
    if (list) list.push(i);
    else byName.set(t.name[i]!, [i]);
  }
  for (let i = 0; i < n; i++) {
    g.folded[0]! += t.folded[i]!;
    g.count[0]! += t.foldedCount[i]!;
    if (t.base) g.baseFolded[0]! += t.base.folded[i]!;
  }
  g.self[0] = t.self[0]!;
  if (t.base) g.baseSelf[0] = t.base.self[0]!;
  /** Adds groups of samples below a node: wide groups as nodes, the others as a sum. */
  const hang = (
    parent: number,
    groups: Map<number, number[]>,
    ends: (k: number) => number,
    places: (k: number) => number,
  ): typeof level => {
    const out: typeof level = [];
    for (const [name, list] of groups) {
      let a = 0,
        b = 0;
      for (const k of list) {
        a += t.self[ends(k)]!;
        b += t.base?.self[ends(k)] ?? 0;
      }
      if (share(a, b) < minShare) {
        g.folded[parent]! += a;
        g.baseFolded[parent]! += b;
        g.count[parent]!++;
        continue;
      }
      out.push({
        node: g.child(parent, name),
        members: Uint32Array.from(list, ends),
        at: Uint32Array.from(list, places),
      });
    }
    return out;
  };
  level = hang(
    0,
    byName,
    (k) => k,
    (k) => k,
  );
  while (level.length > 0) {
    const next: typeof level = [];
    for (const { node, members, at } of level) {
      const groups = new Map<number, number[]>();
      for (let k = 0; k < members.length; k++) {
        const p = t.parent[at[k]!]!;
        if (p === 0) {
          g.self[node]! += t.self[members[k]!]!;
          if (t.base) g.baseSelf[node]! += t.base.self[members[k]!]!;
          continue;
        }
        const list = groups.get(t.name[p]!);
        if (list) list.push(k);
        else groups.set(t.name[p]!, [k]);
      }
      next.push(
        ...hang(
          node,
          groups,
          (k) => members[k]!,
          (k) => t.parent[at[k]!]!,
        ),
      );
    }
    level = next;
  }
  return g.finish(t);
}

/**
 * Visits every stack with a self value, root first: `visit(frames, value, base)`. Cut-off calls count for
 * their parent.
 */
export function eachStack(t: CallTree, visit: (frames: string[], value: number, base: number) => void): void {
  for (let i = 0; i < t.parent.length; i++) {
    const a = t.self[i]! + t.folded[i]!,
      b = t.base ? t.base.self[i]! + t.base.folded[i]! : 0;
    if (a === 0 && b === 0) continue;
    const frames: string[] = [];
    for (let k = i; k > 0; k = t.parent[k]!) frames.push(t.names[t.name[k]!]!);
    visit(frames.reverse(), a, b);
  }
}
