import { CorruptError } from "@cinderblock/errors";
import { mutations, Random } from "@cinderblock/testkit";
import { type IndexSeries, decodeIndex, encodeIndex } from "./index.ts";
import { repaired } from "./repaired.testing.ts";

// docs/formats/index-tsdb.md#vectors
const ONE_SERIES = `uqrXAAIAAADFAAAADwhfX25hbWVfXw9fX3BlcmlvZF90eXBlX18PX19wZXJpb2RfdW5pdF9fEF9fcHJvZmlsZV90eXBlX18QX19zZXJ2aWNlX25hbWVfXwhfX3R5cGVfXwhfX3VuaXRfXwNjcHUCZXULbmFub3NlY29uZHMLcHJvY2Vzc19jcHUrcHJvY2Vzc19jcHU6Y3B1Om5hbm9zZWNvbmRzOmNwdTpuYW5vc2Vjb25kcwZyZWdpb24Mc2VydmljZV9uYW1lBHRpbnmNg1aWAAAAAAAAAAAAAAAAAAAsF5qOu6C8q98JAAoBBwIJAwsEDgUHBgkMCA0OAYCgsMqm/snqMQAAAAAAAACrOXbsAAAAAAAADAAAAAEAAAABAAAACoytJIEAAAAMAAAAAQAAAAEAAAAHM4VoUgAAAAwAAAABAAAAAQAAAAmf/dd1AAAADAAAAAEAAAABAAAAC37Gp4IAAAAMAAAAAQAAAAEAAAAOSzezngAAAAwAAAABAAAAAQAAAAczhWhSAAAADAAAAAEAAAABAAAACZ/913UAAAAMAAAAAQAAAAEAAAAIbZZUdgAAAAwAAAABAAAAAQAAAA5LN7OeAAAACAAAAAEAAAAOGEFiAQAAAAgAAAABAAAADhhBYgEAAAAIAAAAAQAAAA4YQWIBAAAACAAAAAEAAAAOGEFiAQAAAAgAAAABAAAADhhBYgEAAAAIAAAAAQAAAA4YQWIBAAAACAAAAAEAAAAOGEFiAQAAAAgAAAABAAAADhhBYgEAAAAIAAAAAQAAAA4YQWIBAAAACAAAAAEAAAAOGEFiAQAAAJAAAAAJAQhfX25hbWVfX5QCAQ9fX3BlcmlvZF90eXBlX1+oAgEPX19wZXJpb2RfdW5pdF9fvAIBEF9fcHJvZmlsZV90eXBlX1/QAgEQX19zZXJ2aWNlX25hbWVfX+QCAQhfX3R5cGVfX/gCAQhfX3VuaXRfX4wDAQZyZWdpb26gAwEMc2VydmljZV9uYW1ltAMHZzVQAAAA+gAAAAoCAADIAwIIX19uYW1lX18LcHJvY2Vzc19jcHXYAwIPX19wZXJpb2RfdHlwZV9fA2NwdegDAg9fX3BlcmlvZF91bml0X18LbmFub3NlY29uZHP4AwIQX19wcm9maWxlX3R5cGVfXytwcm9jZXNzX2NwdTpjcHU6bmFub3NlY29uZHM6Y3B1Om5hbm9zZWNvbmRziAQCEF9fc2VydmljZV9uYW1lX18EdGlueZgEAghfX3R5cGVfXwNjcHWoBAIIX191bml0X18LbmFub3NlY29uZHO4BAIGcmVnaW9uAmV1yAQCDHNlcnZpY2VfbmFtZQR0aW552AQPwxhwAAAAFAAAAAEAAAAAAAAADheajrugvKvfGoanpgAAAAAAAAAFAAAAAAAAANIAAAAAAAABEQAAAAAAAAJoAAAAAAAAAcgAAAAAAAADAAAAAAAAAAQCGOqT+TSmCAAY6pP5NKYIAOut4XE=`;

describe("index.tsdb", () => {
  it("writes an empty index of 148 bytes, as v1", () => {
    const bytes = Buffer.from(encodeIndex([]));
    expect(bytes.length).toBe(148);
    expect(bytes.subarray(0, 60).toString("hex")).toBe(
      "baaad70002000000040000000048674bc7000000" +
        "000000040000000048674bc7" +
        "000000040000000048674bc7" +
        "000000080000000102000014dc9aaed7",
    );
    expect(bytes.subarray(144).toString("hex")).toBe("362823f2");
    expect(decodeIndex(bytes)).toEqual([]);
  });
  it("reproduces a file of v1 byte for byte from its decoded content", () => {
    const file = Buffer.from(ONE_SERIES, "base64");
    const series = decodeIndex(file);
    expect(series).toHaveLength(1);
    expect(series[0]!.labels.find((l) => l.name === "service_name")?.value).toBe("tiny");
    expect(series[0]!.minTime).toBe(1795410100000000000n);
    expect(Buffer.from(encodeIndex(series)).equals(file)).toBe(true);
  });
  it("round-trips many series with all their labels", () => {
    const series: IndexSeries[] = Array.from({ length: 3000 }, (_, i) => ({
      labels: [
        { name: "a", value: `v${String(i).padStart(5, "0")}` },
        { name: "größe", value: `\u{1f600}${i % 7}` },
      ],
      fingerprint: (BigInt(i) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn,
      minTime: BigInt(i),
      maxTime: BigInt(i) + 5n,
      seriesIndex: i,
    }));
    expect(
      decodeIndex(encodeIndex(series)).map((s) => ({ ...s, kb: undefined, checksum: undefined })),
    ).toEqual(series.map((s) => ({ ...s, kb: undefined, checksum: undefined })));
  });
  it("names the file and the position of any flipped byte that it reads", () => {
    const file = Buffer.from(ONE_SERIES, "base64");
    for (const at of [0, 4, 30, 230, 900, file.length - 40]) {
      const bad = Uint8Array.from(file);
      bad[at]! ^= 0x10;
      expect(() => decodeIndex(bad, "b/index.tsdb")).toThrow(/b\/index\.tsdb: at byte/);
    }
  });
  it("survives mutated files with repaired checksums: an error with its position, or series", () => {
    const file = encodeIndex(
      Array.from({ length: 20 }, (_, i) => ({
        labels: [
          { name: "a", value: `v${i % 3}` },
          { name: "b", value: `w${i}` },
        ],
        fingerprint: BigInt(i),
        minTime: BigInt(i),
        maxTime: BigInt(i) + 5n,
        seriesIndex: i,
      })),
    );
    const random = new Random(21);
    let refused = 0,
      read = 0;
    for (let i = 0; i < mutations(1500); i++) {
      const bad = repaired(random.mutate(file));
      try {
        expect(decodeIndex(bad).length).toBeLessThan(1000);
        read++;
      } catch (err) {
        expect(err).toBeInstanceOf(CorruptError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(150);
    expect(read).toBeGreaterThan(150);
  });
});
