import { encodePprof, type PprofHeader } from "@cinderblock/pprof";
import type { CallFrame, HeapNode, ThreadProfile } from "@cinderblock/threads";

/** Maps a position in the running code to the original source. */
export type SourceLocator = (frame: CallFrame) => { file: string; line: number };
/** V8's names for idle time and for the root of the call tree, which are not functions. */
const IDLE = "(idle)",
  ROOT = "(root)";

/** Builds the columns of a pprof; equal frames and texts are stored once. */
class Columns {
  private readonly texts = new Map<string, number>([["", 0]]);
  private readonly frames = new Map<string, number>();
  private readonly functions: number[] = [];
  private readonly lines: number[] = [];
  private readonly offset: number[] = [0];
  private readonly locations: number[] = [];
  private readonly labels: number[] = [];
  private readonly values: bigint[] = [];
  private readonly locate: SourceLocator;
  constructor(locate: SourceLocator) {
    this.locate = locate;
  }

  private text(t: string): number {
    let n = this.texts.get(t);
    if (n === undefined) this.texts.set(t, (n = this.texts.size));
    return n;
  }

  private frame(f: CallFrame): number {
    const key = `${f.functionName} ${f.url}:${f.lineNumber}:${f.columnNumber}`;
    let n = this.frames.get(key);
    if (n === undefined) {
      const { file, line } = f.url === "" ? { file: "", line: 0 } : this.locate(f);
      const name = this.text(
        f.functionName !== "" ? f.functionName : `(anonymous) ${file.split("/").pop()!}:${line}`,
      );
      this.frames.set(key, (n = this.frames.size));
      this.functions.push(name, name, this.text(file), line);
      this.lines.push(line);
    }
    return n;
  }

  /** @param stack leaf first */
  add(stack: readonly CallFrame[], thread: string, values: readonly bigint[]): void {
    for (const f of stack) this.locations.push(this.frame(f));
    this.offset.push(this.locations.length);
    this.labels.push(this.text(thread));
    this.values.push(...values);
  }

  encode(header: PprofHeader): Uint8Array {
    const thread = this.text("thread"),
      samples = this.labels.length,
      encoded = [...this.texts.keys()].map((t) => Buffer.from(t));
    const stringOffset = new Uint32Array(encoded.length + 1);
    encoded.forEach((b, i) => {
      stringOffset[i + 1] = stringOffset[i]! + b.length;
    });
    return encodePprof(header, {
      strings: { bytes: Buffer.concat(encoded), offset: stringOffset },
      functionWords: Uint32Array.from(this.functions),
      mappingWords: new Uint32Array(9),
      locationWords: Uint32Array.from(this.lines.flatMap((line, i) => [0, 0, 0, 0, i, line])),
      locationOffset: Uint32Array.from({ length: this.lines.length + 1 }, (_, i) => i * 6),
      sampleOffset: Uint32Array.from(this.offset),
      sampleLocation: Uint32Array.from(this.locations),
      value: BigInt64Array.from(this.values),
      labels: {
        offset: Uint32Array.from({ length: samples + 1 }, (_, i) => i),
        key: new Uint32Array(samples).fill(thread),
        value: Uint32Array.from(this.labels),
      },
    });
  }
}

/**
 * CPU profiles of threads as one pprof: samples and nanoseconds per stack, with the thread as a label. Idle
 * time is left out.
 */
export function cpuToPprof(
  threads: readonly ThreadProfile[],
  intervalUs: number,
  timeMs: number,
  durationMs: number,
  locate: SourceLocator,
): Uint8Array {
  const columns = new Columns(locate);
  for (const { thread, cpu } of threads) {
    if (!cpu) continue;
    const parent = new Map<number, number>(),
      byId = new Map(cpu.nodes.map((n) => [n.id, n]));
    for (const n of cpu.nodes) for (const c of n.children ?? []) parent.set(c, n.id);
    const count = new Map<number, number>(),
      micros = new Map<number, number>();
    cpu.samples.forEach((id, i) => {
      count.set(id, (count.get(id) ?? 0) + 1);
      micros.set(id, (micros.get(id) ?? 0) + Math.max(0, cpu.timeDeltas[i] ?? 0));
    });
    for (const [id, n] of count) {
      const stack: CallFrame[] = [];
      for (let at: number | undefined = id; at !== undefined; at = parent.get(at)) {
        const { callFrame } = byId.get(at)!;
        if (callFrame.functionName !== ROOT) stack.push(callFrame);
      }
      if (stack.length === 0 || stack[0]!.functionName === IDLE) continue;
      columns.add(stack, thread, [BigInt(n), BigInt(micros.get(id)!) * 1000n]);
    }
  }
  return columns.encode({
    sampleTypes: [
      { type: "samples", unit: "count" },
      { type: "cpu", unit: "nanoseconds" },
    ],
    periodType: { type: "cpu", unit: "nanoseconds" },
    period: BigInt(intervalUs) * 1000n,
    timeNanos: BigInt(timeMs) * 1_000_000n,
    durationNanos: BigInt(durationMs) * 1_000_000n,
  });
}

/**
 * Heap profiles of threads as one pprof: live objects and bytes per allocating stack, with the thread as a
 * label.
 */
export function heapToPprof(
  threads: readonly ThreadProfile[],
  intervalBytes: number,
  timeMs: number,
  locate: SourceLocator,
): Uint8Array {
  const columns = new Columns(locate);
  for (const { thread, heap } of threads) {
    if (!heap) continue;
    const bytes = new Map<number, number>(),
      objects = new Map<number, number>();
    for (const s of heap.samples) {
      bytes.set(s.nodeId, (bytes.get(s.nodeId) ?? 0) + s.size);
      objects.set(s.nodeId, (objects.get(s.nodeId) ?? 0) + 1);
    }
    const walk = (node: HeapNode, above: readonly CallFrame[]): void => {
      const stack = node.callFrame.functionName === ROOT ? above : [node.callFrame, ...above];
      const size = bytes.get(node.id) ?? 0;
      if (size > 0 && stack.length > 0)
        columns.add(stack, thread, [BigInt(objects.get(node.id)!), BigInt(Math.round(size))]);
      for (const c of node.children) walk(c, stack);
    };
    walk(heap.head, []);
  }
  return columns.encode({
    sampleTypes: [
      { type: "inuse_objects", unit: "count" },
      { type: "inuse_space", unit: "bytes" },
    ],
    periodType: { type: "space", unit: "bytes" },
    period: BigInt(intervalBytes),
    timeNanos: BigInt(timeMs) * 1_000_000n,
    durationNanos: 0n,
  });
}
