import { decodeUtf8 } from "@cinderblock/bytes";

/**
 * Header line of an event in `perf script` output, above the frames of its sample. Columns vary by perf's
 * options:
 *
 *   java  1234/1240 [003]  7890.123456:   10101010 cycles:u:
 *   command  pid/tid  cpu      time          count     event         cpu, time and count may be missing
 *           7f00dead symbol+0x1c (/usr/lib/libc.so.6)                 leaf first, one frame per line
 *           7f00beef main+0x2f (/usr/bin/java)
 *   (empty line)
 */
interface Head {
  command: string;
  /** frame of an event without a call chain, which is on the same line */
  own: string | undefined;
  /** the line has a CPU or a time, so that it is no frame */
  certain: boolean;
}

// Text comes from clients: a command ends with a non-blank, so that no expression tries a run of blanks twice.

/** Header line with a CPU or a time: the command is the text before the process, whatever numbers it has. */
const TIMED =
  /^\s*(\S(?:.*?\S)??)\s+-?\d+(?:\/-?\d+)?\s+(?:\[-?\d+\](?:\s+\S{1,12})??(?:\s+\d+\.\d+:)?|\d+\.\d+:)(?:\s|$)/;
/** Header line with only a process and, perhaps, the count and the name of its event. */
const UNTIMED = /^\s*(\S(?:.*?\S)??)\s+-?\d+(?:\/-?\d+)?(\s+\d+)?(?:\s+[^\s:]\S*:(?:\s.*)?)?\s*$/;
/**
 * Header line without a CPU and a time, whose command may end in a number: perf pads the event's count
 * differently.
 */
const NUMBERED = /^\s*(\S.*\S) -?\d+(?:\/-?\d+)?\s+[^\s:\d]\S*:(?:\s.*)?$/;
/** Name of an event and, on the same line, its only frame. */
const OWN_FRAME = /\s[^\s:\d]\S*:\s+([0-9a-f]+\s.*)$/;
/** Line with the source position of the frame above it. */
const SOURCE_LINE = /^\s+\S+:\d+\s*$/;
const FRAME = /^(\s*)([0-9a-f]+)\s+(\S.*)$/;

function headOf(line: string): Head | undefined {
  const timed = TIMED.exec(line);
  if (timed) return { command: timed[1]!, own: ownFrame(line), certain: true };
  const numbered = NUMBERED.exec(line) ?? UNTIMED.exec(line);
  return numbered ? { command: numbered[1]!, own: undefined, certain: false } : undefined;
}

function ownFrame(head: string): string | undefined {
  const text = OWN_FRAME.exec(head)?.[1];
  // The line of a tracepoint event ends in its fields instead of a frame: only a frame ends in a module.
  return text !== undefined && text.endsWith(")") ? frameOf(text) : undefined;
}

/**
 * Name of a frame: `address name+offset (module)`. Names of C++ and Rust hold blanks and parentheses; the
 * module is the last pair of parentheses, after a blank. Undefined for a line that is no frame.
 */
function frameOf(line: string): string | undefined {
  const m = FRAME.exec(line.trimEnd());
  if (!m) return undefined;
  const [, indent, address, text] = m as unknown as [string, string, string, string];
  const module = moduleAt(text);
  // Without an indent, only the module distinguishes a frame from a header line such as `dead 12 cycles:`.
  if (indent === "" && module < 0) return undefined;
  const name = (module < 0 ? text : text.slice(0, module)).trimEnd().replace(/\+0x[0-9a-f]+$/, "");
  return name === "[unknown]" || name === "" ? `0x${address}` : name;
}

/** Position of the parenthesis that opens a frame's module; -1 without a module. */
function moduleAt(text: string): number {
  if (!text.endsWith(")")) return -1;
  let depth = 0;
  for (let i = text.length - 1; i >= 0; i--) {
    const c = text[i];
    if (c === ")") depth++;
    else if (c === "(" && --depth === 0) return i === 0 || /\s/.test(text[i - 1]!) ? i : -1;
  }
  // The parentheses are unbalanced, because the path of the module has one: take the last pair after a blank.
  const at = text.lastIndexOf(" (");
  return at < 0 ? -1 : at + 1;
}

/** Lines of `perf script` output without comments (`#`). */
function linesOf(text: string): string[] {
  return text.split("\n").filter((l) => !l.startsWith("#"));
}

/** Whether a text begins with a header line of `perf script` and a frame. Reads at most the first 4 KiB. */
export function looksLikePerf(bytes: Uint8Array): boolean {
  const lines = linesOf(decodeUtf8(bytes, 0, Math.min(bytes.length, 4096))).filter((l) => l.trim() !== "");
  // The first events may have no frames: look for the first line that is not a header.
  const after = lines.findIndex((l) => {
    const head = headOf(l);
    return head === undefined || (!head.certain && frameOf(l) !== undefined);
  });
  if (after === 0 || lines.length === 0) return false;
  return after < 0 ? headOf(lines[0]!)!.own !== undefined : frameOf(lines[after]!) !== undefined;
}

/**
 * Reads `perf script` output: a head with the command, then the frames, leaf first, up to an empty line.
 * O(bytes). Comment lines (`#`) and lines with source positions are skipped.
 * @param sample receives the command and the frames, root first: [command, root, …, leaf]
 * @param unknown called for a line that is neither head nor frame; throws
 */
export function readPerfScript(
  bytes: Uint8Array,
  sample: (frames: string[]) => void,
  unknown: (line: string) => never,
): void {
  let command: string | undefined,
    own: string | undefined,
    frames: string[] = [];
  const end = (): void => {
    if (command === undefined) return;
    if (frames.length === 0 && own !== undefined) frames.push(own);
    sample([command, ...frames.reverse()]);
    command = undefined;
    frames = [];
  };
  for (const line of linesOf(decodeUtf8(bytes))) {
    if (line.trim() === "") {
      end();
      continue;
    }
    const head = headOf(line),
      frame = command === undefined || head?.certain === true ? undefined : frameOf(line);
    if (frame !== undefined) frames.push(frame);
    else if (frames.length === 0 || !SOURCE_LINE.test(line)) {
      end();
      ({ command, own } = head ?? unknown(line));
    }
  }
  end();
}
