import { ByteReader, decodeUtf8, ShortRead } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { StackBuilder } from "./stack-builder.ts";

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

function piece(r: ByteReader): string {
  const n = r.uvarint();
  const at = r.need(n);
  return decodeUtf8(r.bytes, at, at + n);
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

/**
 * Reads a radix tree of folded stacks in pre-order: uvarint length, bytes, uvarint value, uvarint children.
 * The joined names along a path are the stack.
 */
export function readTrie(body: Uint8Array, stacks: StackBuilder): void {
  try {
    const r = new ByteReader(body);
    // Depth first with an explicit stack: a hostile body's nesting costs memory proportional to its size.
    const open: { prefix: string; left: number }[] = [{ prefix: "", left: 1 }];
    while (open.length > 0) {
      const top = open.at(-1)!;
      if (top.left-- === 0) {
        open.pop();
        continue;
      }
      const name = top.prefix + piece(r);
      if (name.length > MAX_STACK_TEXT)
        throw new ShortRead(r.pos, `expected stacks of at most ${MAX_STACK_TEXT} characters`);
      const value = BigInt(r.uvarint());
      if (value > 0n) {
        let node = 0;
        for (const frame of name.split(";")) node = stacks.child(node, frame);
        stacks.add(node, [value]);
      }
      open.push({ prefix: name, left: nodeCount(r) });
    }
  } catch (err) {
    broken("trie", err);
  }
}

/** Maximum length of a path's joined names: without it, a body of kilobytes produces stacks of megabytes. */
const MAX_STACK_TEXT = 1 << 20;

/**
 * Reads a call tree in pre-order: uvarint length, name, uvarint self, uvarint children, below an unnamed
 * root.
 */
export function readTree(body: Uint8Array, stacks: StackBuilder, bounds: TreeBounds): void {
  try {
    const r = new ByteReader(body);
    const open: { node: number; left: number }[] = [{ node: 0, left: 1 }];
    for (let first = true; open.length > 0; ) {
      const top = open.at(-1)!;
      if (top.left-- === 0) {
        open.pop();
        continue;
      }
      const name = piece(r);
      if (bounds.maxNameLength > 0 && name.length > bounds.maxNameLength)
        throw new ShortRead(
          r.pos,
          `expected names of at most ${bounds.maxNameLength} bytes, found ${name.length}`,
        );
      const self = BigInt(r.uvarint());
      const children = nodeCount(r);
      if (bounds.maxChildren > 0 && children > bounds.maxChildren)
        throw new ShortRead(r.pos, `expected at most ${bounds.maxChildren} children, found ${children}`);
      const node = first && name === "" ? 0 : stacks.child(top.node, name);
      if (self > 0n && node > 0) stacks.add(node, [self]);
      open.push({ node, left: children });
      first = false;
    }
  } catch (err) {
    broken("tree", err);
  }
}
