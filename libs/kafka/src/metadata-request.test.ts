import { decodeMetadataAnswer, encodeMetadataRequest } from "./metadata-request.ts";

/**
 * Fields of a protocol response: big-endian numbers; a flexible field starts with the varint of its length
 * plus one.
 */
class Answer {
  private readonly parts: number[] = [];
  bytes(...values: number[]): this {
    this.parts.push(...values);
    return this;
  }
  int16(n: number): this {
    return this.bytes((n >> 8) & 255, n & 255);
  }
  int32(n: number): this {
    return this.bytes((n >> 24) & 255, (n >> 16) & 255, (n >> 8) & 255, n & 255);
  }
  text(s: string): this {
    return this.bytes(s.length + 1, ...Buffer.from(s));
  }
  get buffer(): Buffer {
    return Buffer.from(this.parts);
  }
}
const partition = (a: Answer, index: number, error: number, leader: number): Answer =>
  a
    .int16(error)
    .int32(index)
    .int32(leader)
    .int32(7)
    .bytes(2) // one replica
    .int32(1)
    .bytes(1) // none in sync
    .bytes(2)
    .int32(1)
    .bytes(0);
const answer = (id: number[]): Buffer => {
  const a = new Answer().bytes(0).int32(0).bytes(2).int32(1).text("127.0.0.1").int32(9092).bytes(0, 0);
  a.text("cluster").int32(1).bytes(2).int16(0).text("pushes");
  a.bytes(...id)
    .bytes(0)
    .bytes(3);
  partition(a, 0, 0, 1);
  partition(a, 1, 5, -1);
  // Decoders skip tagged fields of a future release.
  return a.int32(-2147483648).bytes(1, 9, 2, 1, 2).int32(-2147483648).bytes(0).buffer;
};

describe("a metadata request", () => {
  it("names the topics, or asks for all of them with a null array", () => {
    expect([...encodeMetadataRequest({ topics: ["ab"] })]).toEqual([
      0,
      2,
      ...new Array<number>(16).fill(0),
      3,
      97,
      98,
      0,
      0,
      0,
      0,
      0,
    ]);
    expect([...encodeMetadataRequest({ topics: [] })]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("returns the topic ID, and errors of single partitions next to the others", () => {
    const id = Array.from({ length: 16 }, (_, i) => i + 1);
    expect(decodeMetadataAnswer(answer(id))).toMatchObject({
      brokers: [{ nodeId: 1, host: "127.0.0.1", port: 9092, rack: null }],
      clusterId: "cluster",
      topicMetadata: [
        {
          topicErrorCode: 0,
          topic: "pushes",
          topicId: Buffer.from(id).toString("base64url"),
          partitionMetadata: [
            { partitionErrorCode: 0, partitionId: 0, leader: 1, replicas: [1] },
            { partitionErrorCode: 5, partitionId: 1, leader: -1, replicas: [1] },
          ],
        },
      ],
    });
    expect(decodeMetadataAnswer(answer(new Array<number>(16).fill(0))).topicMetadata[0]!.topicId).toBe("");
  });

  it("fails on a truncated response, at any byte", () => {
    const whole = answer(new Array<number>(16).fill(1));
    for (let n = 0; n < whole.length; n++) expect(() => decodeMetadataAnswer(whole.subarray(0, n))).toThrow();
  });
});
