/**
 * A pprof with one sample per stack; frames root first. Written by hand, independent of the encoders under
 * test.
 */
export interface TinyProfile {
  types?: [type: string, unit: string][];
  period?: [type: string, unit: string];
  stacks: { frames: string[]; values: number[]; labels?: Record<string, string | number> }[];
  timeNanos?: bigint;
  mapping?: string;
  /** start, limit and offset of the mapping */
  extent?: [start: bigint, limit: bigint, offset: bigint];
  /** whether the mapping says that its functions are known; by default true */
  symbolized?: boolean;
  /** address of the first location; the next ones follow */
  address?: number;
  /** line of each function; by default each has one of its own */
  line?: number;
  /** files of functions; by default main.go */
  files?: Record<string, string>;
  /** functions whose locations have no lines, only an address */
  bare?: readonly string[];
  /** IDs of the first function and of its location, of the second ones, …; by default 1, 2, … */
  functionIds?: readonly number[];
  locationIds?: readonly number[];
  /** mapping that locations refer to; by default 1, the only one */
  mappingId?: number;
}

/** Encodes a profile as google.v1.Profile, uncompressed. Locations and functions are one for each name. */
export function tinyPprof(p: TinyProfile): Uint8Array {
  const interned = (): { list: string[]; at: (s: string) => number } => {
    const list: string[] = [],
      known = new Map<string, number>();
    return {
      list,
      at: (s) => {
        let i = known.get(s);
        if (i === undefined) known.set(s, (i = list.push(s) - 1));
        return i;
      },
    };
  };
  const { list: strings, at: str } = interned();
  str("");
  const varint = (v: number | bigint): number[] => {
    const out: number[] = [];
    if (typeof v === "number" && v >= 0 && v < 2 ** 31) {
      for (; v > 127; v >>>= 7) out.push((v & 127) | 128);
      out.push(v);
      return out;
    }
    let n = BigInt.asUintN(64, BigInt(v));
    for (; n > 127n; n >>= 7n) out.push(Number(n & 127n) | 128);
    out.push(Number(n));
    return out;
  };
  const field = (n: number, v: number | bigint): number[] => [...varint(n * 8), ...varint(v)];
  const message = (n: number, body: number[]): number[] => [
    ...varint(n * 8 + 2),
    ...varint(body.length),
    ...body,
  ];
  const { list: functions, at: functionAt } = interned();
  const locationId = (i: number): number => p.locationIds?.[i] ?? i + 1;
  const out: number[] = [];
  for (const [t, u] of p.types ?? [["cpu", "nanoseconds"]])
    out.push(...message(1, [...field(1, str(t)), ...field(2, str(u))]));
  for (const s of p.stacks) {
    out.push(
      ...message(2, [
        ...message(
          1,
          [...s.frames].reverse().flatMap((f) => varint(locationId(functionAt(f)))),
        ),
        ...message(2, s.values.flatMap(varint)),
        ...Object.entries(s.labels ?? {}).flatMap(([k, v]) =>
          message(3, [...field(1, str(k)), ...(typeof v === "string" ? field(2, str(v)) : field(3, v))]),
        ),
      ]),
    );
  }
  out.push(
    ...message(3, [
      ...field(1, 1),
      ...(p.extent ?? []).flatMap((v, i) => field(2 + i, v)),
      ...field(5, str(p.mapping ?? "/bin/app")),
      ...field(7, p.symbolized === false ? 0 : 1),
    ]),
  );
  functions.forEach((f, i) => {
    out.push(
      ...message(4, [
        ...field(1, locationId(i)),
        ...field(2, p.mappingId ?? 1),
        ...(p.address === undefined ? [] : field(3, p.address + i)),
        // Where functions have no IDs, lines refer to those of locations, as the agent of .NET writes them.
        ...(p.bare?.includes(f)
          ? []
          : message(4, [...field(1, p.functionIds?.[i] || locationId(i)), ...field(2, p.line ?? i + 10)])),
      ]),
    );
    out.push(
      ...message(5, [
        ...field(1, p.functionIds?.[i] ?? i + 1),
        ...field(2, str(f)),
        ...field(3, str(f)),
        ...field(4, str(p.files?.[f] ?? "main.go")),
      ]),
    );
  });
  const [periodType, periodUnit] = p.period ?? ["cpu", "nanoseconds"];
  const tail = [
    ...field(9, p.timeNanos ?? 0n),
    ...message(11, [...field(1, str(periodType)), ...field(2, str(periodUnit))]),
    ...field(12, 10_000_000),
  ];
  for (const s of strings) {
    const b = [...Buffer.from(s)];
    out.push(...message(6, b));
  }
  return Uint8Array.from([...out, ...tail]);
}
