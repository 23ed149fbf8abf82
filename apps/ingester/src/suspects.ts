import { readFileSync } from "node:fs";
import { replaceFileSync } from "@cinderblock/files";

/**
 * Records that were in hand when an ingest thread died (docs/correctness.md, "Workers die whole"). Only a thread's death counts, which the process
 * sees and outlives for a moment; a kill of the process says nothing of the records.
 */
export class Suspects {
  /** `topic id/partition/offset` of records in hand: an offset alone would name another record once the topic is recreated */
  private readonly held = new Set<string>();
  /** `topic id/partition/offset` -> deaths */
  private readonly counts: Map<string, number>;
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
    this.counts = read(file);
  }

  deaths(topicId: string, partition: number, offset: number): number {
    return this.counts.size === 0 ? 0 : (this.counts.get(keyOf(topicId, partition, offset)) ?? 0);
  }
  take(topicId: string, partition: number, offset: number): void {
    this.held.add(keyOf(topicId, partition, offset));
  }

  /** It was taken in: it is not what the thread died of. */
  done(topicId: string, partition: number, offset: number): void {
    const key = keyOf(topicId, partition, offset);
    this.held.delete(key);
    if (this.counts.delete(key)) this.save();
  }

  noteDeath(): void {
    for (const key of this.held) this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
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
    if ((err as NodeJS.ErrnoException).code === "ENOENT") return new Map(); // nobody died
    throw err;
  }
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, number>));
  } catch {
    return new Map();
  } // torn when the process ended: the next death writes it anew
}
