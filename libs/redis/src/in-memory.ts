import type { MemberStore } from "./member-store.ts";

/** In-memory twin of RedisMembers, for single processes and for tests. */
export class InMemoryMembers implements MemberStore {
  private readonly rings = new Map<string, Map<string, string>>();

  private ring(name: string): Map<string, string> {
    let r = this.rings.get(name);
    if (!r) this.rings.set(name, (r = new Map()));
    return r;
  }

  read(ring: string): Promise<Map<string, string>> {
    return Promise.resolve(new Map(this.ring(ring)));
  }
  write(ring: string, id: string, entry: string): Promise<void> {
    this.ring(ring).set(id, entry);
    return Promise.resolve();
  }
  compareAndSwap(ring: string, id: string, expected: string, entry: string): Promise<string | undefined> {
    const r = this.ring(ring),
      found = r.get(id) ?? "";
    if (found !== expected) return Promise.resolve(found);
    r.set(id, entry);
    return Promise.resolve(undefined);
  }
  remove(ring: string, id: string, expected?: string): Promise<boolean> {
    const r = this.ring(ring);
    return Promise.resolve((expected === undefined || r.get(id) === expected) && r.delete(id));
  }
  private readonly agreed = new Map<string, string>();
  putIfAbsent(name: string, value: string): Promise<string> {
    if (!this.agreed.has(name)) this.agreed.set(name, value);
    return Promise.resolve(this.agreed.get(name)!);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
