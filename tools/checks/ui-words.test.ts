import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Sources of the web UI and of its drawings. */
const ROOT = join(import.meta.dirname, "../.."),
  FOLDERS = ["apps/web/src", "libs/flame/src"];

/** Wordings that the UI does not use, and the field's own. */
const NOT_BUT: readonly [not: RegExp, but: string][] = [
  [/when asked|every minute|Refresh now/, "Auto-refresh: Off, 1 min; Refresh"],
  [/root below|upside down/, "Flame (root at bottom), Icicle; Invert (bottom-up)"],
  [/>Course<|"Course"|head\("change", "Change"\)/, "Trend, vs previous period"],
  [/>totals<|>cores<|"cores" :|per second"|totals and shares/, "Total, Rate, Share, Avg"],
  [/`(only|without|in|hidden) \$/, "Contains, Excludes, Focus:, Hidden:"],
  [
    /[Mm]erge into callers|Hide…|the JVM and the JDK/,
    "Hide frame (attribute to caller); Hide frames: JVM & JDK",
  ],
  [/"Functions"|compare with all others/, "Top functions; Compare with the rest"],
  [
    /the window before|an? (hour|day|week) before|the pinned one|pin this selection/,
    "Previous period, 1 h earlier, Pin as baseline",
  ],
  [/A \(before\)|B \(now\)|, before \$|<dt>(before|change)</, "Baseline (A), Comparison (B), Δ"],
  [
    /too small at this size|smaller calls|in view<|more is on its way/,
    "below resolution, small frames, % of view, loading more…",
  ],
  [/^\s*(Until|Zone)$/, "To, Time zone"],
  [/Group by nothing|>nothing</, "Group by: none"],
  [
    /is no time|no valid regular expression|(is|are) expected|is not closed/,
    "not a valid time, Invalid regular expression, Expected …",
  ],
  [
    /link is copied|times count from|times that stay|let it be copied/,
    "Link copied (relative times), Copy with absolute times",
  ],
  [/could not be shown|No answer\.|Try again|if it stays/, "Query failed, Cannot reach the server, Retry"],
  [/first profile<|looks again by itself|By hand/, "Waiting for data…, updates automatically, curl"],
  [/Longest query|>(page|Took|Asked|Parts)</, "Max query range, Details, Duration, Query, Sub-queries"],
  [
    /is no pprof|needs nothing else|Skip to the content/,
    "Unrecognized file format, self-contained, Skip to main content",
  ],
  [/[^-\w]colou?r by |Colours/, "Colors: package"],
];

/** Source lines without comments. */
function linesOf(file: string): string[] {
  return readFileSync(file, "utf8")
    .replace(/\/\*[^]*?\*\//g, (c) => c.replace(/[^\n]/g, " "))
    .split("\n")
    .map((l) => l.replace(/(^|\s)\/\/ .*/, ""));
}

describe("words of the UI", () => {
  it("are the field's own in every source file", () => {
    const files = FOLDERS.flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((f) => join(folder, f)),
    ).filter((f) => /\.tsx?$/.test(f) && !f.includes(".test."));
    expect(files.length).toBeGreaterThan(30);
    const found = files.flatMap((file) => {
      const lines = linesOf(join(ROOT, file));
      return NOT_BUT.flatMap(([not, but]) =>
        lines.flatMap((l, i) => (not.test(l) ? [`${file}:${i + 1}: ${l.trim()} – say ${but}`] : [])),
      );
    });
    expect(found).toEqual([]);
  });
});
