import { ByteReader, ShortRead } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import type { StackBuilder } from "./stack-builder.ts";
import { framesOf, nameOf } from "./strings.ts";

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

function piece(r: ByteReader): Uint8Array {
  const n = r.uvarint();
  const at = r.requireBytes(n);
  return r.bytes.subarray(at, at + n);
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
 * The joined names along a path are the stack. An empty body has no stacks; bytes after the root refuse it.
 */
export function readTrie(body: Uint8Array, stacks: StackBuilder): void {
  if (body.length === 0) return;
  try {
    const r = new ByteReader(body);
    // Depth first with an explicit stack: a hostile body's nesting costs memory proportional to its size.
    const open: { piece: Uint8Array; length: number; left: number }[] = [
      { piece: new Uint8Array(0), length: 0, left: 1 },
    ];
    while (open.length > 0) {
      const top = open.at(-1)!;
      if (top.left-- === 0) {
        open.pop();
        continue;
      }
      const own = piece(r),
        length = top.length + own.length;
      if (length > MAX_STACK_TEXT)
        throw new ShortRead(r.pos, `expected stacks of at most ${MAX_STACK_TEXT} bytes`);
      const value = BigInt(r.uvarint());
      open.push({ piece: own, length, left: 0 });
      if (value > 0n) {
        // Join the bytes of the path: a node may begin within a character.
        const path = Buffer.concat(
          open.map((o) => o.piece),
          length,
        );
        let node = 0;
        for (const frame of framesOf(nameOf(path, 0, length))) node = stacks.child(node, frame);
        stacks.add(node, [value]);
      }
      open.at(-1)!.left = nodeCount(r);
    }
    if (r.left > 0) throw new ShortRead(r.pos, `expected the end of the trie, found ${r.left} bytes`);
  } catch (err) {
    broken("trie", err);
  }
}

/** Maximum length of a path's joined names: without it, a body of kilobytes produces stacks of megabytes. */
const MAX_STACK_TEXT = 1 << 20;

/**
 * Reads a call tree in pre-order: uvarint length, name, uvarint self, uvarint children, below an unnamed
 * root. As in v1, semicolons separate the frames of a name, and an empty frame at a stack's end is left out.
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
      const bytes = piece(r),
        name = nameOf(bytes, 0, bytes.length);
      if (bounds.maxNameLength > 0 && name.length > bounds.maxNameLength)
        throw new ShortRead(
          r.pos,
          `expected names of at most ${bounds.maxNameLength} bytes, found ${name.length}`,
        );
      const self = BigInt(r.uvarint());
      const children = nodeCount(r);
      if (bounds.maxChildren > 0 && children > bounds.maxChildren)
        throw new ShortRead(r.pos, `expected at most ${bounds.maxChildren} children, found ${children}`);
      let node = top.node,
        end = node;
      if (!first || name !== "")
        for (const frame of name.split(";")) {
          end = node;
          if (frame !== "" || children > 0) node = stacks.child(node, frame);
          if (frame !== "") end = node;
        }
      if (self > 0n && end > 0) stacks.add(end, [self]);
      open.push({ node, left: children });
      first = false;
    }
  } catch (err) {
    broken("tree", err);
  }
}
