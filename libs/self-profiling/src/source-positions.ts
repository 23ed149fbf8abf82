import { existsSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { CallFrame } from "@cinderblock/threads";

/** Maximum cached positions of bundled code; the cache avoids reading a map for known positions. */
const MAX_KNOWN = 20_000;

/**
 * Resolves positions with the source maps next to the bundles. A map is released at once, because the largest
 * takes 60 MB.
 */
export class SourcePositions {
  private readonly known = new Map<string, { file: string; line: number }>();

  /** Returns a function that resolves the frames of one profile to source positions; it reads each source map once. */
  frameResolver(): (frame: CallFrame) => { file: string; line: number } {
    const maps = new Map<string, SourceMap | undefined>();
    if (this.known.size > MAX_KNOWN) this.known.clear();
    return (f) => {
      const key = `${f.url}:${f.lineNumber}:${f.columnNumber}`;
      let place = this.known.get(key);
      if (!place) {
        if (!maps.has(f.url)) maps.set(f.url, mapOf(f.url));
        const entry = maps.get(f.url)?.findEntry(f.lineNumber, f.columnNumber);
        place =
          entry && "originalSource" in entry
            ? { file: entry.originalSource.replace(/^(\.\.\/)+/, ""), line: entry.originalLine + 1 }
            : { file: f.url.startsWith("file:") ? basename(f.url) : f.url, line: f.lineNumber + 1 };
        this.known.set(key, place);
      }
      return place;
    };
  }
}

function mapOf(url: string): SourceMap | undefined {
  if (!url.startsWith("file:")) return undefined;
  const path = `${fileURLToPath(url)}.map`;
  return existsSync(path)
    ? new SourceMap(JSON.parse(readFileSync(path, "utf8")) as SourceMapPayload)
    : undefined;
}
