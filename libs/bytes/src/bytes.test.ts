import fc from "fast-check";
import {
  ByteReader,
  ByteWriter,
  compareUtf8,
  crc32c,
  deltaPackInt32,
  deltaPackInt64,
  deltaUnpackInt32,
  deltaUnpackInt64,
  fnv1,
  fnv1a,
  loadHasher,
  ShortRead,
  sortUtf8,
} from "./index.ts";

describe("decimal", () => {
  it("writes what JSON writes", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.maxSafeInteger(),
            fc.integer({ min: -1001, max: 1001 }),
            fc.bigInt(),
            fc.constantFrom(999_999_999, 1e9, 1e9 + 1, 1e15),
          ),
          { maxLength: 20 },
        ),
        (list) => {
          const w = new ByteWriter(1);
          for (const v of list) {
            w.decimal(v);
            w.u8(44);
          }
          return Buffer.from(w.finish()).toString() === list.map((v) => `${v},`).join("");
        },
      ),
    );
  });
});

describe("crc32c", () => {
  it("returns the check value of the polynomial", () => {
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
  });
  it("equals bitwise division, at any alignment", () => {
    const plain = (bytes: Uint8Array): number => {
      let c = -1;
      for (const b of bytes) {
        c ^= b;
        for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
      }
      return ~c >>> 0;
    };
    const long = fc
      .tuple(fc.integer({ min: 1900, max: 7000 }), fc.nat())
      .map(([n, factor]) => Uint8Array.from({ length: n }, (_, i) => Math.imul(i, factor | 1) >>> 13));
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 200 }), long),
        fc.nat(20),
        fc.nat(20),
        (bytes, skip, drop) => {
          const start = Math.min(skip, bytes.length),
            end = Math.max(start, bytes.length - drop);
          return (
            crc32c(bytes, start, end) === plain(bytes.slice(start, end)) &&
            crc32c(bytes.subarray(start, end)) === crc32c(bytes, start, end)
          );
        },
      ),
      { numRuns: 500 },
    );
  });
  it("is the same over parts as over all bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array(),
        fc.uint8Array(),
        (a, b) => crc32c(Buffer.concat([a, b])) === crc32c(b, 0, b.length, crc32c(a)),
      ),
    );
  });
});

describe("varints", () => {
  it("round-trip", () => {
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.maxSafeNat(), (signed, natural) => {
        const w = new ByteWriter(4);
        w.varint64(signed);
        w.uvarint64(BigInt.asUintN(64, signed));
        w.uvarint(natural);
        const r = new ByteReader(w.finish());
        return (
          r.varint64() === signed &&
          r.uvarint64() === BigInt.asUintN(64, signed) &&
          r.uvarint() === natural &&
          r.left === 0
        );
      }),
    );
  });
  it("refuses an unterminated varint", () => {
    expect(() => new ByteReader(new Uint8Array(20).fill(255)).uvarint()).toThrow(ShortRead);
  });
});

describe("delta packing", () => {
  it("writes an empty column as the header alone", () => {
    const w = new ByteWriter();
    deltaPackInt32([], 0, w);
    expect(Buffer.from(w.finish()).toString("hex")).toBe("8001040000");
  });
  it("round-trips int32 columns, wrapping at 32 bits", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }), { maxLength: 600 }),
        (values) => {
          const w = new ByteWriter();
          deltaPackInt32(values, values.length, w);
          const out = deltaUnpackInt32(new ByteReader(w.finish()), { max: values.length });
          return values.every((v, i) => (v | 0) === out[i]);
        },
      ),
    );
  });
  it("round-trips int64 columns, exact beyond 2^53", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 10_000_000_000n)), {
          maxLength: 400,
        }),
        (values) => {
          const column = BigInt64Array.from(values);
          const w = new ByteWriter();
          deltaPackInt64(column, column.length, w);
          const out = deltaUnpackInt64(new ByteReader(w.finish()), { max: column.length });
          return values.every((v, i) => v === out[i]);
        },
      ),
    );
  });
  it("refuses a count above the bound before it allocates", () => {
    const w = new ByteWriter();
    w.uvarint(128);
    w.uvarint(4);
    w.uvarint(2 ** 40);
    w.uvarint(0);
    expect(() => deltaUnpackInt64(new ByteReader(w.finish()), { max: 1000 })).toThrow("at most 1000");
  });
});

describe("order and hashes", () => {
  it("orders strings by their UTF-8 bytes, astral characters too", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.string({ unit: "binary" }),
        (a, b) => Math.sign(compareUtf8(a, b)) === Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
      ),
    );
    expect(compareUtf8("\u{10000}", "\uffff")).toBeGreaterThan(0);
  });
  it("sorts lists of strings as UTF-8", () => {
    const texts = fc.array(
      fc.string({ unit: fc.constantFrom("a", "b", "é", "\ud7ff", "\uffff", "\u{10000}") }),
    );
    fc.assert(
      fc.property(texts, (list) => {
        const bytes = list.map((t) => Buffer.from(t)).sort((a, b) => Buffer.compare(a, b));
        expect(sortUtf8([...list])).toEqual(bytes.map(String));
      }),
    );
  });
  it("equals v1's partition IDs", async () => {
    const { h64 } = await loadHasher();
    expect(h64(Buffer.from("tiny"))).toBe(10241704155078401931n);
    expect(h64(Buffer.from("pysvc"))).toBe(9886863096436366550n);
    expect(h64(Buffer.from("unknown"))).toBe(10671237351553527577n);
  });
  it("distinguishes FNV-1 from FNV-1a", () => {
    expect(fnv1(Buffer.from("a"))).toBe(0x050c5d7e);
    expect(fnv1a(Buffer.from("a"))).toBe(0xe40c292c);
  });
});
