import { noRoom } from "@cinderblock/errors";

/** Part of the memory above which heads are cut, and below which cutting ends. */
export const CUT_ABOVE = 1 / 2,
  CUT_TO = 3 / 8;

/**
 * The heads that a tenant writes to may use this many times what is free. One tenant alone comes to 4/5 of what heads that
 * are being cut leave, n large tenants to 4/(1 + 4n) each: whatever they do, some memory is free for a tenant with little.
 * See docs/adr/0030-share-the-heads-memory.md.
 */
const TENANT_SHARE = 4;

/** A head is measured again after so many profiles, or so many bytes of log; a small one after each. */
const MEASURE_PROFILES = 16,
  MEASURE_LOG_BYTES = 64 << 10,
  SMALL_BYTES = 64 << 10;

/** Something of a tenant that takes memory. */
export interface Measured {
  readonly tenant: string;
  readonly byteLength: number;
}

interface Entry {
  bytes: number;
  profiles: number;
  logBytes: number;
  /** is being cut: its tenant's share does not count it any more */
  leaving: boolean;
}

/** Memory of one thread's heads: how much of it each tenant uses, and whether there is room for more. */
export class MemoryBudget {
  private used = 0;
  private readonly entries = new Map<Measured, Entry>();
  /** tenant -> bytes of the heads that it writes to */
  private readonly tenants = new Map<string, number>();
  readonly limitBytes: number;
  private readonly onUsed: (bytes: number) => void;

  /** @param onUsed is called with the bytes in use whenever they change */
  constructor(limitBytes: number, onUsed: (bytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.onUsed = onUsed;
  }

  get usedBytes(): number {
    return this.used;
  }

  /** The bytes of a head as they were measured last. */
  bytesOf(head: Measured): number {
    return this.entries.get(head)?.bytes ?? 0;
  }

  /** Notes a profile that went to a head, and what it added to the log: the head's memory grows with what it learns. */
  grew(head: Measured, logBytes: number): void {
    const entry = this.entries.get(head);
    if (!entry) {
      this.measure(head);
      return;
    }
    entry.profiles++;
    entry.logBytes += logBytes;
    if (
      entry.bytes < SMALL_BYTES ||
      entry.profiles >= MEASURE_PROFILES ||
      entry.logBytes >= MEASURE_LOG_BYTES
    )
      this.measure(head);
  }

  measure(head: Measured): void {
    let entry = this.entries.get(head);
    if (!entry) this.entries.set(head, (entry = { bytes: 0, profiles: 0, logBytes: 0, leaving: false }));
    entry.profiles = entry.logBytes = 0;
    const bytes = head.byteLength;
    this.use(bytes - entry.bytes);
    if (!entry.leaving) this.own(head.tenant, bytes - entry.bytes);
    entry.bytes = bytes;
  }

  /** A head takes no more profiles: its tenant may fill another while it is cut. */
  leave(head: Measured): void {
    const entry = this.entries.get(head);
    if (!entry || entry.leaving) return;
    entry.leaving = true;
    this.own(head.tenant, -entry.bytes);
  }

  /** A head is gone. */
  drop(head: Measured): void {
    const entry = this.entries.get(head);
    if (!entry) return;
    this.leave(head);
    this.entries.delete(head);
    this.use(-entry.bytes);
  }

  private use(bytes: number): void {
    if (bytes === 0) return;
    this.used += bytes;
    this.onUsed(this.used);
  }

  private own(tenant: string, bytes: number): void {
    const of = (this.tenants.get(tenant) ?? 0) + bytes;
    if (of > 0) this.tenants.set(tenant, of);
    else this.tenants.delete(tenant);
  }

  /** @throws `no-room` when the heads are full, or when the tenant uses more than its share of them */
  require(tenant: string): void {
    const { used, limitBytes } = this,
      free = limitBytes - used;
    if (free <= 0)
      throw noRoom(
        "heads",
        `heads of this ingest thread use ${used} bytes; the limit is ${limitBytes} (its part of -memory.head-bytes)`,
        { usedBytes: used, limitBytes },
      );
    const own = this.tenants.get(tenant) ?? 0,
      share = TENANT_SHARE * free;
    if (own > share)
      throw noRoom(
        "heads",
        `heads of tenant ${tenant} use ${own} bytes; the limit is ${share}, ${TENANT_SHARE} times what is free of ${limitBytes} bytes (this ingest thread's part of -memory.head-bytes)`,
        { usedBytes: used, limitBytes, tenantBytes: own, tenantLimitBytes: share },
      );
  }
}
