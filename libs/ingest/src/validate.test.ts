import { PprofDecoder, type PprofTables } from "@cinderblock/pprof";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof } from "@cinderblock/testkit";
import { validateProfile } from "./validate.ts";

const NOW = 1_795_409_460_000;
const LIMITS = {
  ...TEST_LIMITS,
  rejectOlderThanMs: 36e5,
  maxProfileStacktraceSamples: 1,
  maxProfileStacktraceSampleLabels: 1,
};

/** Adds a string to the table, and returns its number. */
function string(t: PprofTables, text: string | Uint8Array): number {
  const added = Buffer.from(text),
    from = t.bytes.length;
  t.bytes = Buffer.concat([t.bytes, added]);
  t.stringStart.push(from);
  t.stringEnd.push(from + added.length);
  return t.strings - 1;
}

/** Ways to break a profile, in the order in which v1 looks for them, with the reason that it gives. */
const RULES: [reason: string, breaks: (t: PprofTables) => void][] = [
  ["is outside of ingestion window", (t) => (t.timeNanos = 1n)],
  ["exceeds the samples count limit", (t) => t.sampleLocations.push(t.sampleLocations.data[1]!)],
  [
    "exceeds the sample labels limit",
    (t) => {
      t.sampleLabels.data[1] = 2;
    },
  ],
  ["location id is 0", (t) => (t.locIdLo.data[0] = 0)],
  ["function id is 0", (t) => (t.funcIdLo.data[1] = 0)],
  ["sample value length mismatch", (t) => (t.sampleValues.data[1] = 0)],
  ["string 0 should be empty string", (t) => (t.stringEnd.data[0] = t.stringStart.data[0]! + 1)],
  ["sample type type string index out of range", (t) => (t.typeType.data[0] = 1000)],
  ["sample label string index out of range", (t) => (t.labelStr.data[0] = 1000)],
  ["function name string index out of range", (t) => (t.funcName.data[0] = 1000)],
  ["mapping file name string index out of range", (t) => (t.mappingFilename.data[0] = 1000)],
  ["mapping build id string index out of range", (t) => (t.mappingBuildId.data[0] = 1000)],
  ["sample type contains -", (t) => (t.typeType.data[0] = string(t, "alloc-size"))],
  ["sample type contains :", (t) => (t.typeType.data[0] = string(t, "a:b"))],
  ["unit of a sample type contains :", (t) => (t.typeUnit.data[0] = string(t, "a:b"))],
  ["period type contains :", (t) => (t.periodType = string(t, "a:b"))],
  ["unit of the period type contains :", (t) => (t.periodUnit = string(t, "a:b"))],
  ["invalid utf8 string hex: ff", (t) => string(t, Uint8Array.of(255))],
];

function reasonOf(...breaks: ((t: PprofTables) => void)[]): string {
  const t = new PprofDecoder().decode(
    tinyPprof({
      stacks: [{ frames: ["a", "b"], values: [1], labels: { region: "north" } }],
      timeNanos: BigInt(NOW) * 1_000_000n,
    }),
  );
  for (const b of breaks) b(t);
  try {
    validateProfile(t, [], LIMITS, NOW);
    return "";
  } catch (err) {
    return (err as Error).message;
  }
}

describe("a broken profile", () => {
  it("is one with a broken rule", () => {
    expect(reasonOf()).toBe("");
  });
  it.each(RULES)("is refused: %s", (reason, breaks) => {
    expect(reasonOf(breaks)).toContain(reason);
  });
  it.each(RULES.slice(0, -1))("with every later rule broken, too, is refused by the first: %s", (reason) => {
    const at = RULES.findIndex(([r]) => r === reason);
    for (const [, later] of RULES.slice(at + 1)) expect(reasonOf(later, RULES[at]![1])).toContain(reason);
  });
});
