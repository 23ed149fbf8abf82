import {
  type Data,
  type DataType,
  Dictionary,
  Field,
  Int32,
  Int64,
  List,
  makeData,
  makeVector,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  TimestampMicrosecond,
  Utf8,
  type Vector,
} from "apache-arrow";

/**
 * A column: times (microseconds since the epoch, UTC), integers, texts or lists of texts. Texts are indices
 * into `words`, UTF-8; a list has the indices in `item` from `offset[i]` to `offset[i + 1]`. The index -1
 * means no text, and is allowed in text columns only.
 *
 *   kind     Arrow type                             null  memory
 *   time     timestamp[us, UTC]                     no    values [rows]
 *   number   int64                                  no    values [rows]
 *   text     dictionary<utf8, int32>                yes   index [rows] -> words
 *   list     list<item: dictionary<utf8, int32>>    no    offset [rows + 1] -> item -> words
 */
export type ArrowColumn =
  | { name: string; kind: "time"; values: BigInt64Array }
  | {
      name: string;
      kind: "number";
      values: BigInt64Array;
      /** unit and integer type of the column's numbers */
      metadata?: Record<string, string>;
    }
  | { name: string; kind: "text"; words: readonly Uint8Array[]; index: Int32Array }
  | { name: string; kind: "list"; words: readonly Uint8Array[]; item: Int32Array; offset: Int32Array };

const TIME = new TimestampMicrosecond("UTC"),
  NUMBER = new Int64();
/** A dictionary has the number of its column as ID, so that the next batch replaces it. */
const words = (id: number): Dictionary<Utf8, Int32> => new Dictionary(new Utf8(), new Int32(), id);

// Field of the schema; a dictionary's ID is the column's position.
function fieldOf(c: ArrowColumn, i: number): Field {
  switch (c.kind) {
    case "time":
      return new Field(c.name, TIME, false);
    case "number":
      return new Field(c.name, NUMBER, false, new Map(Object.entries(c.metadata ?? {})));
    case "text":
      return new Field(c.name, words(i), true);
    case "list":
      return new Field(c.name, new List(new Field("item", words(i), false)), false);
  }
}

// Words as one Utf8 vector: offsets and concatenated bytes.
function texts(list: readonly Uint8Array[]): Vector<Utf8> {
  const valueOffsets = new Int32Array(list.length + 1);
  list.forEach((w, i) => {
    valueOffsets[i + 1] = valueOffsets[i]! + w.length;
  });
  return makeVector(
    makeData({
      type: new Utf8(),
      length: list.length,
      nullCount: 0,
      valueOffsets,
      data: Buffer.concat(list),
    }),
  );
}

// Data of a column without copies, except nulls' indices: -1 becomes 0, because the validity bitmap
// decides.
function dataOf(c: ArrowColumn, type: DataType, i: number): Data {
  switch (c.kind) {
    case "time":
      return makeData({ type: TIME, length: c.values.length, nullCount: 0, data: c.values });
    case "number":
      return makeData({ type: NUMBER, length: c.values.length, nullCount: 0, data: c.values });
    case "text": {
      let nullCount = 0;
      const nullBitmap = new Uint8Array((c.index.length + 7) >> 3);
      for (let k = 0; k < c.index.length; k++)
        if (c.index[k]! < 0) nullCount++;
        else nullBitmap[k >> 3]! |= 1 << (k & 7);
      return makeData({
        type: type as Dictionary<Utf8, Int32>,
        length: c.index.length,
        nullCount,
        ...(nullCount > 0 ? { nullBitmap, data: c.index.map((v) => Math.max(0, v)) } : { data: c.index }),
        dictionary: texts(c.words),
      });
    }
    case "list":
      return makeData({
        type: type as List,
        length: c.offset.length - 1,
        nullCount: 0,
        valueOffsets: c.offset,
        child: makeData({
          type: words(i),
          length: c.item.length,
          nullCount: 0,
          data: c.item,
          dictionary: texts(c.words),
        }),
      });
  }
}

/**
 * Encodes one record batch as a complete IPC stream. All columns have equal length.
 *
 *   schema message | dictionary batch of each text and list column | record batch | end marker <8b>
 *
 * Streams of equal schemas can be joined: `withoutEndMarker` of the first, then `withoutSchema` of the next.
 * Its dictionaries replace those before, so that indices are local to a batch.
 * @param metadata key-value metadata of the schema
 * @returns bytes that the caller owns
 */
export function encodeBatch(columns: readonly ArrowColumn[], metadata: Record<string, string>): Uint8Array {
  const schema = new Schema(columns.map(fieldOf), new Map(Object.entries(metadata)));
  const children = columns.map((c, i) => dataOf(c, schema.fields[i]!.type as DataType, i));
  const writer = new RecordBatchStreamWriter();
  writer.write(
    new RecordBatch(
      schema,
      makeData({ type: new Struct(schema.fields), length: children[0]?.length ?? 0, nullCount: 0, children }),
    ),
  );
  writer.finish();
  return writer.toUint8Array(true);
}

/** Bytes of the end of a stream: the continuation marker ff ff ff ff and a size of 0. */
const END_BYTES = 8;

/** View of the stream without its end, so that other streams can follow. */
export function withoutEndMarker(stream: Uint8Array): Uint8Array {
  return stream.subarray(0, stream.length - END_BYTES);
}

/**
 * View of the stream without its schema, so that it can follow a stream with the same schema. A schema is a
 * message without a body:
 *
 *   0             4                    8                 8 + size
 *   | ff ff ff ff | size <4b LE>       | metadata        | next message
 */
export function withoutSchema(stream: Uint8Array): Uint8Array {
  return stream.subarray(8 + new DataView(stream.buffer, stream.byteOffset).getInt32(4, true));
}
