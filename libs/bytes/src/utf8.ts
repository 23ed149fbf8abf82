const encoder = new TextEncoder();
// A byte order mark is content, not a marker: a label value may start with U+FEFF.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Encodes a string as UTF-8 bytes; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}
/** Length of a text in UTF-8 bytes. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text, "utf8");
}
/** Writes a text as UTF-8 at `at` of `target`, which must have enough space; returns its size in bytes. */
export function encodeUtf8Into(text: string, target: Uint8Array, at: number): number {
  return encoder.encodeInto(text, at === 0 ? target : target.subarray(at)).written;
}

/**
 * Text of `bytes[start, end)`; invalid sequences become U+FFFD. Short ASCII texts avoid the call into
 * TextDecoder.
 */
export function decodeUtf8(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (end - start < 24) {
    let text = "";
    for (let i = start; i < end; i++) {
      const c = bytes[i]!;
      if (c > 127) return decoder.decode(bytes.subarray(start, end));
      text += String.fromCharCode(c);
    }
    return text;
  }
  return decoder.decode(bytes.subarray(start, end));
}

/**
 * Order of two strings by their UTF-8 bytes, which all file formats use; below 0 if `a` comes first.
 * JavaScript's `<` orders UTF-16 units and differs for astral characters.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    // Surrogates (astral characters) sort after U+E000..U+FFFF in UTF-8.
    if (x >= 0xd800 && y >= 0xd800) {
      if (x <= 0xdfff) x += 0x2000;
      else x -= 0x800;
      if (y <= 0xdfff) y += 0x2000;
      else y -= 0x800;
    }
    return x - y;
  }
  return a.length - b.length;
}

/** UTF-16 units whose order is not that of their UTF-8 bytes. */
const OUT_OF_ORDER = /[\ud800-\uffff]/;

/**
 * Sorts strings in place by their UTF-8 bytes and returns them. The order of UTF-16 units, which is the same
 * for most texts, takes a third of the time.
 */
export function sortUtf8(texts: string[]): string[] {
  return texts.some((t) => OUT_OF_ORDER.test(t)) ? texts.sort(compareUtf8) : texts.sort();
}

/**
 * Order of two byte ranges, as memcmp; on a common prefix the shorter one is first. Below 0 if `a` comes
 * first.
 */
export function compareBytes(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < length; i++) {
    const d = a[aStart + i]! - b[bStart + i]!;
    if (d !== 0) return d;
  }
  return aEnd - aStart - (bEnd - bStart);
}
