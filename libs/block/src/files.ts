import type { Bucket } from "@cinderblock/objstore";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CorruptError } from "@cinderblock/errors";
import { decodeFooter, type ParquetFooter, footerLength } from "@cinderblock/parquet";

/** Reads byte ranges of a block's files; an undefined `size` reads to the end of the file. */
export interface BlockFiles {
  read(relPath: string, offset: number, size: number | undefined): Promise<Uint8Array>;
  size(relPath: string): Promise<number>;
}

/** Files of a block in a bucket. */
export function blockFilesIn(bucket: Bucket, path: string): BlockFiles {
  return {
    read: (relPath, offset, size) =>
      size === undefined
        ? bucket.get(`${path}/${relPath}`)
        : bucket.getRange(`${path}/${relPath}`, offset, size),
    size: async (relPath) => (await bucket.attributes(`${path}/${relPath}`)).size,
  };
}

/** Bytes to read at once from the end of a file. */
const TAIL_BYTES = 64 << 10;
/** Files up to this size are read completely: a request costs more than the bytes. */
const WHOLE_BYTES = 512 << 10;

/** Bytes to read first from the end of a file: the footer and some preceding bytes, or the complete file. */
export function tailBytes(size: number): number {
  return size <= WHOLE_BYTES ? size : TAIL_BYTES;
}

/** The footer of a block's Parquet file, and the end of the file that was read with it. */
export async function readFooter(
  block: BlockMeta,
  files: BlockFiles,
  relPath: string,
): Promise<{ meta: ParquetFooter; tail: { bytes: Uint8Array; offset: number } }> {
  const file = `${block.ulid}/${relPath}`;
  const size = block.files.find((f) => f.relPath === relPath)?.sizeBytes || (await files.size(relPath));
  if (size < 12) throw new CorruptError(file, 0, `expected a Parquet file, found ${size} bytes`);
  let offset = size - tailBytes(size);
  let bytes = await files.read(relPath, offset, size - offset);
  const length = footerLength(bytes, file);
  if (length + 8 > size)
    throw new CorruptError(file, size - 8, `expected a footer of ${length} bytes inside the file`);
  if (length + 8 > bytes.length) {
    offset = size - length - 8;
    bytes = await files.read(relPath, offset, length + 8);
  }
  return {
    meta: decodeFooter(bytes.subarray(bytes.length - 8 - length, bytes.length - 8), file),
    tail: { bytes, offset },
  };
}
