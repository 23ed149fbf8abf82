import type { BlockMeta } from "@cinderblock/block-meta";
import { requireWorkRoom } from "./disk-space.ts";

const block = { files: [{ sizeBytes: 60 }, { sizeBytes: 40 }] } as BlockMeta;
const disk = (bavail: number) => () => Promise.resolve({ bsize: 10, blocks: 200, bavail });

describe("the work of a job", () => {
  it("begins where copies of its sources and its outputs leave the reserve free", async () => {
    // 2 × 200 bytes, and a twentieth of 2000.
    await requireWorkRoom("/work", [block, block], disk(50));
  });

  it("is refused for the moment where they do not", async () => {
    await expect(requireWorkRoom("/work", [block, block], disk(49))).rejects.toMatchObject({
      kind: "no-room",
      detail: { resource: "disk", neededBytes: 500, freeBytes: 490 },
    });
  });
});
