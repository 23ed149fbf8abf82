import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/** A file that is written sequentially and synced when it is complete. */
export class OutputFile {
  readonly relPath: string;
  sizeBytes = 0;
  private fd: number;
  constructor(dir: string, relPath: string) {
    this.relPath = relPath;
    this.fd = openSync(`${dir}/${relPath}`, "w");
  }

  readonly write = (bytes: Uint8Array): void => {
    for (let n = 0; n < bytes.length; ) n += writeSync(this.fd, bytes, n, bytes.length - n);
    this.sizeBytes += bytes.length;
  };

  finish(): void {
    fsyncSync(this.fd);
    this.close();
  }
  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}
