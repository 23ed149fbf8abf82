/**
 * Where rings are kept: for each ring one entry a member, which only the member itself writes, whole, at every heartbeat.
 * Every method rejects with kind `unavailable` when the store cannot be reached.
 */
export interface MemberStore {
  /** member id -> entry */
  read(ring: string): Promise<Map<string, string>>;
  write(ring: string, id: string, entry: string): Promise<void>;
  /** Writes an entry only while what is there is `expected` ("": nothing). @returns what is there instead; undefined: it was written */
  swap(ring: string, id: string, expected: string, entry: string): Promise<string | undefined>;
  /** Removes a member; with `expected` only while its entry is still that one. True when it was removed. */
  remove(ring: string, id: string, expected?: string): Promise<boolean>;
  /** Stores a value under a name unless there is one, and returns the value that is there. */
  agree(name: string, value: string): Promise<string>;
  close(): Promise<void>;
}
