import { decodeUtf8 } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { MAX_VALUE } from "./wide-sums.ts";

/** Receiver of the lines of a folded text; line numbers begin at 1. */
export interface FoldedLines {
  /** bytes of a stack, root first, whose frames end at semicolons, and its count */
  stack(from: number, end: number, count: number | bigint): void;
  /** a line without a count; `word` is its last word, "" for a line of one word */
  uncounted(line: number, text: string, word: string): void;
}

/** Digits whose numbers a double holds exactly, and digits that MAX_VALUE has. */
const EXACT_DIGITS = 15,
  MAX_DIGITS = 19;

const BLANK = 32,
  TAB = 9,
  CR = 13,
  HASH = 35;

const isBlank = (b: number | undefined): boolean => b === BLANK || b === TAB;

/**
 * Reads folded stacks, one `a;b;c 3` per line: the last blank or tab separates stack and count. Blanks at a
 * line's end, empty lines, a byte order mark and remarks (`# …`) have no meaning.
 * @throws `unknown` for a count that is negative or above MAX_VALUE
 */
export function readFoldedLines(body: Uint8Array, lines: FoldedLines): void {
  let from = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf ? 3 : 0;
  // Line by line, because the body may be large.
  for (let line = 1; from < body.length; line++) {
    const found = body.indexOf(10, from),
      next = found < 0 ? body.length : found;
    let end = next;
    while (end > from && (isBlank(body[end - 1]) || body[end - 1] === CR)) end--;
    const start = from;
    from = next + 1;
    if (end === start || (body[start] === HASH && (end === start + 1 || isBlank(body[start + 1])))) continue;
    let at = end;
    while (at > start && !isBlank(body[at - 1])) at--;
    const count = at === start ? undefined : countOf(body, at, end, line);
    if (count !== undefined) lines.stack(start, at - 1, count);
    else lines.uncounted(line, decodeUtf8(body, start, end), at === start ? "" : decodeUtf8(body, at, end));
  }
}

/** Number of the digits in [from, end), with a sign or without; undefined for another word. */
function countOf(body: Uint8Array, from: number, end: number, line: number): number | bigint | undefined {
  const sign = body[from],
    first = sign === 43 || sign === 45 ? from + 1 : from;
  if (first === end) return undefined;
  let n = 0,
    zeros = first;
  while (zeros < end - 1 && body[zeros] === 48) zeros++;
  for (let i = zeros; i < end; i++) {
    const digit = body[i]! - 48;
    if (digit < 0 || digit > 9) return undefined;
    n = n * 10 + digit;
  }
  const digits = end - zeros;
  // A longer number costs more than its length to convert.
  if (digits > MAX_DIGITS) refuse(line, `a number of ${digits} digits is above ${MAX_VALUE}`);
  const count = digits <= EXACT_DIGITS ? n : BigInt(decodeUtf8(body, zeros, end));
  if (sign === 45 && count > 0) refuse(line, `-${count} is negative`);
  if (count > MAX_VALUE) refuse(line, `${count} is above ${MAX_VALUE}`);
  return count;
}

function refuse(line: number, what: string): never {
  throw new CinderblockError("unknown", `line ${line}: expected a count, but ${what}`, {
    reason: "malformed_profile",
  });
}
