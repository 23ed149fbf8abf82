import { Session } from "node:inspector/promises";
import { isMainThread, threadName } from "node:worker_threads";

/** A function as V8 names it; lines and columns start at 0. */
export interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
  columnNumber: number;
}
/**
 * CPU profile: each sample is the ID of a node, and stands for the microseconds since the previous sample.
 */
export interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[];
  samples: number[];
  timeDeltas: number[];
}
/** Sampled live allocations, scaled to bytes by V8; `samples` state how many objects of a size a node has. */
export interface HeapProfile {
  head: HeapNode;
  samples: { size: number; nodeId: number; ordinal: number }[];
}
/** A node of V8's allocation tree. */
export interface HeapNode {
  callFrame: CallFrame;
  id: number;
  children: HeapNode[];
}

/** Kind of a thread profile. For heap profiles, sampling starts with the first request. */
export type ProfileAsk =
  | { kind: "cpu"; ms: number; intervalUs: number }
  | { kind: "heap"; intervalBytes: number };
/** Profile of one thread. */
export interface ThreadProfile {
  thread: string;
  cpu?: CpuProfile;
  heap?: HeapProfile;
}

let session: Session | undefined;
let sampling = false;
/** end of the last CPU profile: V8 has one profiler per thread, so profiles run one after the other */
let cpu: Promise<unknown> = Promise.resolve();

/** Profiles the calling thread. */
export async function profileThisThread(ask: ProfileAsk): Promise<ThreadProfile> {
  const thread = isMainThread ? "main" : (threadName ?? "worker");
  if (!session) {
    session = new Session();
    session.connect();
  }
  const s = session;
  if (ask.kind === "heap") {
    if (!sampling) {
      sampling = true;
      await s.post("HeapProfiler.enable");
      await s.post("HeapProfiler.startSampling", { samplingInterval: ask.intervalBytes });
    }
    return {
      thread,
      heap: (await s.post("HeapProfiler.getSamplingProfile")).profile as unknown as HeapProfile,
    };
  }
  const mine = cpu.then(async () => {
    await s.post("Profiler.enable");
    await s.post("Profiler.setSamplingInterval", { interval: ask.intervalUs });
    await s.post("Profiler.start");
    await new Promise((r) => {
      setTimeout(r, ask.ms);
    });
    const { profile } = await s.post("Profiler.stop");
    await s.post("Profiler.disable");
    return { thread, cpu: profile as unknown as CpuProfile };
  });
  cpu = mine.catch(() => undefined);
  return mine;
}
