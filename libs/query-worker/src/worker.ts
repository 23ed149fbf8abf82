import { loadHasher } from "@cinderblock/bytes";
import { FilesystemBucket, openBucket } from "@cinderblock/objstore";
import { executeOn, labelNames, labelValues, rowKeys, seriesLabels, seriesRanges } from "@cinderblock/query";
import { ownData, serveWorker, Transfer, transferable } from "@cinderblock/threads";
import { BlockSet } from "./block-set.ts";
import type { QueryWorkerData, QueryWorkerMethods } from "./protocol.ts";
import { render } from "./render.ts";

/** A worker thread for reads: holds open blocks, answers questions about them, merges and renders. */
const data = ownData<QueryWorkerData>();
const blocks = Promise.all([loadHasher(), openBucket(data.bucket)]).then(([hasher, bucket]) => new BlockSet({ bucket, local: new FilesystemBucket(data.localDirectory) }, hasher, data.cacheBytes));

const moved = <T>(value: T): T => new Transfer(value, transferable(value)) as unknown as T;

const methods: QueryWorkerMethods = {
  async execute({ query, exclude, ...call }) {
    const set = await blocks;
    const { blocks: open, missing } = await set.get(call);
    const result = open.length > 0 ? await executeOn(open, query, exclude) : undefined;
    set.trim();
    return moved({ result, missing });
  },
  async ranges({ select, ...call }) {
    const { blocks: open } = await (await blocks).get(call);
    return Promise.all(open.map(async (b) => ({ ulid: b.ulid, ...(await seriesRanges(b, select)) })));
  },
  async keys({ select, ...call }) {
    const { blocks: open } = await (await blocks).get(call);
    return moved(await Promise.all(open.map((b) => rowKeys(b, select))));
  },
  async labels({ ask, ...call }) {
    const { blocks: open, missing } = await (await blocks).get(call);
    const names = ask.kind === "names" ? labelNames(open, ask.query) : ask.kind === "values" ? labelValues(open, ask.name, ask.query) : [];
    return { names, sets: ask.kind === "series" ? seriesLabels(open, ask.names, ask.query) : [], missing };
  },
  render(call) { return Promise.resolve(moved(render(call))); },
  forget(call) { void blocks.then((b) => b.forget(call)); },
};

serveWorker(methods as never);
