import { openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { BlockFiles } from "@cinderblock/block";

/** The files of a block in a folder, with reads of ranges. */
export function filesIn(dir: string): BlockFiles {
  const open = new Map<string, number>();
  const size = (f: string): number => statSync(join(dir, f)).size;
  return {
    read: (f, offset, n = size(f) - offset) => {
      let fd = open.get(f);
      if (fd === undefined) open.set(f, (fd = openSync(join(dir, f), "r")));
      const bytes = new Uint8Array(n);
      return Promise.resolve(bytes.subarray(0, readSync(fd, bytes, 0, n, offset)));
    },
    size: (f) => Promise.resolve(size(f)),
  };
}
