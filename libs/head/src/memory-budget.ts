import { noRoom } from "@cinderblock/errors";

/** Fraction of the head memory above which heads are cut, and the fraction at which cutting stops. */
export const CUT_THRESHOLD_FRACTION = 1 / 2,
  CUT_TARGET_FRACTION = 3 / 8;

/**
 * A tenant's open heads may use this multiple of the free memory. A single tenant gets 4/5 of the memory that
 * heads being cut leave over; n large tenants get 4/(1 + 4n) each. So some memory always stays free for a
 * small tenant. See docs/adr/0030-share-the-heads-memory.md.
 */
const TENANT_SHARE = 4;

/**
 * A head is measured again after this many profiles or log bytes; a head below SMALL_BYTES after each
 * profile.
 */
const MEASURE_PROFILES = 16,
  MEASURE_LOG_BYTES = 64 << 10,
  SMALL_BYTES = 64 << 10;

/** An object of a tenant that occupies memory. */
export interface MeasuredHead {
  readonly tenant: string;
  readonly byteLength: number;
  /** bytes of `byteLength` that grow with queries */
  readonly indexBytes: number;
}

interface Entry {
  bytes: number;
  indexBytes: number;
  profiles: number;
  logBytes: number;
  /** is being cut: its tenant's share no longer counts it */
  leaving: boolean;
}

/** Memory of one thread's heads: the use of each tenant, and whether there is room for more. */
export class MemoryBudget {
  private used = 0;
  private readonly entries = new Map<MeasuredHead, Entry>();
  /** tenant -> bytes of its open heads */
  private readonly tenants = new Map<string, number>();
  readonly limitBytes: number;
  private readonly onUsed: (bytes: number) => void;

  /** @param onUsed receives the used bytes whenever they change */
  constructor(limitBytes: number, onUsed: (bytes: number) => void = () => undefined) {
    this.limitBytes = limitBytes;
    this.onUsed = onUsed;
  }

  get usedBytes(): number {
    return this.used;
  }

  /** Bytes of a head at its last measurement. */
  bytesOf(head: MeasuredHead): number {
    return this.entries.get(head)?.bytes ?? 0;
  }

  /**
   * Records a profile that was added to a head, and the bytes that it added to the log: the head's memory
   * grows with new symbols and rows.
   */
  recordGrowth(head: MeasuredHead, logBytes: number): void {
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

  measure(head: MeasuredHead): void {
    let entry = this.entries.get(head);
    if (!entry)
      this.entries.set(head, (entry = { bytes: 0, indexBytes: 0, profiles: 0, logBytes: 0, leaving: false }));
    entry.profiles = entry.logBytes = 0;
    const bytes = head.byteLength;
    this.use(bytes - entry.bytes);
    if (!entry.leaving) this.own(head.tenant, bytes - entry.bytes);
    entry.bytes = bytes;
    entry.indexBytes = head.indexBytes;
  }

  /** Measures a head that a query has indexed further, unless it was dropped meanwhile. */
  measureIndexed(head: MeasuredHead): void {
    const entry = this.entries.get(head);
    if (entry && entry.indexBytes !== head.indexBytes) this.measure(head);
  }

  /** Marks a head that accepts no more profiles: its tenant may fill another head during the cut. */
  releaseHead(head: MeasuredHead): void {
    const entry = this.entries.get(head);
    if (!entry || entry.leaving) return;
    entry.leaving = true;
    this.own(head.tenant, -entry.bytes);
  }

  /** Removes a head and frees its bytes. */
  drop(head: MeasuredHead): void {
    const entry = this.entries.get(head);
    if (!entry) return;
    this.releaseHead(head);
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

  /**
   * Checks that there is room for a tenant's push.
   * @throws `no-room` when the heads are full, or when the tenant uses more than its share
   */
  require(tenant: string): void {
    const { used, limitBytes } = this,
      free = limitBytes - used;
    if (free <= 0)
      throw noRoom(
        "heads",
        `heads of this ingest thread use ${used} bytes; the limit is ${limitBytes} (its share of -memory.head-bytes)`,
        { usedBytes: used, limit: limitBytes },
      );
    const own = this.tenants.get(tenant) ?? 0,
      share = TENANT_SHARE * free;
    if (own > share)
      throw noRoom(
        "heads",
        `heads of tenant ${tenant} use ${own} bytes; the limit is ${share}, ${TENANT_SHARE} times the free part of ${limitBytes} bytes (this ingest thread's share of -memory.head-bytes)`,
        { usedBytes: own, limit: share },
      );
  }
}
