import { PprofDecoder } from "@cinderblock/pprof";
import { HAS_FUNCTIONS } from "@cinderblock/symdb";
import { JFR_SYMBOLS, StackBuilder, type SymbolStyle, TEXT_SYMBOLS } from "./stack-builder.ts";

describe("a profile built from stacks", () => {
  const built = (style: SymbolStyle) => {
    const b = new StackBuilder(1, undefined, style);
    b.add(b.childAt(0, b.locationAt("main", 3)), [1n]);
    return new PprofDecoder().decode(
      b.encode({ sampleTypes: [{ type: "cpu", unit: "ns" }], period: 0n, timeNanos: 0n, durationNanos: 0n }),
    );
  };

  it("has system names and an unknown mapping for text, as in v1", () => {
    const t = built(TEXT_SYMBOLS);
    expect(t.funcSystemName.data[0]).toBe(t.funcName.data[0]);
    expect([t.mappings, t.mappingFlags.data[0], t.lineNumber.data[0]]).toEqual([1, 0, 3]);
  });

  it("has a mapping with functions, and no system names, for JFR, as in v1", () => {
    const t = built(JFR_SYMBOLS);
    expect(t.funcSystemName.data[0]).toBe(0);
    expect([t.mappings, t.mappingFlags.data[0], t.lineNumber.data[0]]).toEqual([1, HAS_FUNCTIONS, 3]);
  });
});
