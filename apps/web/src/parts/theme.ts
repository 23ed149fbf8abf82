import { useSyncExternalStore } from "react";
import type { Theme } from "@cinderblock/flame";

export type ThemeChoice = "system" | Theme;
const KEY = "cinderblock.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export function savedTheme(): ThemeChoice {
  const t = localStorage.getItem(KEY);
  return t === "light" || t === "dark" ? t : "system";
}
export function applyTheme(choice: ThemeChoice): void {
  if (choice === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  document.documentElement.dataset.theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
  for (const l of listeners) l();
}
dark.addEventListener("change", () => applyTheme(savedTheme()));

/** The active theme. */
export function useTheme(): Theme {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l);
      return () => listeners.delete(l);
    },
    () => (document.documentElement.dataset.theme as Theme | undefined) ?? "light",
  );
}
