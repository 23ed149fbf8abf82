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
 * into `words`; a list has the indices in `item` from `offset[i]` to `offset[i + 1]`. The index -1 means no
 * text.
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
 * Encodes one record batch as a complete stream: schema, dictionaries, batch, end. All columns have equal
 * length.
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

/** Bytes of the end of a stream: a continuation marker without a message. */
const END_BYTES = 8;

/** The stream without its end, so that other streams can follow. */
export function withoutEndMarker(stream: Uint8Array): Uint8Array {
  return stream.subarray(0, stream.length - END_BYTES);
}

/**
 * The stream without its schema, so that it can follow a stream with the same schema. A schema is a message
 * without a body.
 */
export function withoutSchema(stream: Uint8Array): Uint8Array {
  return stream.subarray(8 + new DataView(stream.buffer, stream.byteOffset).getInt32(4, true));
}
