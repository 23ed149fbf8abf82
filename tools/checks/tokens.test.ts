import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../.."),
  CSS = readFileSync(join(ROOT, "apps/web/src/tokens.css"), "utf8");

/** Color of a token in the light and the dark theme. */
function token(name: string): { light: string; dark: string } {
  const value = new RegExp(`--${name}: ([^;]+);`).exec(CSS)?.[1] ?? "";
  const [, light, dark] = /^light-dark\((#\w{6}), (#\w{6})\)$/.exec(value) ?? [undefined, value, value];
  if (!/^#[0-9a-f]{6}$/.test(light!)) throw new Error(`--${name} is not a color: ${value}`);
  return { light: light!, dark: dark! };
}

/** Relative luminance of a color, by WCAG 2.2. */
function luminance(color: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(color.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

describe("colors of the web UI and the admin pages", () => {
  it("have the contrast of WCAG 2.2: 4.5 for text, 3 for the borders of controls", () => {
    const grounds = ["bg", "surface", "raised"],
      texts = ["ink", "ink-2", "ink-3", "accent", "a", "b", "ok", "warn", "bad"];
    const pairs: [text: string, ground: string, least: number][] = [
      ...texts.flatMap((t) => grounds.map((g): [string, string, number] => [t, g, 4.5])),
      ["control", "surface", 3],
      ["ink", "accent-soft", 4.5],
      ["ink-2", "accent-soft", 4.5],
      ["a", "a-soft", 4.5],
      ["b", "b-soft", 4.5],
      ["rail-ink", "rail", 4.5],
      ["rail-current", "rail-current-fill", 4.5],
    ];
    for (const [text, ground, least] of pairs)
      for (const theme of ["light", "dark"] as const) {
        const ratio = contrast(token(text)[theme], token(ground)[theme]);
        expect([text, ground, theme, ratio >= least ? "readable" : ratio]).toEqual([
          text,
          ground,
          theme,
          "readable",
        ]);
      }
    for (const fill of Object.values(token("accent-fill")))
      expect(contrast("#ffffff", fill)).toBeGreaterThanOrEqual(4.5);
  });

  it.each([
    ["control", 3.3, 3.6],
    ["ink", 17.8, 14.8],
    ["ink-2", 8.4, 9.1],
    ["ink-3", 5.7, 6],
    ["accent", 6.8, 7.6],
    ["a", 6.2, 8.3],
    ["b", 5.3, 8.9],
    ["ok", 5.4, 5.4],
    ["warn", 5.4, 5.4],
    ["bad", 5.4, 5.4],
  ])("%s has at least the contrast of %d on a light and %d on a dark surface", (name, light, dark) => {
    const of = (theme: "light" | "dark"): number =>
      Math.round(10 * contrast(token(name)[theme], token("surface")[theme])) / 10;
    expect(of("light")).toBeGreaterThanOrEqual(light);
    expect(of("dark")).toBeGreaterThanOrEqual(dark);
  });

  it("are the same on the pages of a server", () => {
    const text = CSS.replace(/\/\*[^]*?\*\//g, "")
      .replace(/\s+/g, " ")
      .replace(/\s*([{};:,/])\s*/g, "$1")
      .replaceAll(";}", "}")
      .trim();
    expect(readFileSync(join(ROOT, "libs/rpc/src/tokens.ts"), "utf8")).toContain(text);
  });
});
