import { ShortRead } from "@cinderblock/bytes";
import type { JfrCursor } from "./cursor.ts";

export interface JfrField { name: string; type: number; constantPool: boolean; array: boolean }
export interface JfrClass { id: number; name: string; fields: JfrField[] }

const MAX_DEPTH = 32;

interface Element { name: string; attributes: Map<string, string>; children: Element[] }

/** Reads a metadata event whose header (size and type) lies behind the cursor: the classes of the chunk by id. */
export function readMetadata(c: JfrCursor): Map<number, JfrClass> {
  c.long(); // start
  c.long(); // duration
  c.long(); // metadata id
  const strings: string[] = [];
  for (let n = c.count(); n > 0; n--) { const s = c.string(); strings.push(typeof s === "string" ? s : ""); }
  const text = (): string => {
    const i = c.long();
    if (i >= strings.length) throw new ShortRead(c.pos, `expected a string of the metadata, found number ${i} of ${strings.length}`);
    return strings[i]!;
  };
  const element = (depth: number): Element => {
    if (depth > MAX_DEPTH) throw new ShortRead(c.pos, `expected metadata of at most ${MAX_DEPTH} levels`);
    const e: Element = { name: text(), attributes: new Map(), children: [] };
    for (let n = c.count(); n > 0; n--) { const key = text(); e.attributes.set(key, text()); }
    for (let n = c.count(); n > 0; n--) e.children.push(element(depth + 1));
    return e;
  };
  const classes = new Map<number, JfrClass>();
  const walk = (e: Element): void => {
    if (e.name === "class") {
      const id = Number(e.attributes.get("id"));
      classes.set(id, {
        id, name: e.attributes.get("name") ?? "", fields: e.children.filter((f) => f.name === "field").map((f) => ({
          name: f.attributes.get("name") ?? "", type: Number(f.attributes.get("class")), constantPool: f.attributes.get("constantPool") === "true", array: Number(f.attributes.get("dimension") ?? 0) > 0,
        })),
      });
    } else for (const child of e.children) walk(child);
  };
  walk(element(0));
  return classes;
}

const PRIMITIVES: Record<string, (c: JfrCursor) => unknown> = {
  boolean: (c) => c.u8() !== 0, byte: (c) => c.u8(), char: (c) => c.long(), short: (c) => c.long(), int: (c) => c.long(), long: (c) => c.long(), float: (c) => c.f32(), double: (c) => c.f64(), "java.lang.String": (c) => c.string(),
};

/** Reads and skips values of a chunk's classes. */
export class TypeReader {
  private readonly classes: ReadonlyMap<number, JfrClass>;
  constructor(classes: ReadonlyMap<number, JfrClass>) { this.classes = classes; }

  class(id: number, at: number): JfrClass {
    const found = this.classes.get(id);
    if (!found) throw new ShortRead(at, `expected a class of the metadata, found ${id}`);
    return found;
  }

  skip(c: JfrCursor, type: number, depth = 0): void {
    const k = this.class(type, c.pos);
    if (PRIMITIVES[k.name]) { if (k.name === "java.lang.String") c.skipString(); else PRIMITIVES[k.name]!(c); return; }
    if (depth > MAX_DEPTH) throw new ShortRead(c.pos, `expected classes nested at most ${MAX_DEPTH} deep`);
    for (const f of k.fields) this.skipField(c, f, depth);
  }

  skipField(c: JfrCursor, f: JfrField, depth = 0): void {
    for (let n = f.array ? c.count() : 1; n > 0; n--) if (f.constantPool) c.long(); else this.skip(c, f.type, depth + 1);
  }

  /** The fields of an event or constant by name, those that `wanted` names; others are skipped. Constants are their ids. */
  read(c: JfrCursor, k: JfrClass, wanted: ReadonlySet<string>, into: Record<string, unknown>): void {
    for (const f of k.fields) {
      if (!wanted.has(f.name) || f.array) { this.skipField(c, f); continue; }
      if (f.constantPool) { into[f.name] = c.long(); continue; }
      const primitive = PRIMITIVES[this.class(f.type, c.pos).name];
      if (primitive) into[f.name] = primitive(c); else this.skip(c, f.type);
    }
  }
}
