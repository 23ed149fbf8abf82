import { PairTable, U32Column, I32Column } from "@cinderblock/columnar";
import { FUNCTION_WORDS, LOCATION_HEAD, type SymbolTables } from "@cinderblock/symdb";

/**
 * The call tree of a symbol partition by function name: stack node -> flame node. Built once, and extended as
 * stacks arrive; a query then only adds values. Functions of equal name share a node regardless of file and
 * line, including inlined ones.
 */
export class FlameIndex {
  /** stack node -> flame node */
  readonly ofStack = new U32Column(16);
  /** flame node -> parent, -1 for the root; parents precede children */
  readonly parent = new I32Column(16);
  /** flame node -> string of the partition */
  readonly name = new U32Column(16);
  private readonly children = new PairTable(8);

  constructor() {
    this.parent.push(-1);
    this.name.push(0);
  }

  /** Extends the index to the stacks of `t`. */
  extend(t: SymbolTables): void {
    const { stackParent, stackLocation, locationWords, locationOffset, functionWords } = t;
    for (let node = this.ofStack.length; node < stackParent.length; node++) {
      const p = stackParent[node]!;
      if (p < 0) {
        this.ofStack.push(0);
        continue;
      }
      let at = this.ofStack.data[p]!;
      const location = stackLocation[node]!;
      const from = (locationOffset[location] ?? 0) + LOCATION_HEAD;
      for (let k = (locationOffset[location + 1] ?? 0) - 2; k >= from; k -= 2) {
        const name = functionWords[locationWords[k]! * FUNCTION_WORDS] ?? 0;
        const next = this.parent.length;
        const found = this.children.getOrSet(at, name, next);
        if (found >= 0) at = found;
        else {
          this.parent.push(at);
          this.name.push(name);
          at = next;
        }
      }
      this.ofStack.push(at);
    }
  }

  get byteLength(): number {
    return this.ofStack.byteLength + this.parent.byteLength + this.name.byteLength + this.children.byteLength;
  }
}
