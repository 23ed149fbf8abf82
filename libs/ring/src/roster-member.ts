import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { sleep, withTimeLimit } from "@cinderblock/async";
import { kindOf, messageOf } from "@cinderblock/errors";
import { replaceFileSync, syncDirectory } from "@cinderblock/files";
import type { Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import {
  decodeRosterEntry,
  encodeRosterEntry,
  bucketTimeoutError,
  type RosterBucket,
  type RosterEntry,
  rosterName,
} from "./roster-entry.ts";

/** Identity of an ingester in the roster, and the timeouts of its entry's requests. */
export interface RosterMemberConfig {
  id: string;
  /** host:port at which readers reach this process; known once the process starts */
  address: () => string;
  zone: string;
  /** local file that records that the bucket has the entry */
  file: string;
  /** deadline of one bucket request */
  timeoutMs?: number;
  /** milliseconds after a failed write, and between checks of the written entry */
  retryMs?: number;
  lookMs?: number;
}

/**
 * This ingester's entry in the roster, the list of ingesters that may hold data that the bucket lacks. The
 * entry is written before the ingester accepts writes, and removed when store-gateways can serve all its data
 * (docs/correctness.md, "Reads ask every holder"). Readers that find the entry and get no answer mark their
 * answers as partial.
 */
export class RosterMember implements Service {
  readonly name = "roster";
  private readonly entry: RosterEntry;
  private readonly object: string;
  private readonly bucket: RosterBucket;
  private readonly config: Required<RosterMemberConfig>;
  private readonly base: Base;
  private readonly failures: { inc(n?: number): void };
  private readonly stopping = new AbortController();
  private readonly written = Promise.withResolvers<void>();
  private loop: Promise<void> = Promise.resolve();
  private isWritten = false;
  private failing = "";

  constructor(bucket: RosterBucket, config: RosterMemberConfig, base: Base) {
    this.bucket = bucket;
    this.config = { timeoutMs: 10_000, retryMs: 1000, lookMs: 60_000, ...config };
    this.base = base;
    const { id, zone } = config;
    this.entry = { id, address: "", zone, incarnation: randomUUID(), startedMs: base.now() };
    this.object = rosterName(id);
    this.failures = base.metrics.counter(
      "cinderblock_ingester_roster_failures_total",
      "Failed requests for this ingester's roster entry.",
    );
    this.failures.inc(0);
    base.metrics.gauge(
      "cinderblock_ingester_roster_written",
      "1 while this ingester's roster entry is in the bucket, as of the last check.",
      [],
      (g) => g.set(this.isWritten ? 1 : 0),
    );
  }

  /** Resolves when the bucket has an entry of this ingester, from this incarnation or an earlier one. */
  get ready(): Promise<void> {
    return this.written.promise;
  }
  /** Reason why the ingester does not accept writes yet, for /ready; "" if it does. */
  get obstacle(): string {
    return this.isWritten
      ? ""
      : `the ingester's roster entry is not in the bucket yet${this.failing === "" ? "" : `: ${this.failing}`}`;
  }

  start(): Promise<void> {
    this.entry.address = this.config.address();
    // An ingester that did not hand over has an entry, and may restart while the bucket is unavailable.
    if (this.remembered()) this.confirm();
    this.loop = this.keep();
    return Promise.resolve();
  }

  private confirm(): void {
    this.isWritten = true;
    this.written.resolve();
  }

  private remembered(): boolean {
    const { file, id } = this.config;
    if (!existsSync(file)) return false;
    try {
      return (JSON.parse(readFileSync(file, "utf8")) as { id?: string } | null)?.id === id;
    } catch (err) {
      this.base.log.warn({ file, err }, "roster file is damaged, rewriting the entry");
      return false;
    }
  }

  /**
   * Writes the entry, and writes it again if it was deleted: only this ingester knows which data it holds.
   */
  private async keep(): Promise<void> {
    const { signal } = this.stopping;
    for (let first = true; !signal.aborted; ) {
      try {
        if (first || !(await this.withTimeout("exists", this.bucket.exists(this.object)))) {
          await this.withTimeout("put", this.bucket.put(this.object, encodeRosterEntry(this.entry)));
          if (!first) this.base.log.warn({ name: this.object }, "roster entry is missing, rewriting it");
          first = false;
          replaceFileSync(this.config.file, JSON.stringify({ id: this.entry.id }));
        }
        if (this.failing !== "")
          this.base.log.info({ name: this.object }, "roster entry is in the bucket again");
        this.failing = "";
        this.confirm();
        await sleep(this.config.lookMs, signal);
      } catch (err) {
        this.failures.inc();
        if (this.failing === "")
          this.base.log.warn({ err, name: this.object }, "writing the roster entry failed, retrying");
        this.failing = messageOf(err);
        await sleep(this.config.retryMs, signal);
      }
    }
  }

  private withTimeout<T>(what: string, work: Promise<T>): Promise<T> {
    return withTimeLimit(this.config.timeoutMs, work, () => bucketTimeoutError(what, this.config.timeoutMs));
  }

  /**
   * Removes the entry, after store-gateways can serve all data of this ingester. Retries until the deadline.
   * An entry of a later incarnation stays.
   * @returns whether the bucket no longer has an entry of this incarnation
   */
  async remove(deadlineMs: number): Promise<boolean> {
    await this.stop();
    // Delete the file first: without it, the next start waits for the entry.
    rmSync(this.config.file, { force: true });
    if (existsSync(dirname(this.config.file))) syncDirectory(dirname(this.config.file));
    for (;;) {
      try {
        if (!(await this.isOurs())) return true;
        await this.withTimeout("delete", this.bucket.delete(this.object));
        this.isWritten = false;
        return true;
      } catch (err) {
        if (kindOf(err) === "not-found") return true;
        this.failures.inc();
        this.base.log.warn({ err, name: this.object }, "removing the roster entry failed");
        if (this.base.now() + this.config.retryMs > deadlineMs) return false;
        await sleep(this.config.retryMs);
      }
    }
  }

  private async isOurs(): Promise<boolean> {
    const bytes = await this.withTimeout("get", this.bucket.get(this.object));
    try {
      return decodeRosterEntry(bytes, this.object).incarnation === this.entry.incarnation;
    } catch (err) {
      this.base.log.warn({ err, name: this.object }, "roster entry is damaged, removing it");
      return true;
    }
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
  }
}
