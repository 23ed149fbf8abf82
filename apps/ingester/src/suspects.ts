import { readFileSync } from "node:fs";
import { replaceFileSync } from "@cinderblock/files";

/**
 * Records that were in hand when an ingest thread died (docs/correctness.md, "Workers die whole"). Only a thread's death counts, which the process
 * sees and outlives for a moment; a kill of the process says nothing of the records.
 */
export class Suspects {
  /** `partition/offset` of what is in hand */
  private readonly held = new Set<string>();
  /** `partition/offset` -> deaths */
  private readonly counts: Map<string, number>;
  private readonly file: string;

  constructor(file: string) {
    this.file = file;
    this.counts = read(file);
  }

  deaths(partition: number, offset: number): number {
    return this.counts.size === 0 ? 0 : (this.counts.get(`${partition}/${offset}`) ?? 0);
  }
  take(partition: number, offset: number): void {
    this.held.add(`${partition}/${offset}`);
  }

  /** It was taken in: it is not what the thread died of. */
  done(partition: number, offset: number): void {
    const key = `${partition}/${offset}`;
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
