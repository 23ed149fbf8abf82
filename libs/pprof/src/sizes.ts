// Sizes in bytes of the parts of an encoded profile.

/** Size of a varint of 32 bits. */
export function varintSize(value: number): number {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : value < 268435456 ? 4 : 5;
}
/** Size of a varint of two words. */
export function varintSize64(lo: number, hi: number): number {
  return hi === 0 ? varintSize(lo) : Math.ceil((64 - Math.clz32(hi)) / 7);
}
/** Size of a varint field below 16; 0 is left out. */
export function fieldSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSize(value);
}
/** Size of a field of two words, 0 if it is left out. */
export function fieldSize64(lo: number, hi: number): number {
  return (lo | hi) === 0 ? 0 : 1 + varintSize64(lo, hi);
}
/** Size of a label's content: two string indices. */
export function labelSize(key: number, value: number): number {
  return 2 + varintSize(key) + varintSize(value);
}

/** Size of a line's content: 1 function, 2 line; lines are signed, negative ones take ten bytes. */
export function lineSize(functionIndex: number, line: number): number {
  return 1 + varintSize(functionIndex + 1) + fieldSize64(line, (line >> 31) >>> 0);
}
