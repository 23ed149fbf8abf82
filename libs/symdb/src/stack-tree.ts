import { type ByteWriter, ShortRead } from "@cinderblock/bytes";

/**
 * Appends a stack tree in encoding 1: pairs of nodes as group varint. Format:
 * docs/formats/symbols-symdb.md#stack-tree
 *
 *   control <1b> | zz(p[i] - p[i-1]) | location[i] | zz(p[i+1] - p[i]) | location[i+1]
 *   p[-1] = 0; each integer has 1 to 4 bytes, little endian
 *   control bits 2k, 2k+1: size of integer k, less one
 *
 * `zz` is zig-zag on 32 bits. A last single node is completed with two zeros. The parent deltas run over the
 * whole tree, without padding or a terminator.
 * @param parent [nodes] node -> parent; parent[0] is -1
 * @param location [nodes] node -> location, any u32
 */
export function encodeStackTree(parent: Int32Array, location: Uint32Array, out: ByteWriter): void {
  const n = parent.length;
  // a control byte and four integers of at most 4 bytes
  out.reserve(Math.ceil(n / 2) * 17);
  let previous = 0;
  const g = new Uint32Array(4);
  for (let i = 0; i < n; i += 2) {
    let d = (parent[i]! - previous) | 0;
    previous = parent[i]!;
    g[0] = (d << 1) ^ (d >> 31);
    g[1] = location[i]!;
    if (i + 1 < n) {
      d = (parent[i + 1]! - previous) | 0;
      previous = parent[i + 1]!;
      g[2] = (d << 1) ^ (d >> 31);
      g[3] = location[i + 1]!;
    } else {
      g[2] = g[3] = 0;
    }
    const { buffer } = out;
    const controlAt = out.length;
    let at = controlAt + 1,
      control = 0;
    for (let k = 0; k < 4; k++) {
      let v = g[k]!;
      const size = v < 0x100 ? 1 : v < 0x10000 ? 2 : v < 0x1000000 ? 3 : 4;
      control |= (size - 1) << (2 * k);
      for (let b = 0; b < size; b++) {
        buffer[at++] = v & 255;
        v >>>= 8;
      }
    }
    buffer[controlAt] = control;
    out.length = at;
  }
}

/**
 * Decodes exactly `nodes` nodes into parent[at…] and location[at…], with parents shifted by `at`. The root's
 * location becomes 0. Bytes after the last node are ignored.
 * @throws ShortRead for too few bytes, or a parent that does not precede its child; this excludes cycles
 */
export function decodeStackTree(
  bytes: Uint8Array,
  nodes: number,
  parent: Int32Array,
  location: Uint32Array,
  at: number,
): void {
  let pos = 0,
    previous = 0;
  const g = new Uint32Array(4);
  for (let i = 0; i < nodes; i += 2) {
    const control = bytes[pos++];
    if (control === undefined) throw new ShortRead(pos, `expected ${nodes} stack nodes, found ${i}`);
    for (let k = 0; k < 4; k++) {
      const size = ((control >>> (2 * k)) & 3) + 1;
      let v = 0;
      // Bytes past the end count as 0 here; the check after the group refuses them.
      for (let b = 0; b < size; b++) v |= (bytes[pos + b] ?? 0) << (8 * b);
      pos += size;
      g[k] = v;
    }
    if (pos > bytes.length) throw new ShortRead(pos, "expected a whole group of stack nodes");
    for (let k = 0; k < 2 && i + k < nodes; k++) {
      const zz = g[2 * k]!;
      previous = (previous + ((zz >>> 1) ^ -(zz & 1))) | 0;
      const node = i + k;
      // v1 writes the root's parent as -1; 0 is accepted, because it cannot mean another node.
      if (node === 0 ? previous !== -1 && previous !== 0 : previous < 0 || previous >= node)
        throw new ShortRead(pos, `expected a parent below node ${node}, found ${previous}`);
      parent[at + node] = node === 0 ? -1 : previous + at;
      location[at + node] = node === 0 ? 0 : g[2 * k + 1]!;
    }
  }
}
