import { CinderblockError, invalidError } from "@cinderblock/errors";
import { Roster } from "@cinderblock/ring";
import { type CommandContext, openConfiguredBucket, printRows, formatTime } from "./context.ts";

async function roster(c: CommandContext): Promise<Roster> {
  const roster = new Roster(await openConfiguredBucket(c), c.base, { timeoutMs: 60_000 });
  await roster.refresh();
  if (roster.lastReadMs === -Infinity) throw new CinderblockError("unavailable", roster.unknown);
  return roster;
}

/** Lists the ingesters that may hold profiles outside the bucket. */
export async function listIngesters(c: CommandContext): Promise<number> {
  const found = await roster(c);
  printRows(
    c,
    [...found.entries.values()]
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .map((e) => ({ ingester: e.id, address: e.address, zone: e.zone, started: formatTime(e.startedMs) })),
  );
  return 0;
}

/** Removes the roster entry of an ingester that does not return. The page `/ring` forgets its ring member. */
export async function forgetIngester(c: CommandContext): Promise<number> {
  const [id] = c.args;
  if (id === undefined) throw invalidError("name the ingester: ingesters forget ID");
  if (!(await (await roster(c)).forget(id)))
    throw new CinderblockError("not-found", `the roster has no ingester ${id}`);
  c.err.write(`ingester ${id} is forgotten: query results no longer count its profiles as missing\n`);
  return 0;
}
