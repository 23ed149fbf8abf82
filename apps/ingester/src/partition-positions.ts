import { readFileSync } from "node:fs";
import { crashPoint, replaceFile } from "@cinderblock/files";

interface SavedPositions {
  topic: string;
  positions: Record<string, number>;
  committed?: Record<string, number>;
  /** absent in files of the release before */
  topicIds?: Record<string, string>;
}

/** A position names its topic: an offset of a topic that was deleted and created again is of another record. */
export interface SavedPosition {
  /** "": not known */
  topicId: string;
  /** records below are in this ingester's log or blocks */
  position: number;
  /** the group's commit when the position was saved */
  committed: number;
}

/** Read positions of partitions on this disk. Format: docs/formats/kafka-record.md */
export class PartitionPositions {
  private readonly file: string;
  private readonly topic: string;
  private readonly saved = new Map<number, SavedPosition>();
  private saving: Promise<void> = Promise.resolve();

  /** Reads the positions of an earlier run; those of a topic of another name are left out. */
  constructor(file: string, topic: string) {
    this.file = file;
    this.topic = topic;
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return; // the first run here
      throw err;
    }
    const saved = JSON.parse(text) as SavedPositions;
    if (saved.topic !== topic) return;
    for (const [p, position] of Object.entries(saved.positions))
      this.saved.set(Number(p), {
        topicId: saved.topicIds?.[p] ?? "",
        position,
        committed: saved.committed?.[p] ?? 0,
      });
  }

  of(partition: number): SavedPosition | undefined {
    return this.saved.get(partition);
  }

  /** @returns whether anything changed */
  set(partition: number, next: SavedPosition): boolean {
    const was = this.saved.get(partition);
    if (was?.position === next.position && was.committed === next.committed && was.topicId === next.topicId)
      return false;
    this.saved.set(partition, next);
    return true;
  }

  /** Saves one after the other: each writes what is known when its turn comes. */
  save(): Promise<void> {
    const done = this.saving.then(() => this.write());
    this.saving = done.catch(() => undefined);
    return done;
  }

  private async write(): Promise<void> {
    const of = <T>(pick: (s: SavedPosition) => T): Record<string, T> =>
      Object.fromEntries([...this.saved].map(([p, s]) => [p, pick(s)]));
    const file: SavedPositions = {
      topic: this.topic,
      topicIds: of((s) => s.topicId),
      positions: of((s) => s.position),
      committed: of((s) => s.committed),
    };
    await replaceFile(this.file, JSON.stringify(file));
    crashPoint("commit/positions-saved");
  }
}
