import { ShortRead } from "@cinderblock/bytes";
import type { JfrCursor } from "./cursor.ts";

/**
 * A field of a class. `type` is the ID of the class of its values. With `constantPool`, the value is the ID
 * of a constant of that class; with `array`, a count precedes the values.
 */
export interface JfrField {
  name: string;
  type: number;
  constantPool: boolean;
  array: boolean;
}
/**
 * A class of the chunk's metadata, for example `jdk.ExecutionSample`. IDs are those of the chunk: other
 * chunks number their classes differently. Fields are in the order of the bytes.
 */
export interface JfrClass {
  id: number;
  name: string;
  fields: JfrField[];
}

const MAX_DEPTH = 32;

// A node of the metadata's tree: like an XML element, with attributes of text.
interface Element {
  name: string;
  attributes: Map<string, string>;
  children: Element[];
}

/**
 * Reads a metadata event after its header (size and type): the chunk's classes by ID. Texts are indices of
 * strings.
 *
 *   start | duration | metadata ID | strings: count, strings | root element
 *   element: name | attributes: count, (key, value) pairs | children: count, elements
 *   root > metadata > class (id, name) > field (name, class, constantPool?, dimension?)
 *
 * @throws ShortRead for a string index past the table, a count beyond the event, or elements more than 32
 * deep
 */
export function readMetadata(c: JfrCursor): Map<number, JfrClass> {
  c.long(); // skips the start time of the metadata event
  c.long(); // skips the duration of the metadata event
  c.long(); // skips the ID of the metadata
  const strings: string[] = [];
  for (let n = c.count(); n > 0; n--) {
    const s = c.string();
    strings.push(typeof s === "string" ? s : "");
  }
  const text = (): string => {
    const i = c.long();
    if (i >= strings.length)
      throw new ShortRead(c.pos, `expected a string of the metadata, found index ${i} of ${strings.length}`);
    return strings[i]!;
  };
  const element = (depth: number): Element => {
    if (depth > MAX_DEPTH)
      throw new ShortRead(c.pos, `expected metadata nested at most ${MAX_DEPTH} levels deep`);
    const e: Element = { name: text(), attributes: new Map(), children: [] };
    for (let n = c.count(); n > 0; n--) {
      const key = text();
      e.attributes.set(key, text());
    }
    for (let n = c.count(); n > 0; n--) e.children.push(element(depth + 1));
    return e;
  };
  const classes = new Map<number, JfrClass>();
  const walk = (e: Element): void => {
    if (e.name === "class") {
      const id = Number(e.attributes.get("id"));
      classes.set(id, {
        id,
        name: e.attributes.get("name") ?? "",
        fields: e.children
          .filter((f) => f.name === "field")
          .map((f) => ({
            name: f.attributes.get("name") ?? "",
            type: Number(f.attributes.get("class")),
            constantPool: f.attributes.get("constantPool") === "true",
            array: Number(f.attributes.get("dimension") ?? 0) > 0,
          })),
      });
    } else for (const child of e.children) walk(child);
  };
  walk(element(0));
  return classes;
}

/** Wire kinds of the parts of a value. An ARRAY has a count and then its elements' parts. */
const BYTE = 0,
  VARINT = 1,
  FLOAT = 2,
  DOUBLE = 3,
  STRING = 4,
  ARRAY = 5;
const PRIMITIVES: ReadonlyMap<string, number> = new Map(
  Object.entries<number>({
    boolean: BYTE,
    byte: BYTE,
    char: VARINT,
    short: VARINT,
    int: VARINT,
    long: VARINT,
    float: FLOAT,
    double: DOUBLE,
    "java.lang.String": STRING,
  }),
);

/**
 * First slot for 64-bit integers: the value of such a slot is a pair of words in `TypeReader.wide`. Slots
 * below hold numbers that are exact below 2^53 only.
 */
export const WIDE_SLOTS = 16;

/**
 * One part of a value: read into `slot`, or skipped if that is -1. `of`: the parts of an array's elements.
 */
interface Step {
  kind: number;
  slot: number;
  of: Step[];
}
/**
 * Wire layout of a class's values: nested classes are flattened, constants are their IDs. Valid for one
 * chunk.
 */
export type ClassLayout = readonly Step[];

/** Maximum steps of a plan: classes that contain each other would unfold without end. */
const MAX_STEPS = 4096;

/** Receives the two integers of each element of the array that a plan was made for. */
export interface ElementSink {
  element(first: number, second: number): void;
}

/**
 * Reads values of a chunk's classes by plans, which are made once per class and choice of fields. A plan is a
 * list of steps, so that unknown fields cost a skip and no look-up of names.
 *
 *   class    stackTrace (constant) | thread: { id long, name String } | weight long
 *   plan     VARINT slot 0         | VARINT skip | STRING skip        | VARINT slot 2
 */
export class TypeReader {
  private readonly classes: ReadonlyMap<number, JfrClass>;
  /** steps that the current plan may still add */
  private left = MAX_STEPS;
  /** position for errors of the current plan */
  private at = 0;
  /** result of the last `read`: slot -> number, or a string's text or constant number; undefined: absent */
  readonly slots: (number | string | undefined)[] = [];
  /** slot - WIDE_SLOTS -> low word; the high word follows */
  readonly wide = new Uint32Array(16);
  private readonly elements: ElementSink;

  constructor(classes: ReadonlyMap<number, JfrClass>, elements: ElementSink) {
    this.classes = classes;
    this.elements = elements;
  }

