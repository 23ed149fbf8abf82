import { readFileSync } from "node:fs";
import { crashPoint, replaceFile } from "@cinderblock/files";
import type { Fence } from "@cinderblock/transport";

interface SavedPositions {
  topic: string;
  positions: Record<string, number>;
  committed?: Record<string, number>;
  /** absent in files of the previous release */
  topicIds?: Record<string, string>;
  /** absent in files of the release before */
  fences?: Record<string, readonly Fence[]>;
}

/** A position names its topic: after a topic is recreated, the same offset names another record. */
export interface SavedPosition {
  /** ID of the topic; "": unknown */
  topicId: string;
  /** records below this offset are in this ingester's log or blocks */
  position: number;
  /** the group's commit at the time of saving */
  committed: number;
  /** records that made a number of partitions known */
  fences: readonly Fence[];
}

/** Read positions of partitions on this disk. Format: docs/formats/kafka-record.md */
export class PartitionPositions {
  private readonly file: string;
  private readonly topic: string;
  private readonly saved = new Map<number, SavedPosition>();
  private saving: Promise<void> = Promise.resolve();

  /** Reads the positions of an earlier run; ignores those of a topic with another name. */
  constructor(file: string, topic: string) {
    this.file = file;
    this.topic = topic;
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return; // no positions are stored: the process starts on this disk for the first time
      throw err;
    }
    const saved = JSON.parse(text) as SavedPositions;
    if (saved.topic !== topic) return;
    for (const [p, position] of Object.entries(saved.positions))
      this.saved.set(Number(p), {
        topicId: saved.topicIds?.[p] ?? "",
        position,
        committed: saved.committed?.[p] ?? 0,
        fences: saved.fences?.[p] ?? [],
      });
  }

  get(partition: number): SavedPosition | undefined {
    return this.saved.get(partition);
  }

  /** @returns whether anything changed */
  set(partition: number, next: SavedPosition): boolean {
    const was = this.saved.get(partition);
    if (
      was?.position === next.position &&
      was.committed === next.committed &&
      was.topicId === next.topicId &&
      was.fences === next.fences
    )
      return false;
    this.saved.set(partition, next);
    return true;
  }

  /** Serializes saves; each writes the positions that are current when its turn comes. */
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
      fences: of((s) => s.fences),
    };
    await replaceFile(this.file, JSON.stringify(file));
    crashPoint("commit/positions-saved");
  }
}
