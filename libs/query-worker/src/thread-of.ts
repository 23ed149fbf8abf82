import { fnv1a } from "@cinderblock/bytes";

/** The thread that a block belongs to: its columns, symbols and cached files are held once. */
export function threadOf(ulid: string, threads: number): number {
  return fnv1a(Buffer.from(ulid)) % threads;
}
