import { ShortRead } from "@cinderblock/bytes";
import { PairTable, U32Column } from "@cinderblock/columnar";
import { CinderblockError } from "@cinderblock/errors";
import { JfrCursor } from "./cursor.ts";
import { mergeGeneratedName } from "./generated-names.ts";
import {
  type ClassLayout,
  type ElementSink,
  type JfrClass,
  readMetadata,
  TypeReader,
  WIDE_SLOTS,
} from "./metadata.ts";

/** Kinds of events that become profiles; docs/formats/jfr.md lists the profiles of each. */
export type JfrEventKind =
  | "execution"
  | "wall"
  | "alloc-in-tlab"
  | "alloc-outside-tlab"
  | "alloc-sample"
  | "monitor"
  | "park"
  | "live"
  | "malloc";

/** Class names of the JDK and of async-profiler -> kind. */
const EVENTS: ReadonlyMap<string, JfrEventKind> = new Map(
  Object.entries<JfrEventKind>({
    "jdk.ExecutionSample": "execution",
    "profiler.WallClockSample": "wall",
    "jdk.ObjectAllocationInNewTLAB": "alloc-in-tlab",
    "jdk.ObjectAllocationOutsideTLAB": "alloc-outside-tlab",
    "jdk.ObjectAllocationSample": "alloc-sample",
    "jdk.JavaMonitorEnter": "monitor",
    "jdk.ThreadPark": "park",
    "profiler.LiveObject": "live",
    "profiler.Malloc": "malloc",
  }),
);
/** slots for the fields of events */
const STACK = 0,
  STATE = 1,
  BYTES = 2,
  DURATION = 3,
  SAMPLES = 4;
/** Positions of 64-bit IDs in `JfrEvent.ids`: the low word; the high word follows. */
export const CONTEXT_ID = 0,
  SPAN_ID = 2,
  SPAN_NAME = 4,
  TRACE_HIGH = 6,
  TRACE_LOW = 8,
  ID_WORDS = 10;
/** Fields that all kinds may have -> slot; a kind without a field leaves its slot empty. */
const FIELDS: readonly (readonly [string, number])[] = [
  ["stackTrace", STACK],
  ["state", STATE],
  ["duration", DURATION],
  ["samples", SAMPLES],
  ["contextId", WIDE_SLOTS + CONTEXT_ID],
  ["spanId", WIDE_SLOTS + SPAN_ID],
  ["spanName", WIDE_SLOTS + SPAN_NAME],
  ["traceIdHi", WIDE_SLOTS + TRACE_HIGH],
  ["traceIdLo", WIDE_SLOTS + TRACE_LOW],
];
/** field with the bytes of an event */
const BYTES_FIELD: Partial<Record<JfrEventKind, string>> = {
  "alloc-in-tlab": "tlabSize",
  "alloc-outside-tlab": "allocationSize",
  "alloc-sample": "weight",
  malloc: "size",
};
/**
 * Reused container for one event: the next event overwrites its fields. Visitors copy the parts they keep.
 */
export interface JfrEvent {
  kind: JfrEventKind;
  /** ID of a stack trace of the current chunk, for JfrStacks.frames; 0 for none */
  stackTrace: number;
  /** name of the thread's state; undefined if the chunk does not name it */
  state: string | undefined;
  /** IDs of the agent's label set, span, span name and trace, each 0 without one: see CONTEXT_ID and so on */
  ids: Uint32Array;
  /** size of an allocation in bytes; 0 for kinds without one */
  bytes: number;
  /** number of samples that the event represents: above 1 only for `wall` */
  count: number;
  /** duration in nanoseconds, from the chunk's ticks; 0 for kinds without one */
  durationNanos: number;
}

/**
 * Receives the chunks and events of a recording, in the order of the bytes. An error that it throws ends the
 * reading.
 */
