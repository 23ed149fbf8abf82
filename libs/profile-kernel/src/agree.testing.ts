import { PprofDecoder, type PprofTables } from "@cinderblock/pprof";
import { ProfileKernel } from "./index.ts";

/** Content of the tables without their bytes, for comparison. */
export function content(t: PprofTables): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, v] of Object.entries(t)) {
    if (name === "bytes" || name === "all") continue;
    out[name] =
      v !== null && typeof v === "object" && "view" in v ? (v as { view(): ArrayLike<unknown> }).view() : v;
  }
  return out;
}
const plain = new PprofDecoder();
export const kernel = new ProfileKernel();

/** Decodes with the kernel and with the plain decoder, and checks that both agree. */
export function agree(bytes: Uint8Array): "equal" | "refused" | "left to the plain decoder" {
  let expected: PprofTables | undefined;
  try {
    expected = plain.decode(bytes);
  } catch {
    /* the kernel must leave it to the plain decoder, which reports the reason */
  }
  const found = kernel.decode(bytes);
  if (!expected) {
    expect(found).toBeUndefined();
    return "refused";
  }
  if (!found) return "left to the plain decoder";
  expect(content(found)).toEqual(content(expected));
  return "equal";
}
