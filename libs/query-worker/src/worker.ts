import type { BlockReader } from "@cinderblock/block";
import { loadHasher } from "@cinderblock/bytes";
import { kindOf } from "@cinderblock/errors";
import { FilesystemBucket, openBucket } from "@cinderblock/objstore";
import { executeOn, labelNames, labelValues, rowKeys, seriesLabels, seriesRanges } from "@cinderblock/query";
import { ownData, serveWorker, Transfer, transferable } from "@cinderblock/threads";
import { BlockSet } from "./block-set.ts";
import type { BlocksCall, QueryWorkerData, QueryWorkerMethods } from "./protocol.ts";
import { render, renderFiles } from "./render.ts";

/** A worker thread for reads: holds open blocks, answers questions about them, merges and renders. */
const data = ownData<QueryWorkerData>();
const blocks = Promise.all([loadHasher(), openBucket(data.bucket)]).then(([hasher, bucket]) => new BlockSet({ bucket, local: new FilesystemBucket(data.localDirectory) }, hasher, data.cacheBytes));

const moved = <T>(value: T): T => new Transfer(value, transferable(value)) as unknown as T;

/** Works on the blocks that exist. One that is deleted meanwhile is opened anew, and is missing then. */
async function onOpen<T>(call: BlocksCall, work: (open: BlockReader[]) => Promise<T>): Promise<{ value: T; missing: string[] }> {
  const set = await blocks;
  for (let tries = 0; ; tries++) {
    const { blocks: open, missing } = await set.get(call);
    try { return { value: await work(open), missing }; } catch (err) {
      if (kindOf(err) !== "not-found" || tries === 2) throw err;
      set.forget(call);
    }
  }
}

const methods: QueryWorkerMethods = {
  async execute({ query, exclude, ...call }) {
    const { value, missing } = await onOpen(call, (open) => (open.length > 0 ? executeOn(open, query, exclude) : Promise.resolve(undefined)));
    (await blocks).trim();
    return moved({ result: value, missing });
  },
  async ranges({ select, ...call }) { return (await onOpen(call, (open) => Promise.all(open.map(async (b) => ({ ulid: b.ulid, ...(await seriesRanges(b, select)) }))))).value; },
  async keys({ select, ...call }) { return moved((await onOpen(call, (open) => Promise.all(open.map((b) => rowKeys(b, select))))).value); },
  async labels({ ask, ...call }) {
    const { blocks: open, missing } = await (await blocks).get(call);
    const names = ask.kind === "names" ? labelNames(open, ask.query) : ask.kind === "values" ? labelValues(open, ask.name, ask.query) : [];
    return { names, sets: ask.kind === "series" ? seriesLabels(open, ask.names, ask.query) : [], missing };
  },
  render(call) { return Promise.resolve(moved(render(call))); },
  files(call) { return Promise.resolve(renderFiles(call)); },
  forget(call) { void blocks.then((b) => b.forget(call)); },
};

serveWorker(methods as never);
