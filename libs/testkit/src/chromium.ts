import { part } from "./parts/declare.ts";

/** Command of a real browser. */
export function chromium(): string {
  return part("chromium");
}
