/**
 * A remark that was added to a profile on arrival (`types.v1.ProfileAnnotation`): a key, and a value in JSON.
 */
export interface Annotation {
  key: string;
  value: string;
}

/** All annotations of a profile. */
export type Annotations = readonly Annotation[];

/** Key of profiles that were accepted although a limit of their tenant or of a usage group was reached. */
export const ANNOTATION_THROTTLED = "pyroscope.ingest.throttled";
/** Key of profiles that a sampling rule kept. */
export const ANNOTATION_SAMPLED = "pyroscope.ingest.sampled";

/** The empty list of annotations. */
export const NO_ANNOTATIONS: Annotations = [];

function compare(a: Annotation, b: Annotation): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** Annotations of both lists, each once, ordered by key and value. */
export function mergeAnnotations(a: Annotations, b: Annotations): Annotations {
  if (b.length === 0) return a;
  const all = [...a, ...b].sort(compare);
  return all.filter((x, i) => i === 0 || compare(all[i - 1]!, x) !== 0);
}

/** Interned lists of annotations, because many profiles have equal lists. List 0 is empty. */
export class AnnotationSets {
  private readonly lists: Annotations[] = [NO_ANNOTATIONS];
  private known: Map<string, number> | undefined;
  private bytes = 0;

  get length(): number {
    return this.lists.length;
  }
  /** estimated memory of the lists in bytes */
  get byteLength(): number {
    return this.bytes;
  }

  annotationsAt(set: number): Annotations {
    return this.lists[set] ?? NO_ANNOTATIONS;
  }

  intern(list: Annotations): number {
    if (list.length === 0) return 0;
    const key = JSON.stringify(list.map((a) => [a.key, a.value]));
    const known = (this.known ??= new Map<string, number>());
    let at = known.get(key);
    if (at === undefined) {
      at = this.lists.push(list.map(({ key: k, value }) => ({ key: k, value }))) - 1;
      known.set(key, at);
      this.bytes += key.length * 4 + 128;
    }
    return at;
  }

  /** List with the annotations of both lists, each once. */
  union(a: number, b: number): number {
    return a === b || b === 0
      ? a
      : a === 0
        ? b
        : this.intern(mergeAnnotations(this.annotationsAt(a), this.annotationsAt(b)));
  }
}
