/** One event of a small recording: its class, its stack with the root first, and its fields. */
export interface TinyJfrEvent {
  type:
    | "ExecutionSample"
    | "ObjectAllocationInNewTLAB"
    | "ObjectAllocationOutsideTLAB"
    | "ObjectAllocationSample"
    | "JavaMonitorEnter"
    | "ThreadPark"
    | "LiveObject"
    | "Malloc"
    | "WallClockSample";
  frames: [type: string, method: string, line?: number][];
  state?: string;
  contextId?: number;
  /** written by agents of 2024 and later, like the three fields after it */
  spanId?: bigint;
  /** number of a string of the agent's labels */
  spanName?: number;
  traceHigh?: bigint;
  traceLow?: bigint;
  tlabSize?: number;
  /** bytes of allocations outside of a TLAB */
  bytes?: number;
  durationTicks?: number;
  samples?: number;
}

/**
 * Encodes a recording of one chunk in async-profiler's layout, with a billion ticks per second. `cyclic`: its
 * two checkpoints name each other as predecessor. `nested`: number of classes before a sample's fields, each
 * with two fields of the next class; they take no bytes. Written by hand, independent of the reader under
 * test.
 */
export function tinyJfr(
  events: readonly TinyJfrEvent[],
  setting = "itimer",
  cyclic = false,
  nested = 0,
): Uint8Array {
  const varint = (v: number | bigint): number[] => {
    let n = BigInt.asUintN(64, BigInt(v));
    const out: number[] = [];
    for (let i = 0; i < 8 && n > 127n; i++, n >>= 7n) out.push(Number(n & 127n) | 128);
    return [...out, Number(n)];
  };
  const text = (s: string): number[] => {
    const b = [...Buffer.from(s)];
    return [3, ...varint(b.length), ...b];
  };
  const sized = (body: number[]): number[] => {
    for (let n = body.length + 1; ; n++) {
      const head = varint(n);
      if (head.length + body.length === n) return [...head, ...body];
    }
  };

  // ---- metadata: name, id, fields [name, type, constant pool, array]
  const C = {
    boolean: 4,
    char: 5,
    int: 8,
    long: 9,
    string: 10,
    class: 20,
    thread: 21,
    state: 22,
    trace: 23,
    frame: 24,
    method: 25,
    symbol: 26,
    setting: 40,
    execution: 101,
    tlab: 102,
    monitor: 103,
    wall: 104,
    outside: 105,
    sampled: 106,
    park: 107,
    live: 108,
    malloc: 109,
  };
  type F = [string, number, boolean?, boolean?];
  const ids: F[] = [
    ["contextId", C.long],
    ["spanId", C.long],
    ["spanName", C.long],
    ["traceIdHi", C.long],
    ["traceIdLo", C.long],
  ];
  const classes: [string, number, F[]][] = [
    ["boolean", C.boolean, []],
    ["char", C.char, []],
    ["int", C.int, []],
    ["long", C.long, []],
    ["java.lang.String", C.string, []],
    [
      "java.lang.Class",
      C.class,
      [
        ["name", C.symbol, true],
        ["modifiers", C.int],
      ],
    ],
    ["jdk.types.ThreadState", C.state, [["name", C.string]]],
    ["jdk.types.Symbol", C.symbol, [["string", C.string]]],
    [
      "jdk.types.StackTrace",
      C.trace,
      [
        ["truncated", C.boolean],
        ["frames", C.frame, false, true],
      ],
    ],
    [
      "jdk.types.StackFrame",
      C.frame,
      [
        ["method", C.method, true],
        ["lineNumber", C.int],
      ],
    ],
    [
      "jdk.types.Method",
      C.method,
      [
        ["type", C.class, true],
        ["name", C.symbol, true],
        ["hidden", C.boolean],
      ],
    ],
    [
      "jdk.ActiveSetting",
      C.setting,
      [
        ["startTime", C.long],
        ["name", C.string],
        ["value", C.string],
      ],
    ],
    ...Array.from({ length: nested }, (_, i): [string, number, F[]] => [
      `Nested${i}`,
      1000 + i,
      i + 1 < nested
        ? [
            ["a", 1001 + i],
            ["b", 1001 + i],
          ]
        : [],
    ]),
    [
      "jdk.ExecutionSample",
      C.execution,
      [
        ...(nested > 0 ? [["nested", 1000] as F] : []),
        ["startTime", C.long],
        ["stackTrace", C.trace, true],
        ["state", C.state, true],
        ...ids,
      ],
    ],
    [
      "jdk.ObjectAllocationInNewTLAB",
      C.tlab,
      [["startTime", C.long], ["stackTrace", C.trace, true], ["tlabSize", C.long], ...ids],
    ],
    [
      "jdk.JavaMonitorEnter",
      C.monitor,
      [["startTime", C.long], ["duration", C.long], ["stackTrace", C.trace, true], ...ids],
    ],
    [
      "jdk.ObjectAllocationOutsideTLAB",
      C.outside,
      [["startTime", C.long], ["stackTrace", C.trace, true], ["allocationSize", C.long], ...ids],
    ],
    [
      "jdk.ObjectAllocationSample",
      C.sampled,
      [
        ["startTime", C.long],
        ["stackTrace", C.trace, true],
        ["weight", C.long],
        ["contextId", C.long],
      ],
    ],
    [
      "jdk.ThreadPark",
      C.park,
      [
        ["startTime", C.long],
        ["duration", C.long],
        ["stackTrace", C.trace, true],
        ["contextId", C.long],
      ],
    ],
    [
      "profiler.LiveObject",
      C.live,
      [
        ["startTime", C.long],
        ["stackTrace", C.trace, true],
        ["allocationSize", C.long],
      ],
    ],
    [
      "profiler.Malloc",
      C.malloc,
      [
        ["startTime", C.long],
        ["stackTrace", C.trace, true],
        ["address", C.long],
        ["size", C.long],
      ],
    ],
    [
      "profiler.WallClockSample",
      C.wall,
      [
        ["startTime", C.long],
        ["stackTrace", C.trace, true],
        ["state", C.state, true],
        ["samples", C.int],
        ...ids,
      ],
    ],
  ];
  const strings: string[] = [];
  const str = (s: string): number[] => {
    let i = strings.indexOf(s);
    if (i < 0) i = strings.push(s) - 1;
    return varint(i);
  };
  const element = (name: string, attributes: Record<string, string>, children: number[][]): number[] => [
    ...str(name),
    ...varint(Object.keys(attributes).length),
    ...Object.entries(attributes).flatMap(([k, v]) => [...str(k), ...str(v)]),
    ...varint(children.length),
    ...children.flat(),
  ];
  const tree = element("root", {}, [
    element(
      "metadata",
      {},
      classes.map(([name, id, fields]) =>
        element(
          "class",
          { id: String(id), name },
          fields.map(([n, type, pool, array]) =>
            element(
              "field",
              {
                name: n,
                class: String(type),
                ...(pool ? { constantPool: "true" } : {}),
                ...(array ? { dimension: "1" } : {}),
              },
              [],
            ),
          ),
        ),
      ),
    ),
    element("region", {}, []),
  ]);
  const metadata = sized([0, 0, 0, 1, ...varint(strings.length), ...strings.flatMap(text), ...tree]);

  // ---- constants
  const symbols: string[] = [],
    classIds: string[] = [],
    methods: string[] = [],
    states = ["STATE_RUNNABLE", "STATE_SLEEPING", "STATE_DEFAULT"],
    traces: { frames: number; bytes: number[] }[] = [];
  const idOf = (list: string[], s: string): number => {
    let i = list.indexOf(s);
    if (i < 0) i = list.push(s) - 1;
    return i + 1;
  };
  const trace = (frames: TinyJfrEvent["frames"]): number =>
    traces.push({
      frames: frames.length,
      bytes: [...frames].reverse().flatMap(([t, m, line]) => {
        idOf(classIds, t);
        idOf(symbols, t);
        idOf(symbols, m);
        return [...varint(idOf(methods, `${t}\u0000${m}`)), ...varint(line ?? 7)];
      }),
    });
  const body: number[] = [...sized([C.setting, 0, ...text("event"), ...text(setting)])];
  for (const e of events) {
    const t = varint(trace(e.frames)),
      state = varint(1 + states.indexOf(e.state ?? "STATE_RUNNABLE")),
      context = varint(e.contextId ?? 0),
      all = [...context, ...[e.spanId, e.spanName, e.traceHigh, e.traceLow].flatMap((id) => varint(id ?? 0))],
      bytes = varint(e.bytes ?? 0);
    if (e.type === "ExecutionSample") body.push(...sized([C.execution, 1, ...t, ...state, ...all]));
    else if (e.type === "ObjectAllocationInNewTLAB")
      body.push(...sized([C.tlab, 1, ...t, ...varint(e.tlabSize ?? 0), ...all]));
    else if (e.type === "JavaMonitorEnter")
      body.push(...sized([C.monitor, 1, ...varint(e.durationTicks ?? 0), ...t, ...all]));
    else if (e.type === "ObjectAllocationOutsideTLAB")
      body.push(...sized([C.outside, 1, ...t, ...bytes, ...all]));
    else if (e.type === "ObjectAllocationSample")
      body.push(...sized([C.sampled, 1, ...t, ...bytes, ...context]));
    else if (e.type === "ThreadPark")
      body.push(...sized([C.park, 1, ...varint(e.durationTicks ?? 0), ...t, ...context]));
    else if (e.type === "LiveObject") body.push(...sized([C.live, 1, ...t, ...bytes]));
    else if (e.type === "Malloc") body.push(...sized([C.malloc, 1, ...t, 7, ...bytes]));
    else body.push(...sized([...varint(C.wall), 1, ...t, ...state, ...varint(e.samples ?? 1), ...all]));
  }
  const pool = (id: number, entries: number[][]): number[] => [
    ...varint(id),
    ...varint(entries.length),
    ...entries.flatMap((x, i) => [...varint(i + 1), ...x]),
  ];
  const checkpoint = (delta: bigint, pools: number[][]): number[] =>
    sized([1, 0, 0, ...varint(delta), 1, ...varint(pools.length), ...pools.flat()]);
  const firstWith = (delta: bigint): number[] =>
    checkpoint(delta, [pool(C.symbol, symbols.map(text)), pool(C.state, states.map(text))]);
  let first = firstWith(0n);
  // The distance to the second checkpoint is the first one's size, which includes the distance itself.
  while (cyclic && firstWith(BigInt(first.length)).join() !== first.join())
    first = firstWith(BigInt(first.length));
  const rest = [
    pool(
      C.class,
      classIds.map((t) => [...varint(idOf(symbols, t)), 1]),
    ),
    pool(
      C.method,
      methods.map((x) => {
        const [t, m] = x.split("\u0000") as [string, string];
        return [...varint(idOf(classIds, t)), ...varint(idOf(symbols, m)), 0];
      }),
    ),
    pool(
      C.trace,
      traces.map(({ frames, bytes }) => [0, ...varint(frames), ...bytes]),
    ),
  ];
  const header = 68;
  const firstAt = header + body.length,
    secondAt = firstAt + first.length;
  const second = checkpoint(BigInt(firstAt - secondAt), rest);
  const out = new Uint8Array(header + body.length + first.length + second.length + metadata.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, 0x464c5200);
  view.setUint16(4, 2);
  [out.length, secondAt, secondAt + second.length, 0, 0, 0, 1e9].forEach((v, i) =>
    view.setBigUint64(8 + 8 * i, BigInt(v)),
  );
  view.setUint32(64, 1);
  out.set([...body, ...first, ...second, ...metadata], header);
  return out;
}