export interface JfrVisitor {
  /** called at the start of a chunk, which restarts the IDs of stack traces; `stacks` stays valid */
  chunk(stacks: JfrStacks): void;
  /** `setting`: event that the profiler samples by, as far as known: "cpu", "itimer", "wall", … */
  event(event: JfrEvent, setting: string): void;
}

/**
 * Stack traces of a chunk. Frames have numbers from 0 that are equal for equal (method, line) pairs, so that
 * a reader can name each frame once.
 */
export interface JfrStacks {
  /** Frames of a stack, leaf first, as numbers below `frameCount`: a view. Undefined for an unknown stack. */
  frames(stackTrace: number): Uint32Array | undefined;
  /** `class.method` of a frame; undefined if the chunk lacks the method or its class. */
  frameName(frame: number): string | undefined;
  /** Line of a frame; 0 for none. */
  frameLine(frame: number): number;
  /** number of different frames of the chunk */
  readonly frameCount: number;
}

/**
 * Bytes of a chunk's header, big endian. Offsets count from the start of the chunk; events begin at 68.
 *
 *   0         4         8      16                32         40            48            56        64
 *   | "FLR\0" | version | size | offsets of the  | start ns | duration ns | start ticks | ticks/s | features |
 *   | 4 bytes | 2 x u16 | u64  | last checkpoint, | u64      | u64         | u64         | u64     | u32      |
 *   |         |         |      | metadata: 2 x u64|          |             |             |         |          |
 */
const HEADER_BYTES = 68;
const MAGIC = 0x464c5200; // Magic bytes of a JFR chunk: "FLR\0".
/** Types of the two events that describe the others. */
const METADATA = 0,
  CHECKPOINT = 1;
/** Method IDs below this limit are numbered by a table. */
const SMALL_IDS = 1 << 14;
const NO_FRAMES = new Uint32Array(0);

function refuse(what: string): never {
  throw new CinderblockError("unknown", `parsing IngestInput-pprof failed jfr: ${what}`, {
    reason: "malformed_profile",
  });
}

/**
 * Reads all chunks of a recording. Memory is that of the largest chunk's constants; events pass through one
 * container.
 * @param bytes uncompressed chunks, one after the other
 * @returns the profiler's event setting ("cpu", "itimer", "wall", …; "" if it is unknown)
 * @throws CinderblockError with the reason `malformed_profile` for another magic or version, integers of
 * fixed width, a size or offset outside of the chunk, or metadata and constants that do not fit
 */
export function readRecording(bytes: Uint8Array, visitor: JfrVisitor): string {
  if (bytes.length < HEADER_BYTES)
    refuse(`expected a chunk of at least ${HEADER_BYTES} bytes, found ${bytes.length}`);
  let setting = "";
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = chunkSize(bytes, at);
      setting = new Chunk(bytes.subarray(at, at + size), at).read(visitor, setting);
      at += size;
    }
  } catch (err) {
    if (err instanceof ShortRead)
      throw new CinderblockError("unknown", `parsing IngestInput-pprof failed jfr: ${err.message}`, {
        reason: "malformed_profile",
        cause: err,
      });
    throw err;
  }
  return setting;
}

/**
 * Checks a chunk's header and returns the size of the chunk in bytes. Bit 0 of the features: integers are
 * varints.
 */
function chunkSize(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length - at < HEADER_BYTES || view.getUint32(at) !== MAGIC)
    refuse(`expected a chunk at byte ${at}`);
  if (view.getUint16(at + 4) !== 1 && view.getUint16(at + 4) !== 2)
    refuse(`version ${view.getUint16(at + 4)} is not supported`);
  const size = Number(view.getBigUint64(at + 8));
  if (size < HEADER_BYTES || size > bytes.length - at)
    refuse(`chunk at byte ${at} claims ${size} bytes, ${bytes.length - at} bytes left`);
  if ((view.getUint32(at + 64) & 1) === 0) refuse("fixed-width integers are not supported");
  return size;
}

