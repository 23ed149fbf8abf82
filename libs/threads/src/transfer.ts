import type { Transferable as NodeTransferable } from "node:worker_threads";

/** A result whose buffers are transferred to the other thread instead of copied. */
export class Transfer<T> {
  readonly value: T;
  readonly list: readonly NodeTransferable[];
  constructor(value: T, list: readonly NodeTransferable[]) {
    this.value = value;
    this.list = list;
  }
}

/**
 * Distinct ArrayBuffers of the typed arrays in a value, at any depth. Skips views of larger buffers, which
 * are copied instead.
 */
export function transferable(value: unknown, into: Set<ArrayBuffer> = new Set()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) {
    if (
      value.buffer instanceof ArrayBuffer &&
      value.byteLength === value.buffer.byteLength &&
      value.byteLength > 0
    )
      into.add(value.buffer);
  } else if (Array.isArray(value)) {
    if (typeof value[0] === "object") for (const v of value) transferable(v, into);
  } else if (value !== null && typeof value === "object") {
    for (const v of Object.values(value)) if (typeof v === "object") transferable(v, into);
  }
  return [...into];
}

export type { NodeTransferable };
