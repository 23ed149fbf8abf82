import { readFileSync } from "node:fs";
import { replaceFileSync } from "@cinderblock/files";

/**
 * Records that were in flight when an ingest thread died (docs/correctness.md, "Workers die whole"). Only a
 * thread's death counts: the process sees it and survives it briefly. A kill of the process is not attributed
 * to records.
 */
export class PoisonRecords {
  /**
   * `topic id/partition/offset` of records in flight; the topic ID tells a recreated topic's offsets apart
   */
  private readonly inFlight = new Set<string>();
  /** `topic id/partition/offset` -> deaths */
  private readonly counts: Map<string, number>;
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
    this.counts = read(file);
  }

  deathsOf(topicId: string, partition: number, offset: number): number {
    return this.counts.size === 0 ? 0 : (this.counts.get(keyOf(topicId, partition, offset)) ?? 0);
  }
  track(topicId: string, partition: number, offset: number): void {
    this.inFlight.add(keyOf(topicId, partition, offset));
  }

  /** Removes a record that was stored: it is not the poison record. */
  clear(topicId: string, partition: number, offset: number): void {
    const key = keyOf(topicId, partition, offset);
    this.inFlight.delete(key);
    if (this.counts.delete(key)) this.save();
  }

  noteDeath(): void {
    for (const key of this.inFlight) this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
    this.save();
  }

  private save(): void {
    replaceFileSync(this.file, JSON.stringify(Object.fromEntries(this.counts)));
  }
}

function keyOf(topicId: string, partition: number, offset: number): string {
  return `${topicId}/${partition}/${offset}`;
}

function read(file: string): Map<string, number> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === "ENOENT") return new Map(); // no thread has died yet, so there is no file
    throw err;
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, number>));
  } catch {
    return new Map();
  } // torn by a crash: the next death rewrites the file
}
