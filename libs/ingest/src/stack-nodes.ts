import { PairTable, U32Column } from "@cinderblock/columnar";

/**
 * Tree of stacks: node -> parent and location. Node 0 is the root; nodes are numbered in order of first use.
 *
 * Most nodes have one child: the first child of each node is in a column, and only the others are in the hash
 * table.
 */
export class StackNodes {
  private readonly parent = new U32Column(256);
  private readonly location = new U32Column(256);
  private readonly depth = new U32Column(256);
  /** node -> its first child, 0: none */
  private readonly first = new U32Column(256);
  /** (node, location) -> another child */
  private readonly others = new PairTable(64);

  constructor() {
    this.clear();
  }

  /** Removes all nodes but the root, and keeps the memory. */
  clear(): void {
    for (const column of [this.parent, this.location, this.depth, this.first]) {
      column.length = 0;
      column.push(0);
    }
    this.others.clear();
  }

  /** Number of nodes with the root. */
  get length(): number {
    return this.parent.length;
  }

  /** Frames of a node's stack. */
  depthOf(node: number): number {
    return this.depth.data[node]!;
  }

  /** Allocated memory in bytes. */
  get byteLength(): number {
    return 4 * this.parent.byteLength + this.others.byteLength;
  }

  /** Child of `parent` with `location`; adds a new node. */
  child(parent: number, location: number): number {
    const { first } = this,
      known = first.data[parent]!;
    if (known > 0) {
      if (this.location.data[known] === location) return known;
      const other = this.others.getOrSet(parent, location, this.length);
      if (other >= 0) return other;
    } else first.data[parent] = this.length;
    this.location.push(location);
    this.depth.push(this.depth.data[parent]! + 1);
    first.push(0);
    return this.parent.push(parent);
  }

  /**
   * Node of a whole stack of frames, leaf first, below the root; adds the nodes that are missing. Most nodes are
   * first children.
   */
  stack(frames: Uint32Array, locations: Int32Array): number {
    let first = this.first.data,
      location = this.location.data,
      node = 0;
    for (let i = frames.length - 1; i >= 0; i--) {
      const own = locations[frames[i]!]!,
        next = first[node]!;
      if (next > 0 && location[next] === own) node = next;
      else {
        node = this.child(node, own);
        first = this.first.data;
        location = this.location.data;
      }
    }
    return node;
  }

  /** Appends the locations of a stack, leaf first. */
  putStack(node: number, into: U32Column): void {
    const depth = this.depth.data[node]!,
      parent = this.parent.data,
      location = this.location.data;
    into.reserve(depth);
    const { data } = into;
    let at = into.length;
    for (let n = node; n > 0; n = parent[n]!) data[at++] = location[n]!;
    into.length = at;
  }
}