/**
 * One chunk: its metadata, then its constants, then its events in one pass.
 *
 *   stack trace ID -> traces -> [traceOffset] -> traceFrame: frame numbers
 *   frame -> frameMethod -> methodParts: class -> classNames -> symbols, name -> symbols
 *         `> frameLines
 */
class Chunk implements JfrStacks, ElementSink {
  private readonly bytes: Uint8Array;
  private readonly base: number;
  private readonly view: DataView;
  private readonly cursor: JfrCursor;
  private classes = new Map<number, JfrClass>();
  private types = new TypeReader(this.classes, this);
  /** stack trace -> its index in `traceOffset`; its frames are traceFrame[traceOffset[i], traceOffset[i + 1]) */
  private readonly traces = new Map<number, number>();
  private readonly traceOffset = new U32Column(16);
  private readonly traceFrame: U32Column;
  /** frame -> method, line: each pair is one frame */
  private readonly frameMethod = new U32Column(64);
  private readonly frameLines = new U32Column(64);
  private readonly frameOf = new PairTable(16);
  /**
   * method ID -> number, in order of first use; small IDs, which most profilers use, are in a table (number +
   * 1)
   */
  private readonly methodNumber = new Map<number, number>();
  private smallMethod: Uint32Array | undefined; // there may be very many small chunks
  /** small method ID -> its last frame + 1: most methods have one line in most stacks */
  private lastFrame = NO_FRAMES;
  private methodCount = 0;
  /** constants that the events refer to, by class and ID */
  private readonly methodParts = new Map<number, { type: number; name: number }>();
  private readonly methodNames = new Map<number, string | undefined>();
  private readonly classNames = new Map<number, number>();
  private readonly symbols = new Map<number, string>();
  private readonly states = new Map<number, string>();
  private readonly strings = new Map<number, string>();

  constructor(bytes: Uint8Array, base: number) {
    this.bytes = bytes;
    this.base = base;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.cursor = new JfrCursor(bytes, 0, bytes.length);
    this.traceOffset.push(0);
    // Initial capacity only; the column grows. In a usual recording, frames of about 4 bytes take most of the bytes.
    this.traceFrame = new U32Column(64 + (bytes.length >> 3));
  }

  /**
   * Moves the cursor after the header of the event at `offset`, and its end to the event's end.
   * @returns the event's class
   */
  private seek(offset: number): number {
    const { cursor: c, bytes } = this;
    if (offset < HEADER_BYTES || offset >= bytes.length)
      throw new ShortRead(this.base + offset, "expected an event inside the chunk");
    c.pos = offset;
    c.end = bytes.length;
    const size = c.long();
    if (size < 2 || offset + size > bytes.length)
      throw new ShortRead(this.base + offset, `expected an event inside the chunk, found ${size} bytes`);
    c.end = offset + size;
    return c.long();
  }

  /** Reads the chunk and passes its events on. @returns the profiler's event setting after this chunk */
  read(visitor: JfrVisitor, before: string): string {
    if (this.seek(Number(this.view.getBigUint64(24))) !== METADATA)
      throw new ShortRead(this.base, "expected the metadata at the header's offset");
    this.classes = readMetadata(this.cursor);
    this.types = new TypeReader(this.classes, this);
    this.readConstants(Number(this.view.getBigUint64(16)));
    visitor.chunk(this);
    return this.readEvents(visitor, before);
  }

  /**
   * Reads the constants. Checkpoints form a list from the last one backwards; each has the distance to its
   * predecessor.
   */
  private readConstants(last: number): void {
    const { cursor: c } = this,
      seen = new Set<number>();
    for (let at = last; !seen.has(at); ) {
      seen.add(at);
      if (this.seek(at) !== CHECKPOINT)
        throw new ShortRead(this.base + at, "expected constants at the chunk's offset");
      c.long(); // skips the start time of the checkpoint event
      c.long(); // skips the duration of the checkpoint event
      const delta = Number(c.signedLong());
      c.u8(); // skips the kind of the checkpoint
      for (let pools = c.count(); pools > 0; pools--) this.readPool(c);
      if (delta === 0) return;
      at += delta;
    }
  }

