/**
 * Store of the rings: one entry per member and ring, which only the member itself writes, completely at every
 * heartbeat. Every method rejects with kind `unavailable` if the store is unreachable.
 */
export interface MemberStore {
  /** member ID -> entry */
  read(ring: string): Promise<Map<string, string>>;
  write(ring: string, id: string, entry: string): Promise<void>;
  /**
   * Writes an entry if the current one is `expected` ("": no entry).
   * @returns the current entry otherwise; undefined: written
   */
  compareAndSwap(ring: string, id: string, expected: string, entry: string): Promise<string | undefined>;
  /** Removes a member; with `expected`, only if its entry is unchanged. @returns whether it was removed */
  remove(ring: string, id: string, expected?: string): Promise<boolean>;
  /** Stores a value under a name unless there is one. @returns the stored value */
  putIfAbsent(name: string, value: string): Promise<string>;
  close(): Promise<void>;
}
