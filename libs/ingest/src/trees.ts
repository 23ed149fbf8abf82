import { ByteReader, decodeUtf8, ShortRead } from "@cinderblock/bytes";
import { U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import type { StackBuilder } from "./stack-builder.ts";
import { checkName } from "./strings.ts";

/** Limits of a tree's node; 0: no limit. */
export interface TreeBounds {
  maxNameLength: number;
  maxChildren: number;
}

function broken(format: string, err: unknown): never {
  if (err instanceof ShortRead)
    throw new CinderblockError("unknown", `${format}: ${err.message}`, {
      reason: "malformed_profile",
      cause: err,
    });
  throw err;
}

/**
 * Reads a count of nodes, each of at least three bytes.
 * @throws for a count that exceeds the rest of the body
 */
function nodeCount(r: ByteReader): number {
  const at = r.pos,
    n = r.uvarint();
  if (n * 3 > r.left) throw new ShortRead(at, `expected ${n} nodes within ${r.left} bytes`);
  return n;
}

const SEMICOLON = 59;

/**
 * Reads a radix tree of folded stacks in pre-order: uvarint length, bytes, uvarint value, uvarint children.
 * The joined names along a path are the stack. An empty body has no stacks; bytes after the root refuse it.
 */
export function readTrie(body: Uint8Array, stacks: StackBuilder): void {
  if (body.length === 0) return;
  try {
    const r = new ByteReader(body),
      path = new Path();
    // Depth first with an explicit stack: a hostile body's nesting costs memory proportional to its size.
    const left = new U32Column(64);
    left.push(1);
    while (left.length > 0) {
      const top = left.length - 1;
      if (left.data[top]!-- === 0) {
        left.length--;
        path.pop();
        continue;
      }
      const n = r.uvarint(),
        at = r.requireBytes(n);
      if (path.length + n > MAX_STACK_TEXT)
        throw new ShortRead(r.pos, `expected stacks of at most ${MAX_STACK_TEXT} bytes`);
      path.push(body, at, at + n);
      const value = r.uvarint();
      if (value > 0) stacks.add(path.node(stacks), value);
      left.push(nodeCount(r));
    }
    if (r.left > 0) throw new ShortRead(r.pos, `expected the end of the trie, found ${r.left} bytes`);
  } catch (err) {
    broken("trie", err);
  }
}

/**
 * Joined names of a path: each level adds a piece. A node may begin within a frame, even within a
 * character; the frames that have ended are nodes as soon as a stack has needed them.
 */
class Path {
  private bytes = new Uint8Array(1024);
  /** level -> end of its piece, end of its ended frames, their node; UNSEEN: not needed yet */
  private readonly ends = new U32Column(64);
  private readonly framesEnd = new U32Column(64);
  private readonly nodes = new U32Column(64);
  /** level -> whether the path has bytes above 127 up to there */
  private readonly wide = new U32Column(64);

  /** Length in bytes. */
  get length(): number {
    return this.ends.length === 0 ? 0 : this.ends.data[this.ends.length - 1]!;
  }

  push(body: Uint8Array, from: number, end: number): void {
    const { length, ends, wide } = this,
      needed = length + end - from;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(2 * needed);
      grown.set(this.bytes.subarray(0, length));
      this.bytes = grown;
    }
    const { bytes } = this;
    let bits = 0;
    for (let i = from, at = length; i < end; i++) bits |= bytes[at++] = body[i]!;
    wide.push((ends.length > 0 && wide.data[ends.length - 1] === 1) || bits > 127 ? 1 : 0);
    ends.push(needed);
    this.framesEnd.push(UNSEEN);
    this.nodes.push(0);
  }

  pop(): void {
    for (const column of [this.ends, this.framesEnd, this.nodes, this.wide])
      if (column.length > 0) column.length--;
  }

  /**
   * Node of the path's stack. As in v1, an empty frame at the end is no frame.
   * @throws `invalid` for a path that is not UTF-8
   */
  node(stacks: StackBuilder): number {
    const { bytes, length, ends, framesEnd, nodes } = this,
      last = ends.length - 1;
    if (this.wide.data[last] === 1) checkName(bytes, 0, length);
    let level = last;
    while (level >= 0 && framesEnd.data[level] === UNSEEN) level--;
    let node = level < 0 ? 0 : nodes.data[level]!,
      start = level < 0 ? 0 : framesEnd.data[level]!;
    for (let i = level < 0 ? 0 : ends.data[level]!; level < last; ) {
      const end = ends.data[++level]!;
      for (; i < end; i++)
        if (bytes[i] === SEMICOLON) {
          node = stacks.child(node, stacks.locationOf(bytes, start, i));
          start = i + 1;
        }
      nodes.data[level] = node;
      framesEnd.data[level] = start;
    }
    return start < length ? stacks.child(node, stacks.locationOf(bytes, start, length)) : node;
  }
}

/** End of the ended frames of a level that no stack has needed. */
const UNSEEN = 0xffffffff;

/** Maximum length of a path's joined names: without it, a body of kilobytes produces stacks of megabytes. */
const MAX_STACK_TEXT = 1 << 20;

/**
 * Reads a call tree in pre-order: uvarint length, name, uvarint self, uvarint children, below an unnamed
 * root. As in v1, semicolons separate the frames of a name, and an empty frame at a stack's end is left out.
 */
export function readTree(body: Uint8Array, stacks: StackBuilder, bounds: TreeBounds): void {
  try {
    const r = new ByteReader(body),
      left = new U32Column(64),
      nodes = new U32Column(64);
    left.push(1);
    nodes.push(0);
    for (let first = true; left.length > 0; ) {
      const top = left.length - 1;
      if (left.data[top]!-- === 0) {
        left.length--;
        nodes.length--;
        continue;
      }
      const length = r.uvarint(),
        from = r.requireBytes(length),
        to = from + length;
      let bits = 0,
        several = false;
      for (let i = from; i < to; i++) {
        const b = body[i]!;
        bits |= b;
        if (b === SEMICOLON) several = true;
      }
      if (bits > 127) checkName(body, from, to);
      checkLength(body, from, to, bounds, r.pos);
      const self = r.uvarint(),
        children = nodeCount(r);
      if (bounds.maxChildren > 0 && children > bounds.maxChildren)
        throw new ShortRead(r.pos, `expected at most ${bounds.maxChildren} children, found ${children}`);
      let node = nodes.data[top]!,
        end = node;
      if (length > 0 && !several) end = node = stacks.child(node, stacks.locationOf(body, from, to));
      else if (!first || from < to)
        for (let i = from, start = from; i <= to; i++) {
          if (i < to && body[i] !== SEMICOLON) continue;
          end = node;
          if (start < i || children > 0) node = stacks.child(node, stacks.locationOf(body, start, i));
          if (start < i) end = node;
          start = i + 1;
        }
      if (self > 0 && end > 0) stacks.add(end, self);
      left.push(children);
      nodes.push(node);
      first = false;
    }
  } catch (err) {
    broken("tree", err);
  }
}

/** Checks the length of a name, which counts UTF-16 units. */
function checkLength(body: Uint8Array, from: number, end: number, bounds: TreeBounds, pos: number): void {
  const { maxNameLength } = bounds;
  if (maxNameLength === 0 || end - from <= maxNameLength) return;
  const { length } = decodeUtf8(body, from, end);
  if (length > maxNameLength)
    throw new ShortRead(pos, `expected names of at most ${maxNameLength} bytes, found ${length}`);
}