  /**
   * Reads the constants of one class: count, then (ID, value) pairs. Constants of other classes are skipped
   * value by value, because a pool does not state its size.
   */
  private readPool(c: JfrCursor): void {
    const { types } = this,
      k = types.class(c.long(), c.pos),
      n = c.count();
    if (k.name === "java.lang.String") {
      for (let i = 0; i < n; i++) {
        const id = c.long(),
          s = c.string();
        this.strings.set(id, typeof s === "string" ? s : "");
      }
      return;
    }
    const plan = types.plan(
        k,
        POOL_FIELDS.get(k.name) ?? NONE,
        c.pos,
        k.name === "jdk.types.StackTrace"
          ? { array: "frames", constant: "method", integer: "lineNumber" }
          : undefined,
      ),
      { slots } = types;
    for (let i = 0; i < n; i++) {
      const id = c.long();
      slots[0] = slots[1] = undefined;
      types.read(c, plan);
      switch (k.name) {
        case "jdk.types.StackTrace":
          this.traces.set(id, this.traceOffset.length - 1);
          this.traceOffset.push(this.traceFrame.length);
          break;
        case "jdk.types.Method":
          this.methodParts.set(this.numberOf(id), {
            type: Number(slots[0] ?? 0),
            name: Number(slots[1] ?? 0),
          });
          break;
        case "java.lang.Class":
          this.classNames.set(id, Number(slots[0] ?? 0));
          break;
        case "jdk.types.Symbol":
          this.symbols.set(id, this.text(slots[0]));
          break;
        case "jdk.types.ThreadState":
          this.states.set(id, this.text(slots[0]));
          break;
        default:
          break;
      }
    }
  }

  /** Number of a method ID, from 0. IDs may be any long; their numbers fit frames and tables. */
  private numberOf(method: number): number {
    if (method < SMALL_IDS)
      return ((this.smallMethod ??= new Uint32Array(SMALL_IDS))[method] ||= ++this.methodCount) - 1;
    let n = this.methodNumber.get(method);
    if (n === undefined) this.methodNumber.set(method, (n = this.methodCount++));
    return n;
  }

  /** Text of a string slot, which may be the ID of a string constant. */
  private text(value: unknown): string {
    return typeof value === "string"
      ? value
      : typeof value === "number"
        ? (this.strings.get(value) ?? "")
        : "";
  }

  /** Appends the frame of a method ID and a line to the trace that is read. */
  element(method: number, lineNumber: number): void {
    const line = lineNumber >>> 0,
      last = method < this.lastFrame.length ? this.lastFrame[method]! - 1 : -1;
    if (last >= 0 && this.frameLines.data[last] === line) {
      this.traceFrame.push(last);
      return;
    }
    const frame = this.frameNumber(this.numberOf(method), line);
    this.traceFrame.push(frame);
    if (method >= SMALL_IDS) return;
    if (this.lastFrame.length === 0) this.lastFrame = new Uint32Array(SMALL_IDS);
    this.lastFrame[method] = frame + 1;
  }

  /** Number of a (method, line) pair. */
  private frameNumber(method: number, line: number): number {
    const next = this.frameMethod.length,
      known = this.frameOf.getOrSet(method, line, next);
    if (known >= 0) return known;
    this.frameMethod.push(method);
    this.frameLines.push(line);
    return next;
  }

  get frameCount(): number {
    return this.frameMethod.length;
  }

  frames(stackTrace: number): Uint32Array | undefined {
    const i = this.traces.get(stackTrace);
    return i === undefined
      ? undefined
      : this.traceFrame.data.subarray(this.traceOffset.data[i]!, this.traceOffset.data[i + 1]!);
  }

  frameLine(frame: number): number {
    return this.frameLines.data[frame]!;
  }

