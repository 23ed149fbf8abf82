import type { BlockMeta } from "@cinderblock/block-meta";
import { requireWorkRoom } from "./disk-space.ts";

const block = { files: [{ sizeBytes: 60 }, { sizeBytes: 40 }] } as BlockMeta;
const disk = (bavail: number) => () => Promise.resolve({ bsize: 10, blocks: 200, bavail });

describe("the disk space of a job", () => {
  it("suffices if copies of its sources and its outputs leave the reserve free", async () => {
    // 2 × 200 bytes, and a twentieth of 2000.
    await requireWorkRoom("/work", [block, block], disk(50));
  });

  it("makes the job wait if they do not", async () => {
    await expect(requireWorkRoom("/work", [block, block], disk(49))).rejects.toMatchObject({
      kind: "no-room",
      detail: { resource: "disk", neededBytes: 500, freeBytes: 490 },
    });
  });
});
