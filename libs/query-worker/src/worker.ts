import { type Pace, Periodic, Semaphore, TimeSlices } from "@cinderblock/async";
import type { BlockReader } from "@cinderblock/block";
import { loadHasher } from "@cinderblock/bytes";
import { CinderblockError, kindOf, withBlock } from "@cinderblock/errors";
import { FilesystemBucket, openBucket } from "@cinderblock/objstore";
import {
  executeOn,
  type PartialResult,
  labelAnswer,
  mergePartials,
  staleForms,
  rowKeys,
  rowTimes,
  seriesRanges,
} from "@cinderblock/query";
import { Symbolizer } from "@cinderblock/symbolizer";
import { startData, serveWorker, Transfer, transferable } from "@cinderblock/threads";
import { BlockSet, type FoundBlocks } from "./block-set.ts";
import { DiskCache } from "./disk-cache.ts";
import type { BlocksCall, QueryThreadData, QueryWorkerMethods, StoppableCall } from "./protocol.ts";
import { render, renderFiles } from "./render.ts";
import { threadOfBlock } from "./thread-of.ts";

/** Worker thread for reads: holds open blocks, runs queries on them, merges and renders. */
const data = startData<QueryThreadData>();
const disk =
  data.disk &&
  new DiskCache(
    data.disk.dir,
    data.disk.bytes,
    data.disk.counters,
    (ulid) => threadOfBlock(ulid, data.count) === data.index,
  );
const opened = openBucket(data.bucket);
const blocks = Promise.all([loadHasher(), opened]).then(
  ([hasher, bucket]) =>
    new BlockSet(
      { bucket: disk ? disk.wrap(bucket) : bucket, local: new FilesystemBucket(data.localDirectory) },
      hasher,
      data.cacheBytes,
    ),
);
const symbols = opened.then((bucket) => Symbolizer.open(data.symbols, Date.now, bucket));
const idleMs = Math.min(data.idleMs, 60_000);
new Periodic(
  { everyMs: idleMs, deadlineMs: Math.max(idleMs, 10_000) },
  async () => (await blocks).closeIdle(Date.now() - data.idleMs),
  (end) => {
    // A thread that cannot open its bucket fails each query with the same error.
    if (!end.ok && !end.late) throw end.err as Error;
  },
).start();

/**
 * Blocks that one query processes concurrently: remote blocks load in parallel, and processed blocks may be
 * closed.
 */
const BLOCKS_AT_ONCE = 8;

const slices = new TimeSlices();
const paceOf = ({ stop }: StoppableCall): Pace =>
  slices.pace(() => stop !== undefined && Atomics.load(stop, 0) === 1);

const moved = <T>(value: T): Transfer<T> => new Transfer(value, transferable(value));

/**
 * Runs `work` on the blocks that exist; they are open unless `find` finds others. If a block is deleted during
 * the work, finds the set again and reports that block as missing.
 */
async function onOpen<T>(
  call: BlocksCall,
  work: (found: BlockReader[]) => Promise<T>,
  find: (set: BlockSet) => Promise<FoundBlocks> = (set) => set.get(call),
): Promise<{ value: T; missing: string[] }> {
  const set = await blocks;
  for (let tries = 0; ; tries++) {
    const { blocks: found, missing } = await find(set);
    try {
      return { value: await work(found), missing };
    } catch (err) {
      if (kindOf(err) !== "not-found" || tries === 2) throw err;
      set.forget(call);
    }
  }
}

/** Runs `work` on each block; an error of damage names the block. */
const ofEach = <T>(open: readonly BlockReader[], work: (b: BlockReader) => Promise<T>): Promise<T[]> =>
  Promise.all(open.map((b) => withBlock(b.ulid, () => work(b))));

serveWorker<QueryWorkerMethods>({
  async execute({ query, exclude, ulids, ...call }) {
    const set = await blocks,
      slots = new Semaphore(BLOCKS_AT_ONCE),
      symbolizer = await symbols,
      pace = paceOf(call);
    let unnamed: string | undefined;
    const ask = async (open: BlockReader[]): Promise<PartialResult | undefined> => {
      if (open.length === 0) return undefined;
      if (!symbolizer) return executeOn(open, query, exclude, pace);
      const named = await symbolizer.execute(open, call.tenant, query, exclude, pace);
      unnamed ??= named.unnamed;
      return named.result;
    };
    const other = staleForms(exclude, ulids, "block");
    const answers = await Promise.all(
      ulids
        .filter((u) => !other.includes(u))
        .map((ulid) =>
          slots.run(async () => {
            if (call.stop && Atomics.load(call.stop, 0) === 1)
              throw new CinderblockError("canceled", "context canceled");
            const { value, missing } = await withBlock(ulid, () => onOpen({ ...call, ulids: [ulid] }, ask));
            set.trim();
            return { value, missing };
          }),
        ),
    );
    const parts = answers.map((a) => a.value).filter((v) => v !== undefined);
    return moved({
      result: parts.length > 0 ? mergePartials(parts) : undefined,
      missing: [...other, ...answers.flatMap((a) => a.missing)],
      ...(unnamed === undefined ? {} : { unnamed }),
    });
  },
  async ranges({ select, ...call }) {
    const pace = paceOf(call);
    return (await onOpen(call, (open) => ofEach(open, (b) => seriesRanges(b, select, pace)))).value;
  },
  async times({ select, ...call }) {
    const pace = paceOf(call);
    return moved((await onOpen(call, (open) => ofEach(open, (b) => rowTimes(b, select, pace)))).value);
  },
  async keys({ select, ...call }) {
    const pace = paceOf(call);
    return moved((await onOpen(call, (open) => ofEach(open, (b) => rowKeys(b, select, pace)))).value);
  },
  async labels({ ask, ...call }) {
    const pace = paceOf(call);
    const { value, missing } = await onOpen(
      call,
      (found) =>
        labelAnswer(
          found.map((b) => b.labels),
          ask,
          pace,
        ),
      (set) => set.getClosed(call),
    );
    (await blocks).trim();
    return moved({ ...value, missing });
  },
  async render(call) {
    return moved(await render(call, paceOf(call)));
  },
  async export(call) {
    return moved(await (await import("./export.ts")).exportResults(call, paceOf(call)));
  },
  files(call) {
    return Promise.resolve(renderFiles(call));
  },
  forget(call) {
    if (call.root === "bucket") for (const u of call.ulids) disk?.forget(u);
    void blocks.then((b) => b.forget(call));
  },
});