  /** Class of an ID. @throws ShortRead if the metadata lacks it */
  class(id: number, at: number): JfrClass {
    const found = this.classes.get(id);
    if (!found) throw new ShortRead(at, `expected a class in the metadata, found ID ${id}`);
    return found;
  }

  /**
   * Plan for class `k` that reads the fields in `wanted` into their slots and skips the others. Fields of
   * nested classes and arrays cannot be wanted.
   * @param at position of the use, for errors
   * @param element passes a constant's ID and an integer of each element of the array `element.array` to
   * slots 0 and 1 and to the sink
   * @throws ShortRead for a class that the metadata lacks, or too many or too deeply nested fields
   */
  plan(
    k: JfrClass,
    wanted: ReadonlyMap<string, number>,
    at: number,
    element?: { array: string; constant: string; integer: string },
  ): ClassLayout {
    this.left = MAX_STEPS;
    this.at = at;
    const out: Step[] = [];
    for (const f of k.fields) {
      if (element && f.name === element.array && f.array && !f.constantPool) {
        const of: Step[] = [];
        for (const g of this.class(f.type, this.at).fields)
          this.unfold(
            g,
            of,
            g.array
              ? -1
              : g.name === (g.constantPool ? element.constant : element.integer)
                ? +!g.constantPool
                : -1,
            1,
          );
        out.push({ kind: ARRAY, slot: 0, of });
      } else this.unfold(f, out, f.array ? -1 : (wanted.get(f.name) ?? -1), 0);
    }
    return out;
  }

  /** Appends the steps of one field: a nested class becomes the steps of its fields. */
  private unfold(f: JfrField, into: Step[], slot: number, depth: number): void {
    if (--this.left < 0)
      throw new ShortRead(this.at, `expected classes with at most ${MAX_STEPS} fields in total`);
    if (depth > MAX_DEPTH) throw new ShortRead(this.at, `expected classes nested at most ${MAX_DEPTH} deep`);
    if (f.array) {
      const of: Step[] = [];
      this.unfold({ ...f, array: false }, of, -1, depth + 1);
      into.push({ kind: ARRAY, slot: -1, of });
      return;
    }
    if (f.constantPool) {
      into.push({ kind: VARINT, slot, of: [] });
      return;
    }
    const k = this.class(f.type, this.at),
      kind = PRIMITIVES.get(k.name);
    if (kind !== undefined) into.push({ kind, slot, of: [] });
    else for (const g of k.fields) this.unfold(g, into, -1, depth + 1);
  }

  /** Reads a value; slots without a field keep their content. */
  read(c: JfrCursor, plan: ClassLayout): void {
    const { slots, wide } = this;
    for (let i = 0; i < plan.length; i++) {
      const { kind, slot, of } = plan[i]!;
      switch (kind) {
        case VARINT:
          if (slot < 0) c.skipLong();
          else if (slot < WIDE_SLOTS) slots[slot] = c.long();
          else {
            wide[slot - WIDE_SLOTS] = c.longWords();
            wide[slot - WIDE_SLOTS + 1] = c.high;
          }
          break;
        case BYTE: {
          const b = c.u8();
          if (slot >= 0) slots[slot] = b;
          break;
        }
        case FLOAT: {
          const v = c.f32();
          if (slot >= 0) slots[slot] = v;
          break;
        }
        case DOUBLE: {
          const v = c.f64();
          if (slot >= 0) slots[slot] = v;
          break;
        }
        case STRING:
          if (slot < 0) c.skipString();
          else slots[slot] = c.string();
          break;
        case ARRAY:
          this.readArray(c, of, slot >= 0);
          break;
      }
    }
  }

  private readArray(c: JfrCursor, of: ClassLayout, told: boolean): void {
    const n = c.count();
    // Elements of a class without fields take no bytes: their number is unbounded, and there is nothing to
    // read.
    if (of.length === 0) return;
    if (told && of.every((s) => s.kind === VARINT)) {
      this.readIntegers(c, n, of);
      return;
    }
    const { slots } = this;
    for (let i = 0; i < n; i++) {
      if (told) slots[0] = slots[1] = undefined;
      this.read(c, of);
      if (told && typeof slots[0] === "number")
        this.elements.element(slots[0], typeof slots[1] === "number" ? slots[1] : 0);
    }
  }

  /** Fast path for most arrays for the sink: the frames of a stack. */
  private readIntegers(c: JfrCursor, n: number, of: ClassLayout): void {
    const width = of.length,
      first = of.findIndex((s) => s.slot === 0),
      second = of.findIndex((s) => s.slot === 1),
      { bytes } = c,
      { elements } = this;
    for (let i = 0; i < n; i++) {
      let a = 0,
        b = 0;
      // An integer has at most nine bytes: far from the end, no byte needs a check.
      if (c.end - c.pos >= 9 * width) {
        let { pos } = c;
        for (let k = 0; k < width; k++) {
          const low = bytes[pos]!;
          let value = low;
          if (low < 128) pos++;
          else if (k === first || k === second) {
            const high = bytes[pos + 1]!;
            if (high < 128) {
              value = (high << 7) | (low & 127);
              pos += 2;
            } else {
              c.pos = pos;
              value = c.long();
              ({ pos } = c);
            }
          } else {
            const last = pos + 8;
            while (bytes[pos++]! > 127 && pos <= last);
          }
          if (k === first) a = value;
          else if (k === second) b = value;
        }
        c.pos = pos;
      } else
        for (let k = 0; k < width; k++)
          if (k === first) a = c.long();
          else if (k === second) b = c.long();
          else c.skipLong();
      if (first >= 0) elements.element(a, b);
    }
  }
}
