/** A remark that was made on a profile when it was taken (`types.v1.ProfileAnnotation`): a key, and a value in JSON. */
export interface Annotation {
  key: string;
  value: string;
}

export type Annotations = readonly Annotation[];

/** The profile was let through although a limit of its tenant or of a usage group was reached. */
export const ANNOTATION_THROTTLED = "pyroscope.ingest.throttled";
/** The profile is one of those that a sampling rule kept. */
export const ANNOTATION_SAMPLED = "pyroscope.ingest.sampled";

export const NO_ANNOTATIONS: Annotations = [];

function compare(a: Annotation, b: Annotation): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** Those of both, each once, by key and value. */
export function mergeAnnotations(a: Annotations, b: Annotations): Annotations {
  if (b.length === 0) return a;
  const all = [...a, ...b].sort(compare);
  return all.filter((x, i) => i === 0 || compare(all[i - 1]!, x) !== 0);
}

/** Lists of annotations, each kept once: many profiles have the same. List 0 is the empty one. */
export class AnnotationSets {
  private readonly lists: Annotations[] = [NO_ANNOTATIONS];
  private known: Map<string, number> | undefined;
  private bytes = 0;

  get length(): number {
    return this.lists.length;
  }
  /** estimate of the memory that the lists take */
  get byteLength(): number {
    return this.bytes;
  }

  at(set: number): Annotations {
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

  /** The list of what is in both, each once. */
  union(a: number, b: number): number {
    return a === b || b === 0 ? a : a === 0 ? b : this.intern(mergeAnnotations(this.at(a), this.at(b)));
  }
}
