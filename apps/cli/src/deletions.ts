import { userInfo } from "node:os";
import { blockFilesIn } from "@cinderblock/block";
import type { BlockMeta } from "@cinderblock/block-meta";
import { loadHasher } from "@cinderblock/bytes";
import {
  countDroppedRows,
  deletionRequests,
  outdatedBlocks,
  requestDeletion,
  saveDeletion,
  tenantsWithDeletions,
} from "@cinderblock/compact";
import { CinderblockError, invalidError, kindOf } from "@cinderblock/errors";
import {
  selectedBlocks,
  type CommandContext,
  parseTimeFlag,
  openConfiguredBucket,
  printRows,
  progressBar,
  tenantsOf,
  formatTime,
} from "./context.ts";

/** Profiles that a request would delete now, by block. Starts over when a compactor removes a block. */
async function preview(
  c: CommandContext,
  drop: { selector: string; startMs: number; endMs: number },
): Promise<{ tenant: string; block: string; series: number; profiles: number }[]> {
  const bucket = await openConfiguredBucket(c),
    hasher = await loadHasher();
  for (let tries = 1; ; tries++) {
    const blocks = planned(await selectedBlocks({ ...c, args: [] }, bucket)),
      bar = progressBar(c, "blocks checked"),
      rows = [];
    try {
      for (const [i, { tenant, meta }] of blocks.entries()) {
        const [count] = await countDroppedRows(
          meta,
          blockFilesIn(bucket, `${tenant}/phlaredb/${meta.ulid}`),
          [drop],
          hasher,
        );
        if (count!.profiles > 0) rows.push({ tenant, block: meta.ulid, ...count! });
        bar(i + 1, blocks.length);
      }
      return rows;
    } catch (err) {
      if (kindOf(err) !== "not-found" || tries === 5) throw err;
    }
  }
}

/** Leaves out blocks whose data another block of the list holds: their profiles would count twice. */
function planned(blocks: { tenant: string; meta: BlockMeta }[]): { tenant: string; meta: BlockMeta }[] {
  const outdated = new Set(
    [...new Set(blocks.map((b) => b.tenant))].flatMap((t) =>
      outdatedBlocks(blocks.filter((b) => b.tenant === t).map((b) => b.meta)).map((m) => m.ulid),
    ),
  );
  return blocks.filter((b) => !outdated.has(b.meta.ulid));
}

/** Requests the deletion of profiles by series and time range; with -dry-run, only prints them. */
export async function deleteSeries(c: CommandContext): Promise<number> {
  const { config } = c,
    now = Date.now();
  const tenant = config.tenant === "" ? "anonymous" : config.tenant;
  if (config.from === "" || config.to === "") throw invalidError("a deletion needs -from and -to");
  if (config.query === "{}") throw invalidError("a deletion needs -query with at least one matcher");
  const drop = {
    selector: config.query,
    startMs: parseTimeFlag("from", config.from, now),
    endMs: parseTimeFlag("to", config.to, now),
  };
  const rows = await preview({ ...c, config: { ...config, tenant } }, drop);
  printRows(c, rows);
  const profiles = rows.reduce((n, r) => n + r.profiles, 0);
  if (config.dryRun) {
    c.err.write(
      `${profiles.toLocaleString("en")} profiles in ${rows.length} blocks would be deleted (dry run)\n`,
    );
    return 0;
  }
  const by = config.by === "" ? userInfo().username : config.by;
  const request = await requestDeletion(await openConfiguredBucket(c), {
    tenant,
    ...drop,
    by,
    reason: config.reason,
    nowMs: now,
    periodMs: 86_400_000,
  });
  c.err.write(
    `request ${request.id}: ${profiles.toLocaleString("en")} profiles in ${rows.length} blocks will be deleted in the compactor's next runs, also from blocks uploaded until ${formatTime(request.untilMs)}\n`,
  );
  return 0;
}

/** Prints the audit trail: each deletion request, its author, and its effects. */
export async function listDeletions(c: CommandContext): Promise<number> {
  const bucket = await openConfiguredBucket(c),
    tenants = c.config.tenant === "" ? await tenantsWithDeletions(bucket) : await tenantsOf(c, bucket);
  const all = (await Promise.all(tenants.map((t) => deletionRequests(bucket, t)))).flat();
  if (c.config.output === "json") {
    c.out.write(`${JSON.stringify(all, undefined, 1)}\n`);
    return 0;
  }
  printRows(
    c,
    all.map((r) => ({
      request: r.id,
      tenant: r.tenant,
      state: r.state,
      series: r.selector,
      from: formatTime(r.startMs),
      to: formatTime(r.endMs),
      asked: formatTime(r.createdMs),
      by: r.by,
      blocks: r.steps.length,
      profiles: r.steps.reduce((n, s) => n + s.profiles, 0),
      reason: r.reason,
    })),
  );
  return 0;
}

/** Ends a request early; deleted profiles stay deleted. */
export async function cancelDeletion(c: CommandContext): Promise<number> {
  const [id] = c.args;
  if (id === undefined) throw invalidError("name the request: deletions cancel ID");
  const bucket = await openConfiguredBucket(c);
  for (const tenant of await tenantsWithDeletions(bucket)) {
    const r = (await deletionRequests(bucket, tenant)).find((x) => x.id === id);
    if (!r) continue;
    if (r.state !== "active") throw new CinderblockError("conflict", `request ${id} is ${r.state}`);
    await saveDeletion(bucket, { ...r, state: "cancelled", doneMs: Date.now() });
    c.err.write(
      `request ${id} is canceled; ${r.steps.reduce((n, s) => n + s.profiles, 0).toLocaleString("en")} profiles were deleted before\n`,
    );
    return 0;
  }
  throw new CinderblockError("not-found", `unknown request ${id}`);
}
