import { fnv1a } from "@cinderblock/bytes";

/** Thread that a block belongs to: only this thread holds its columns, symbols and cached files. */
export function threadOfBlock(ulid: string, threads: number): number {
  return fnv1a(Buffer.from(ulid)) % threads;
}
