import { PairTable } from "@cinderblock/columnar";
import type { PprofTables } from "@cinderblock/pprof";
import type { ProfileKernel } from "@cinderblock/profile-kernel";

/** Position of an ID that a table lacks. */
export const UNKNOWN = 0xffffffff;

/**
 * A validated profile with its references resolved to positions in `tables`, and its samples selected for
 * storage. Valid as long as `tables`: until the decoder's next profile.
 */
export interface NormalizedProfile {
  tables: PprofTables;
  timeNanos: bigint;
  /** reference (entry of tables.locationId) -> location, or UNKNOWN */
  refLocation: Uint32Array;
  /** sample -> references [sampleFrom, sampleTo), leaf first */
  sampleFrom: Uint32Array;
  sampleTo: Uint32Array;
  /** line of a location -> its function */
  lineFunction: Uint32Array;
  /** location -> mapping, or UNKNOWN for the stub that v1 adds */
  locationMapping: Uint32Array;
  /** sample -> 1 when it is to be stored */
  keep: Uint8Array;
  kept: number;
  /** the kernel whose memory holds all columns, if one does: it can intern the profile */
  kernel: ProfileKernel | undefined;
}

interface Ids {
  data: Uint32Array;
  length: number;
}

/**
 * Returns a function from ID to position: arithmetic for the usual IDs 1, 2, 3, …; a hash table for others.
 */
function resolver(lo: Ids, hi: Ids): (qlo: number, qhi: number) => number {
  const n = lo.length;
  let dense = true;
  for (let i = 0; i < n; i++)
    if (lo.data[i] !== i + 1 || hi.data[i] !== 0) {
      dense = false;
      break;
    }
  if (dense) return (qlo, qhi) => (qhi === 0 && qlo > 0 && qlo <= n ? qlo - 1 : UNKNOWN);
  const table = new PairTable(n);
  for (let i = 0; i < n; i++) table.getOrSet(lo.data[i]!, hi.data[i]!, i);
  return (qlo, qhi) => {
    const at = table.get(qlo, qhi);
    return at < 0 ? UNKNOWN : at;
  };
}

/** Arrays to reuse between profiles: a profile's columns are valid until the next profile. */
export class NormalizeScratch {
  private readonly arrays = new Map<string, Uint32Array>();
  private bytes = new Uint8Array(1024);
  u32(name: string, n: number): Uint32Array {
    let a = this.arrays.get(name);
    if (!a || a.length < n) this.arrays.set(name, (a = new Uint32Array(Math.max(1024, n * 2))));
    return a.subarray(0, n);
  }
  /** A zeroed array of `n` bytes. */
  u8(n: number): Uint8Array {
    if (this.bytes.length < n) this.bytes = new Uint8Array(n * 2);
    return this.bytes.subarray(0, n).fill(0);
  }
}

/**
 * Normalizes a profile as v1 does before storage. Drops samples with a negative value, with only zeros or
 * with an unknown location. Treats locations without lines and address as unknown. Cuts stacks at the leaf
 * end.
 */
export function normalizeProfile(
  kernel: ProfileKernel,
  t: PprofTables,
  maxDepth: number,
  nowNanos: bigint,
  scratch: NormalizeScratch,
): NormalizedProfile {
  const resident = kernel.normalise(t, maxDepth);
  if (!resident) return normalisePlain(t, maxDepth, nowNanos, scratch);
  return { tables: t, timeNanos: timeOf(t, nowNanos), ...resident, kernel };
}

/**
 * Time of a profile; now without one. A time before 1970 counts as missing: Go writes -6795364578871345152 for the zero
 * value of its clock.
 */
function timeOf(t: PprofTables, nowNanos: bigint): bigint {
  return t.timeNanos > 0n ? t.timeNanos : nowNanos;
}

/** Plain TypeScript twin of the kernel's profile normalization; accepts any IDs. */
function normalisePlain(
  t: PprofTables,
  maxDepth: number,
  nowNanos: bigint,
  scratch: NormalizeScratch,
): NormalizedProfile {
  const functionAt = resolver(t.funcIdLo, t.funcIdHi);
  const mappingAt = resolver(t.mappingIdLo, t.mappingIdHi);
  const locationAt = resolver(t.locIdLo, t.locIdHi);

  const lines = t.lineNumber.length;
  const lineFunction = scratch.u32("lineFunction", lines);
  for (let i = 0; i < lines; i++)
    lineFunction[i] = functionAt(t.lineFunctionLo.data[i]!, t.lineFunctionHi.data[i]!);

  const locations = t.locations;
  const locationMapping = scratch.u32("locationMapping", locations);
  const valid = new Uint8Array(locations);
  const locLines = t.locLines.data;
  for (let i = 0; i < locations; i++) {
    locationMapping[i] = mappingAt(t.locMappingLo.data[i]!, t.locMappingHi.data[i]!);
    let ok = locLines[i + 1]! > locLines[i]! || t.locAddress.data[i] !== 0n;
    for (let k = locLines[i]!; k < locLines[i + 1]!; k++) if (lineFunction[k] === UNKNOWN) ok = false;
    valid[i] = ok ? 1 : 0;
  }

  const refs = t.locationIdLo.length;
  const refLocation = scratch.u32("refLocation", refs);
  const refLo = t.locationIdLo.data,
    refHi = t.locationIdHi.data;
  for (let i = 0; i < refs; i++) {
    const at = locationAt(refLo[i]!, refHi[i]!);
    refLocation[i] = at !== UNKNOWN && valid[at] === 1 ? at : UNKNOWN;
  }

  const samples = t.samples;
  const sampleFrom = scratch.u32("sampleFrom", samples),
    sampleTo = scratch.u32("sampleTo", samples),
    keep = scratch.u8(samples);
  const first = t.sampleLocations.data,
    values = t.sampleValues.data,
    words = t.value.words;
  let kept = 0;
  for (let i = 0; i < samples; i++) {
    const to = first[i + 1]!;
    let from = first[i]!;
    if (maxDepth > 0 && to - from > maxDepth) from = to - maxDepth;
    sampleFrom[i] = from;
    sampleTo[i] = to;
    let ok = true,
      any = 0;
    for (let k = values[i]!; k < values[i + 1]!; k++) {
      const hi = words[2 * k + 1]!;
      if (hi < 0) {
        ok = false;
        break;
      }
      any |= hi | words[2 * k]!;
    }
    if (!ok || any === 0) continue;
    for (let k = first[i]!; k < to; k++)
      if (refLocation[k] === UNKNOWN) {
        ok = false;
        break;
      }
    if (ok) {
      keep[i] = 1;
      kept++;
    }
  }
  return {
    tables: t,
    timeNanos: timeOf(t, nowNanos),
    refLocation,
    sampleFrom,
    sampleTo,
    lineFunction,
    locationMapping,
    keep,
    kept,
    kernel: undefined,
  };
}