  frameName(frame: number): string | undefined {
    const method = this.frameMethod.data[frame]!;
    if (this.methodNames.has(method)) return this.methodNames.get(method);
    const parts = this.methodParts.get(method),
      symbol = parts && this.classNames.get(parts.type),
      name = symbol === undefined ? undefined : `${this.symbol(symbol)}.${this.symbol(parts!.name)}`;
    this.methodNames.set(method, name);
    return name;
  }

  private symbol(id: number): string {
    return mergeGeneratedName(this.symbols.get(id) ?? "");
  }

  /** Visits all events, the metadata and checkpoints among them. */
  private eachEvent(on: (type: number, c: JfrCursor) => void): void {
    const { cursor } = this;
    for (let at = HEADER_BYTES; at < this.bytes.length; ) {
      const type = this.seek(at);
      at = cursor.end;
      on(type, cursor);
    }
  }

  /** Reads the events in their order; settings are events among the others. */
  private readEvents(visitor: JfrVisitor, before: string): string {
    const ticksPerSecond = Number(this.view.getBigUint64(56)) || 1e9,
      { types } = this,
      { slots } = types;
    const kinds = new Map<number, { kind: JfrEventKind | undefined; plan: ClassLayout; wide: boolean }>();
    for (const k of this.classes.values()) {
      const kind = EVENTS.get(k.name);
      if (kind) {
        const bytes = BYTES_FIELD[kind];
        const plan = types.plan(
          k,
          new Map(bytes === undefined ? FIELDS : [...FIELDS, [bytes, BYTES]]),
          this.base,
        );
        kinds.set(k.id, { kind, plan, wide: plan.some((s) => s.slot >= WIDE_SLOTS) });
      } else if (k.name === "jdk.ActiveSetting")
        kinds.set(k.id, { kind: undefined, plan: types.plan(k, SETTING_FIELDS, this.base), wide: false });
    }
    types.wide.fill(0);
    let ids = false; // whether the event before has set IDs
    const event: JfrEvent = {
      kind: "execution",
      stackTrace: 0,
      state: undefined,
      ids: types.wide.subarray(0, ID_WORDS),
      bytes: 0,
      count: 1,
      durationNanos: 0,
    };
    const number = (slot: number): number => {
      const v = slots[slot];
      return typeof v === "number" ? v : 0;
    };
    let setting = before;
    this.eachEvent((type, c) => {
      const known = kinds.get(type);
      if (!known) return;
      for (let i = 0; i <= SAMPLES; i++) slots[i] = undefined;
      if (ids) types.wide.fill(0);
      ids = known.wide;
      types.read(c, known.plan);
      if (!known.kind) {
        if (this.text(slots[0]) === "event") setting = this.text(slots[1]);
        return;
      }
      event.kind = known.kind;
      event.stackTrace = number(STACK);
      event.state = this.states.get(number(STATE));
      event.bytes = number(BYTES);
      event.count = known.kind === "wall" ? number(SAMPLES) : 1;
      const ticks = number(DURATION);
      event.durationNanos = ticks === 0 ? 0 : Math.round((ticks * 1e9) / ticksPerSecond);
      visitor.event(event, setting);
    });
    return setting;
  }
}

const NONE: ReadonlyMap<string, number> = new Map(),
  NAME = new Map([["name", 0]]),
  SETTING_FIELDS = new Map([
    ["name", 0],
    ["value", 1],
  ]);
/** fields to read of constants: field -> slot */
const POOL_FIELDS: ReadonlyMap<string, ReadonlyMap<string, number>> = new Map(
  Object.entries<ReadonlyMap<string, number>>({
    "jdk.types.Method": new Map([
      ["type", 0],
      ["name", 1],
    ]),
    "java.lang.Class": NAME,
    "jdk.types.Symbol": new Map([["string", 0]]),
    "jdk.types.ThreadState": NAME,
  }),
);
