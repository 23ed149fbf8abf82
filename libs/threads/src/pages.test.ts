import { Random } from "@cinderblock/testkit";
import { SharedPages, SharedPagesReader } from "./index.ts";

describe("pages shared by two threads", () => {
  it("keep their content until their release, through other puts and releases", () => {
    const random = new Random(11),
      pages = new SharedPages(256 << 10),
      reader = new SharedPagesReader(pages.buffer);
    const held: { at: number; bytes: Uint8Array }[] = [];
    let refused = 0,
      put = 0;
    for (let i = 0; i < 20_000; i++) {
      if (held.length > 0 && random.below(2) === 0) {
        const [{ at, bytes }] = held.splice(random.below(held.length), 1) as [
          { at: number; bytes: Uint8Array },
        ];
        expect(Buffer.compare(reader.read(at, bytes.length), bytes)).toBe(0);
        pages.release(at);
        continue;
      }
      const bytes = new Uint8Array(random.below(32 << 10)).fill(i & 255),
        at = pages.put(bytes);
      if (at === undefined) refused++;
      else {
        held.push({ at, bytes });
        put++;
      }
    }
    expect(put).toBeGreaterThan(5000);
    expect(refused).toBeGreaterThan(0);
  });
  it("are allocated from the front, so that few are touched, and refuse content that does not fit", () => {
    const pages = new SharedPages(128 << 10),
      small = new Uint8Array(10),
      two = new Uint8Array(9000);
    expect([pages.put(small), pages.put(two), pages.put(new Uint8Array(0))]).toEqual([0, 8192, 24_576]);
    pages.release(8192);
    // One page in the place of two, then the other.
    expect([pages.put(small), pages.put(small), pages.put(two)]).toEqual([8192, 16_384, 32_768]);
    expect(pages.put(new Uint8Array((16 << 10) + 1))).toBeUndefined();
    while (pages.put(small) !== undefined);
    expect(pages.put(new Uint8Array(0))).toBeUndefined();
    pages.release(0);
    expect([pages.put(two), pages.put(small)]).toEqual([undefined, 0]);
  });
});
