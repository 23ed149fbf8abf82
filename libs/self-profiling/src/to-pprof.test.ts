import { PprofDecoder } from "@cinderblock/pprof";
import type { CallFrame, ThreadProfile } from "@cinderblock/threads";
import { cpuToPprof, heapToPprof } from "./index.ts";

const frame = (functionName: string, lineNumber = 1): CallFrame => ({
  functionName,
  url: functionName.startsWith("(") ? "" : "file:///b.mjs",
  lineNumber,
  columnNumber: 0,
});
const locate = (f: CallFrame): { file: string; line: number } => ({
  file: "libs/a.ts",
  line: f.lineNumber + 10,
});

/** Stacks root first with thread and values, read by a second decoder. */
function read(bytes: Uint8Array): Map<string, bigint[]> {
  const t = new PprofDecoder().decode(bytes),
    out = new Map<string, bigint[]>();
  const text = (i: number): string =>
    Buffer.from(t.bytes.subarray(t.stringStart.data[i]!, t.stringEnd.data[i]!)).toString();
  const byId = new Map(Array.from({ length: t.locations }, (_, i) => [t.locIdLo.data[i]!, i]));
  for (let s = 0; s < t.samples; s++) {
    const names: string[] = [];
    for (let k = t.sampleLocations.data[s]!; k < t.sampleLocations.data[s + 1]!; k++) {
      const fn = t.lineFunctionLo.data[t.locLines.data[byId.get(t.locationIdLo.data[k]!)!]!]!;
      names.push(text(t.funcName.data[fn - 1]!));
    }
    const thread = text(t.labelStr.data[t.sampleLabels.data[s]!]!);
    out.set(
      `${thread}: ${names.reverse().join(";")}`,
      Array.from({ length: t.sampleTypes }, (_, k) => t.value.data[t.sampleValues.data[s]! + k]!),
    );
  }
  return out;
}

describe("V8's profiles as pprof", () => {
  it("count samples and time by stack and thread, without waiting", () => {
    const main: ThreadProfile = {
      thread: "main",
      cpu: {
        nodes: [
          { id: 1, callFrame: frame("(root)"), children: [2, 3, 5] },
          { id: 2, callFrame: frame("(idle)") },
          { id: 3, callFrame: frame("serve"), children: [4] },
          { id: 4, callFrame: frame("") },
          { id: 5, callFrame: frame("(garbage collector)") },
        ],
        samples: [2, 4, 4, 3, 5, 1],
        timeDeltas: [9000, 100, 200, 50, 7, 1],
      },
    };
    const worker: ThreadProfile = {
      thread: "ingest-0",
      cpu: {
        nodes: [
          { id: 1, callFrame: frame("(root)"), children: [2] },
          { id: 2, callFrame: frame("serve") },
        ],
        samples: [2],
        timeDeltas: [30],
      },
    };
    expect(read(cpuToPprof([main, worker], 10_000, 1, 2, locate))).toEqual(
      new Map([
        ["main: serve;(anonymous) a.ts:11", [2n, 300_000n]],
        ["main: serve", [1n, 50_000n]],
        ["main: (garbage collector)", [1n, 7000n]],
        ["ingest-0: serve", [1n, 30_000n]],
      ]),
    );
  });

  it("report live memory by its allocation stack", () => {
    const heap: ThreadProfile = {
      thread: "main",
      heap: {
        head: {
          callFrame: frame("(root)"),
          id: 1,
          children: [
            {
              callFrame: frame("keep"),
              id: 2,
              children: [{ callFrame: frame("grow", 5), id: 3, children: [] }],
            },
          ],
        },
        samples: [
          { size: 100, nodeId: 3, ordinal: 1 },
          { size: 50, nodeId: 3, ordinal: 2 },
          { size: 8, nodeId: 2, ordinal: 3 },
        ],
      },
    };
    expect(read(heapToPprof([heap], 524288, 1, locate))).toEqual(
      new Map([
        ["main: keep", [1n, 8n]],
        ["main: keep;grow", [2n, 150n]],
      ]),
    );
  });
});
