import { ByteWriter, decodeUtf8 } from "@cinderblock/bytes";
import type { PprofTables } from "@cinderblock/pprof";

const SPIES: ReadonlyMap<string, string> = new Map(
  Object.entries<string>({
    gospy: "go",
    pyspy: "python",
    rbspy: "ruby",
    javaspy: "java",
    "grafana-agent.java": "java",
    nodespy: "nodejs",
    dotnetspy: "dotnet",
    phpspy: "php",
    "pyroscope-rs": "rust",
  }),
);

const MARKS: readonly [language: string, test: (s: string) => boolean][] = [
  ["go", (s) => s.endsWith(".go") || (s.startsWith("/") && s.includes("usr/local/go/"))],
  ["java", (s) => s.startsWith("java/") || s.startsWith("sun/")],
  ["ruby", (s) => s.endsWith(".rb") || s.startsWith("gems/")],
  ["nodejs", (s) => s.startsWith("./node_modules/") || s.endsWith(".js")],
  ["dotnet", (s) => s.startsWith("System.") || s.startsWith("Microsoft.")],
  ["python", (s) => s.endsWith(".py")],
  ["rust", (s) => s === "main.rs" || s === "core.rs" || s.endsWith("main.rs") || s.endsWith("core.rs")],
];

/** first bytes of the texts that MARKS knows by their beginning */
const FIRST = new Set(Buffer.from("/jsg.SM")),
  DOT = 46;

/** Whether a text may have a mark: only such texts are decoded. */
function mayHaveMark(bytes: Uint8Array, from: number, end: number): boolean {
  // The marks at the end of a text are extensions of two letters.
  return end - from > 2 && (bytes[end - 3] === DOT || FIRST.has(bytes[from]!));
}

/** Language of a profile: from the agent's name, else from the first telltale string of the table. */
export function detectLanguage(t: PprofTables, spy: string): string {
  const said = SPIES.get(spy);
  if (said !== undefined) return said;
  for (let i = 0; i < t.strings; i++) {
    const from = t.stringStart.data[i]!,
      end = t.stringEnd.data[i]!;
    if (!mayHaveMark(t.bytes, from, end)) continue;
    const s = decodeUtf8(t.bytes, from, end);
    for (const [language, test] of MARKS) if (test(s)) return language;
  }
  return "unknown";
}

/** Replaces strings of the table; appends the new texts to the profile's bytes. */
export function replaceStrings(t: PprofTables, texts: ReadonlyMap<number, string>): void {
  if (texts.size === 0) return;
  const out = new ByteWriter(t.bytes.length + 1024);
  out.bytes(t.bytes);
  for (const [i, s] of texts) {
    t.stringStart.data[i] = out.length;
    out.utf8(s);
    t.stringEnd.data[i] = out.length;
  }
  t.bytes = out.finish();
}

const SHAPE = "[go.shape.";

/**
 * Removes every `[go.shape.…]` group, including nested brackets: `f[go.shape.int]` and `f[go.shape.string]`
 * are one function.
 */
export function cutGoShapes(text: string): string {
  let out = text;
  for (let at = out.indexOf(SHAPE); at >= 0; at = out.indexOf(SHAPE, at)) {
    let depth = 0,
      end = at;
    for (; end < out.length; end++) {
      if (out[end] === "[") depth++;
      else if (out[end] === "]" && --depth === 0) break;
    }
    if (end >= out.length) return out;
    out = out.slice(0, at) + out.slice(end + 1);
  }
  return out;
}

/**
 * Applies `cutGoShapes` to the whole string table.
 * @returns whether a string changed
 */
export function fixGoGenerics(t: PprofTables): boolean {
  if (!Buffer.from(t.bytes.buffer, t.bytes.byteOffset, t.bytes.length).includes(SHAPE)) return false;
  const texts = new Map<number, string>();
  for (let i = 0; i < t.strings; i++) {
    const s = decodeUtf8(t.bytes, t.stringStart.data[i]!, t.stringEnd.data[i]!),
      cut = s.includes(SHAPE) ? cutGoShapes(s) : s;
    if (cut !== s) texts.set(i, cut);
  }
  replaceStrings(t, texts);
  return texts.size > 0;
}
