import type { BlockFiles } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import { CinderblockError } from "@cinderblock/errors";
import { SourceBlock } from "./source-block.ts";
import { verifyBlock } from "./index.ts";

const ULID = "01M8EKZW7M023ZEFRNNKY74X0A";
const meta = { ulid: ULID, files: [] } as unknown as BlockMeta;
/** Files of a block; each read ends the same way. */
const files = (read: () => Promise<Uint8Array>): BlockFiles => ({ read, size: () => Promise.resolve(100) });

describe("an input block of a compaction that cannot be read", () => {
  it.each([SourceBlock.open, verifyBlock])("is named in the detail of the error", async (open) => {
    await expect(
      open(
        meta,
        files(() => Promise.resolve(Buffer.from("no index"))),
      ),
    ).rejects.toMatchObject({
      kind: "corrupt",
      detail: { block: ULID },
    });
    const absent = (): Promise<never> => Promise.reject(new CinderblockError("not-found", "no object"));
    await expect(open(meta, files(absent))).rejects.toMatchObject({
      kind: "not-found",
      detail: { block: ULID },
    });
  });
});
