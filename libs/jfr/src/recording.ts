import { ShortRead } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { JfrCursor } from "./cursor.ts";
import { type JfrClass, readMetadata, TypeReader } from "./metadata.ts";

/** The events that become profiles. */
export type JfrEventKind = "execution" | "wall" | "alloc-in-tlab" | "alloc-outside-tlab" | "alloc-sample" | "monitor" | "park" | "live" | "malloc";

const EVENTS: Record<string, JfrEventKind> = {
  "jdk.ExecutionSample": "execution", "profiler.WallClockSample": "wall", "jdk.ObjectAllocationInNewTLAB": "alloc-in-tlab", "jdk.ObjectAllocationOutsideTLAB": "alloc-outside-tlab", "jdk.ObjectAllocationSample": "alloc-sample",
  "jdk.JavaMonitorEnter": "monitor", "jdk.ThreadPark": "park", "profiler.LiveObject": "live", "profiler.Malloc": "malloc",
};
const WANTED = new Set(["stackTrace", "state", "contextId", "tlabSize", "allocationSize", "weight", "duration", "samples", "size", "name", "value"]);
/** A container of memory for one event: its fields are overwritten by the next. */
export interface JfrEvent {
  kind: JfrEventKind;
  /** a stack trace of the present chunk */
  stackTrace: number;
  /** name of the thread's state, "" when there is none */
  state: string;
  /** the agent's id of a set of labels; 0 for none */
  contextId: number;
  /** bytes of an allocation */
  bytes: number;
  /** samples that the event stands for */
  count: number;
  durationNanos: number;
}

export interface JfrVisitor {
  /** a chunk begins: ids of stack traces begin anew */
  chunk(stacks: JfrStacks): void;
  /** `setting`: what the profiler samples by, as far as it is known: "cpu", "itimer", "wall", … */
  event(event: JfrEvent, setting: string): void;
}

/** The stack traces of a chunk: leaf first, `class.method` of each frame. */
export interface JfrStacks { frames(stackTrace: number): readonly string[] | undefined }

const HEADER_BYTES = 68;
const MAGIC = 0x464c5200; // "FLR\0"
const METADATA = 0, CHECKPOINT = 1;

function refuse(what: string): never { throw new CinderblockError("unknown", `parsing IngestInput-pprof failed jfr: ${what}`, { reason: "malformed_profile" }); }

/** Reads all chunks of a recording. Returns the profiler's event setting ("cpu", "itimer", "wall", …; "" when it is not there). */
export function readRecording(bytes: Uint8Array, visitor: JfrVisitor): string {
  if (bytes.length < HEADER_BYTES) refuse(`expected a chunk of at least ${HEADER_BYTES} bytes, found ${bytes.length}`);
  let setting = "";
  try {
    for (let at = 0; at < bytes.length;) {
      const size = chunkSize(bytes, at);
      setting = new Chunk(bytes.subarray(at, at + size), at).read(visitor, setting);
      at += size;
    }
  } catch (err) {
    if (err instanceof ShortRead) throw new CinderblockError("unknown", `parsing IngestInput-pprof failed jfr: ${err.message}`, { reason: "malformed_profile", cause: err });
    throw err;
  }
  return setting;
}

function chunkSize(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length - at < HEADER_BYTES || view.getUint32(at) !== MAGIC) refuse(`expected a chunk at byte ${at}`);
  if (view.getUint16(at + 4) !== 1 && view.getUint16(at + 4) !== 2) refuse(`version ${view.getUint16(at + 4)} is not supported`);
  const size = Number(view.getBigUint64(at + 8));
  if (size < HEADER_BYTES || size > bytes.length - at) refuse(`chunk at byte ${at} claims ${size} bytes, ${bytes.length - at} are left`);
  if ((view.getUint32(at + 64) & 1) === 0) refuse("integers of fixed width are not supported");
  return size;
}

