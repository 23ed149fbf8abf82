import { readFileSync } from "node:fs";
import { replaceFile } from "@cinderblock/files";

interface SavedPositions {
  topic: string;
  positions: Record<string, number>;
  committed?: Record<string, number>;
}

/** Read positions of partitions on this disk: records below them are in this ingester's log or blocks. Format: docs/formats/kafka-record.md */
export class PartitionPositions {
  private readonly file: string;
  private readonly topic: string;
  private positions: Record<string, number> = {};
  /** commits when the positions were saved: a recreated topic has lost them */
  private commits: Record<string, number> = {};

  /** Reads the positions of an earlier run; those of another topic are left out. */
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
    this.positions = saved.positions;
    this.commits = saved.committed ?? {};
  }

  positionOf(partition: number): number | undefined {
    return this.positions[partition];
  }
  commitOf(partition: number): number | undefined {
    return this.commits[partition];
  }

  /** @returns whether anything changed */
  set(partition: number, position: number, committed: number): boolean {
    if (this.positions[partition] === position && this.commits[partition] === committed) return false;
    this.positions[partition] = position;
    this.commits[partition] = committed;
    return true;
  }

  async save(): Promise<void> {
    await replaceFile(
      this.file,
      JSON.stringify({ topic: this.topic, positions: this.positions, committed: this.commits }),
    );
  }
}
