import { useSyncExternalStore } from "react";

/** Width in pixels below which one view fills the window; the same number stands in the style sheets. */
const query = matchMedia("(max-width: 760px)");

/** Whether the window is as narrow as a phone. */
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      query.addEventListener("change", changed);
      return () => query.removeEventListener("change", changed);
    },
    () => query.matches,
  );
}
