import { ByteWriter, crc32c } from "@cinderblock/bytes";
import {
  encodeFooter,
  encodeIndex,
  type PartitionIndex,
  TABLE_FORMAT,
  type TableHeader,
} from "./index-section.ts";
import { encodeStackTree } from "./stack-tree.ts";
import {
  ITEMS_PER_BLOCK,
  encodeFunctions,
  encodeLocations,
  encodeMappings,
  encodeStrings,
} from "./table-blocks.ts";
import { FUNCTION_WORDS, locationCount, MAPPING_WORDS, stringCount, type SymbolTables } from "./tables.ts";

/**
 * One symbol partition to write. `partition` is the unsigned 64-bit ID, xxHash64 of the partition's name.
 * `stacktraces` is the number of distinct stacks: written into the tree header, and only informative.
 */
export interface PartitionSource {
  partition: bigint;
  tables: SymbolTables;
  stacktraces: number;
}

/**
 * Writer of `symbols.symdb`, version 3. The file has no back references, so partitions stream out one by one.
 *
 *   partition 1                                                   partition 2             24 bytes
 *   | strings | mappings | functions | locations | stack tree | ... | strings | ... | index section | footer |
 *
 * The caller adds partitions in ascending order of their ID; the writer keeps the order and does not check
 * it.
 */
export class SymdbWriter {
  private readonly out = new ByteWriter(1 << 12);
  private readonly index: PartitionIndex[] = [];
  private flushed = 0;
  private readonly sink: ((bytes: Uint8Array) => void) | undefined;

  /**
   * @param sink receives each finished partition, as a view that is valid during the call; `finish` then
   * returns the rest
   */
  constructor(sink?: (bytes: Uint8Array) => void) {
    this.sink = sink;
  }

  /** Number of written partitions. */
  get partitions(): number {
    return this.index.length;
  }

  /** Encodes one partition and records its headers for the index section. The tables are read, not kept. */
  add({ partition, tables: t, stacktraces }: PartitionSource): void {
    const { out } = this;
    const table = (
      format: number,
      headerSize: number,
      length: number,
      encode: (t: SymbolTables, out: ByteWriter) => void,
    ): TableHeader => {
      const offset = out.length;
      encode(t, out);
      return {
        offset: this.flushed + offset,
        size: out.length - offset,
        crc: crc32c(out.buffer, offset, out.length),
        length,
        blockSize: ITEMS_PER_BLOCK,
        headerSize,
        format,
      };
    };
    const strings = table(TABLE_FORMAT.strings, 12, stringCount(t), encodeStrings);
    const mappings = table(TABLE_FORMAT.mappings, 32, t.mappingWords.length / MAPPING_WORDS, encodeMappings);
    const functions = table(
      TABLE_FORMAT.functions,
      24,
      t.functionWords.length / FUNCTION_WORDS,
      encodeFunctions,
    );
    const locations = table(TABLE_FORMAT.locations, 28, locationCount(t), encodeLocations);
    const offset = out.length;
    encodeStackTree(t.stackParent, t.stackLocation, out);
    this.index.push({
      partition,
      tables: [locations, mappings, functions, strings],
      stacks: [
        {
          offset: this.flushed + offset,
          size: out.length - offset,
          partition,
          blockIndex: 0,
          stacktraces,
          nodes: t.stackParent.length,
          // v1 writes 0 here, and one tree per partition whose ID space has no limit.
          maxDepth: 0,
          maxNodes: 0xffffffff,
          crc: crc32c(out.buffer, offset, out.length),
        },
      ],
    });
    if (!this.sink) return;
    this.sink(out.finish());
    this.flushed += out.length;
    out.reset();
  }

  /**
   * Appends the index section and the footer.
   * @returns a view of the unflushed rest: the whole file without a sink, index section and footer with one
   */
  finish(): Uint8Array {
    const { out } = this;
    const offset = this.flushed + out.length;
    encodeIndex({ version: 3, reserved: 0n, partitions: this.index }, out);
    encodeFooter(offset, out);
    return out.finish();
  }
}
