/** A stack, root first, with its value. */
export interface Stack {
  frames: string[];
  value: number;
}

function uvarint(n: number, into: number[]): void {
  let rest = n;
  for (; rest > 127; rest = Math.floor(rest / 128)) into.push((rest % 128) | 128);
  into.push(rest);
}

function put(name: Uint8Array, value: number, children: number, into: number[]): void {
  uvarint(name.length, into);
  for (const b of name) into.push(b);
  uvarint(value, into);
  uvarint(children, into);
}

interface Node {
  self: number;
  children: Map<string, Node>;
}

/** Body of the format `tree`: the call tree of the stacks in pre-order. */
export function treeBody(stacks: readonly Stack[]): Uint8Array {
  const root: Node = { self: 0, children: new Map() },
    out: number[] = [];
  for (const { frames, value } of stacks) {
    let at = root;
    for (const frame of frames) {
      let next = at.children.get(frame);
      if (!next) at.children.set(frame, (next = { self: 0, children: new Map() }));
      at = next;
    }
    at.self += value;
  }
  const write = (name: string, node: Node): void => {
    put(Buffer.from(name), node.self, node.children.size, out);
    for (const [child, below] of node.children) write(child, below);
  };
  write("", root);
  return Uint8Array.from(out);
}

/** Body of the format `trie`: the radix tree of the folded stacks, byte by byte, in pre-order. */
export function trieBody(stacks: readonly Stack[]): Uint8Array {
  const sums = new Map<string, number>(),
    out: number[] = [];
  for (const { frames, value } of stacks) {
    const key = Buffer.from(frames.join(";")).toString("latin1");
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  const keys = [...sums.keys()].sort();
  /** Writes the node of keys[from, end), which share `depth` bytes; `above` of them are in nodes above. */
  const write = (from: number, end: number, above: number): void => {
    const first = keys[from]!,
      last = keys[end - 1]!;
    let depth = above;
    while (depth < first.length && first[depth] === last[depth]) depth++;
    const own = first.length === depth,
      groups: [number, number][] = [];
    for (let i = own ? from + 1 : from; i < end; ) {
      let to = i;
      while (to < end && keys[to]![depth] === keys[i]![depth]) to++;
      groups.push([i, to]);
      i = to;
    }
    put(Buffer.from(first.slice(above, depth), "latin1"), own ? sums.get(first)! : 0, groups.length, out);
    for (const [i, to] of groups) write(i, to, depth);
  };
  put(new Uint8Array(0), 0, keys.length > 0 ? 1 : 0, out);
  if (keys.length > 0) write(0, keys.length, 0);
  return Uint8Array.from(out);
}
