export interface ObjectAttributes {
  size: number;
  lastModifiedMs: number;
}

/** An object store. Names use `/`; a missing object is an error of kind `not-found`. */
export interface Bucket {
  readonly name: string;
  get(name: string): Promise<Uint8Array>;
  /** bytes [offset, offset + size), or fewer at the end of the object */
  getRange(name: string, offset: number, size: number): Promise<Uint8Array>;
  /** puts the whole object at once: readers see all of it or nothing */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** puts the object if there is none of that name; of several that try at once, one gets true */
  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean>;
  /** copies a local file to an object, in parts where it is large */
  putFile(name: string, path: string): Promise<void>;
  attributes(name: string): Promise<ObjectAttributes>;
  exists(name: string): Promise<boolean>;
  delete(name: string): Promise<void>;
  /** names below `prefix` up to the next `/`; folders end in `/` */
  list(prefix: string): Promise<string[]>;
}