class Chunk implements JfrStacks {
  private readonly bytes: Uint8Array;
  private readonly base: number;
  private readonly view: DataView;
  private classes = new Map<number, JfrClass>();
  private types = new TypeReader(this.classes);
  /** what the events refer to: constants by their class and id */
  private readonly traces = new Map<number, { methods: number[] }>();
  private readonly methods = new Map<number, { type: number; name: number }>();
  private readonly classNames = new Map<number, number>();
  private readonly symbols = new Map<number, string>();
  private readonly states = new Map<number, string>();
  private readonly strings = new Map<number, string>();
  private readonly methodTexts = new Map<number, string>();
  private readonly resolved = new Map<number, readonly string[]>();

  constructor(bytes: Uint8Array, base: number) {
    this.bytes = bytes;
    this.base = base;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private cursorAt(offset: number): { c: JfrCursor; type: number } {
    if (offset < HEADER_BYTES || offset >= this.bytes.length) throw new ShortRead(this.base + offset, "expected an event inside the chunk");
    const head = new JfrCursor(this.bytes, offset, this.bytes.length);
    const size = head.long();
    if (size < 2 || offset + size > this.bytes.length) throw new ShortRead(this.base + offset, `expected an event inside the chunk, found ${size} bytes`);
    const c = new JfrCursor(this.bytes, head.pos, offset + size);
    return { type: c.long(), c };
  }

  read(visitor: JfrVisitor, before: string): string {
    const metadata = this.cursorAt(Number(this.view.getBigUint64(24)));
    if (metadata.type !== METADATA) throw new ShortRead(this.base, "expected the metadata where the header says");
    this.classes = readMetadata(metadata.c);
    this.types = new TypeReader(this.classes);
    this.readConstants(Number(this.view.getBigUint64(16)));
    visitor.chunk(this);
    // Settings are events among the others: they count for the whole chunk.
    const setting = this.readSetting() || before;
    this.readEvents(visitor, setting);
    return setting;
  }

  /** Checkpoints form a list from the last one back; each says how far the one before is. */
  private readConstants(last: number): void {
    const seen = new Set<number>();
    for (let at = last; !seen.has(at);) {
      seen.add(at);
      const { c, type } = this.cursorAt(at);
      if (type !== CHECKPOINT) throw new ShortRead(this.base + at, "expected constants where the chunk says");
      c.long(); // start
      c.long(); // duration
      const delta = Number(c.signedLong());
      c.u8(); // kind
      for (let pools = c.count(); pools > 0; pools--) this.readPool(c);
      if (delta === 0) return;
      at += delta;
    }
  }

  private readPool(c: JfrCursor): void {
    const k = this.types.class(c.long(), c.pos);
    const n = c.count();
    const field: Record<string, unknown> = {};
    for (let i = 0; i < n; i++) {
      const id = c.long();
      switch (k.name) {
        case "jdk.types.StackTrace": this.readTrace(c, k, id); break;
        case "jdk.types.Method": this.types.read(c, k, METHOD_FIELDS, field); this.methods.set(id, { type: Number(field.type ?? 0), name: Number(field.name ?? 0) }); break;
        case "java.lang.Class": this.types.read(c, k, NAME, field); this.classNames.set(id, Number(field.name ?? 0)); break;
        case "jdk.types.Symbol": this.types.read(c, k, SYMBOL_FIELDS, field); this.symbols.set(id, this.text(field.string)); break;
        case "jdk.types.ThreadState": this.types.read(c, k, NAME, field); this.states.set(id, this.text(field.name)); break;
        case "java.lang.String": { const s = c.string(); this.strings.set(id, typeof s === "string" ? s : ""); break; }
        default: this.types.skip(c, k.id);
      }
    }
  }

  private text(value: unknown): string { return typeof value === "string" ? value : typeof value === "number" ? (this.strings.get(value) ?? "") : ""; }

  private readTrace(c: JfrCursor, k: JfrClass, id: number): void {
    const methods: number[] = [];
    for (const f of k.fields) {
      if (f.name !== "frames" || !f.array || f.constantPool) { this.types.skipField(c, f); continue; }
      const frame = this.types.class(f.type, c.pos);
      for (let n = c.count(); n > 0; n--) {
        for (const g of frame.fields) if (g.name === "method" && g.constantPool && !g.array) methods.push(c.long()); else this.types.skipField(c, g);
      }
    }
    this.traces.set(id, { methods });
  }

  frames(stackTrace: number): readonly string[] | undefined {
    let known = this.resolved.get(stackTrace);
    if (!known) {
      const trace = this.traces.get(stackTrace);
      if (!trace) return undefined;
      this.resolved.set(stackTrace, (known = trace.methods.flatMap((m) => { const t = this.method(m); return t === undefined ? [] : [t]; })));
    }
    return known;
  }

  private method(id: number): string | undefined {
    const known = this.methodTexts.get(id);
    if (known !== undefined) return known;
    const m = this.methods.get(id);
    if (!m) return undefined;
    const text = `${withoutNumbers(this.symbols.get(this.classNames.get(m.type) ?? -1) ?? "")}.${this.symbols.get(m.name) ?? ""}`;
    this.methodTexts.set(id, text);
    return text;
  }

  private readSetting(): string {
    const k = [...this.classes.values()].find((x) => x.name === "jdk.ActiveSetting");
    let setting = "";
    if (k) this.eachEvent((type, c) => {
      if (type !== k.id) return;
      const field: Record<string, unknown> = {};
      this.types.read(c, k, WANTED, field);
      if (this.text(field.name) === "event") setting = this.text(field.value);
    });
    return setting;
  }

  private eachEvent(on: (type: number, c: JfrCursor) => void): void {
    for (let at = HEADER_BYTES; at < this.bytes.length;) {
      const { c, type } = this.cursorAt(at);
      at = c.end;
      on(type, c);
    }
  }

  private readEvents(visitor: JfrVisitor, setting: string): void {
    const ticksPerSecond = Number(this.view.getBigUint64(56)) || 1e9;
    const kinds = new Map<number, { kind: JfrEventKind; k: JfrClass }>();
    for (const k of this.classes.values()) { const kind = EVENTS[k.name]; if (kind) kinds.set(k.id, { kind, k }); }
    const event: JfrEvent = { kind: "execution", stackTrace: 0, state: "", contextId: 0, bytes: 0, count: 1, durationNanos: 0 };
    this.eachEvent((type, c) => {
      const known = kinds.get(type);
      if (!known) return;
      const field: Record<string, unknown> = {};
      this.types.read(c, known.k, WANTED, field);
      const number = (name: string): number => (typeof field[name] === "number" ? field[name] : 0);
      event.kind = known.kind;
      event.stackTrace = number("stackTrace");
      event.state = this.states.get(number("state")) ?? "";
      event.contextId = number("contextId");
      event.bytes = number(known.kind === "alloc-in-tlab" ? "tlabSize" : known.kind === "alloc-outside-tlab" ? "allocationSize" : known.kind === "alloc-sample" ? "weight" : "size");
      event.count = known.kind === "wall" ? Math.max(1, number("samples")) : 1;
      event.durationNanos = Math.round((number("duration") * 1e9) / ticksPerSecond);
      visitor.event(event, setting);
    });
  }
}

/** Classes that the JVM makes have numbers that differ in every process: `Main$$Lambda$67.0x00007f2e` is `Main$$Lambda$_`. */
function withoutNumbers(name: string): string {
  return name.replace(/^(jdk\/internal\/reflect\/GeneratedMethodAccessor)\d+$/, "$1_").replace(/^(.+\$\$Lambda\$)\d+[./](?:0x[\da-f]+|\d+)$/, "$1_").replace(/^(.+\$\$Lambda)[./]0x[\da-f]+$/, "$1_");
}

const METHOD_FIELDS = new Set(["type", "name"]), NAME = new Set(["name"]), SYMBOL_FIELDS = new Set(["string"]);
