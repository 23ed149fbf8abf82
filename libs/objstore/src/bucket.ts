/** Size of an object in bytes, and the time of its last change. */
export interface ObjectAttributes {
  size: number;
  lastModifiedMs: number;
}

/** An object store. Names use `/`. Requests for a missing object throw an error of kind `not-found`. */
export interface Bucket {
  readonly name: string;
  get(name: string): Promise<Uint8Array>;
  /** bytes [offset, offset + size), or fewer at the end of the object */
  getRange(name: string, offset: number, size: number): Promise<Uint8Array>;
  /** writes an object atomically: readers see all of it or nothing */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** writes an object if the name is free; of several concurrent attempts, one returns true */
  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean>;
  /** copies a local file to an object, in parts if it is large */
  putFile(name: string, path: string): Promise<void>;
  attributes(name: string): Promise<ObjectAttributes>;
  exists(name: string): Promise<boolean>;
  delete(name: string): Promise<void>;
  /** names below `prefix` up to the next `/`; folder names end in `/` */
  list(prefix: string): Promise<string[]>;
}
