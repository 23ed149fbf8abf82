import { CinderblockError } from "@cinderblock/errors";
import { type CommandContext, parseTimeFlag, printRows } from "./context.ts";

/** Deadline of a request to a server. */
const TIMEOUT_MS = 30_000;

/**
 * Sends one request to the server at `-url`, with the caller's token and tenant.
 * @throws `unavailable`, with the next step for the user, when the server does not respond
 */
export async function requestServer(c: CommandContext, path: string, init: RequestInit): Promise<Response> {
  const { config } = c,
    headers = new Headers(init.headers);
  if (config.token !== "") headers.set("authorization", `Bearer ${config.token}`);
  if (config.tenant !== "") headers.set("x-scope-orgid", config.tenant);
  try {
    return await fetch(`${config.url.replace(/\/$/, "")}${path}`, {
      ...init,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (err) {
    const reason = ((err as Error).cause as Error | undefined)?.message ?? (err as Error).message;
    throw new CinderblockError(
      "unavailable",
      `${config.url} did not respond (${reason}); start a server or set -url`,
      { cause: err },
    );
  }
}

async function ask<T>(c: CommandContext, path: string, body?: object): Promise<T> {
  const r = await requestServer(
    c,
    path,
    body === undefined
      ? { headers: { accept: "application/json" } }
      : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) },
  );
  if (r.status === 404)
    throw new CinderblockError(
      "not-found",
      `${c.config.url} has no ${path}: set -url to a process that serves it`,
    );
  if (!r.ok)
    throw new CinderblockError(
      "unavailable",
      `${c.config.url}${path}: status ${r.status}: ${(await r.text()).trim().slice(0, 500)}`,
    );
  return (await r.json()) as T;
}

/** Prints functions by self value, from the server at `-url`. Without -from and -to: the last hour. */
export async function printServerTop(c: CommandContext): Promise<number> {
  const now = c.base.now(),
    { config } = c;
  const start = parseTimeFlag("from", config.from === "" ? "now-1h" : config.from, now),
    end = parseTimeFlag("to", config.to === "" ? "now" : config.to, now);
  const { functions = [], total = "0" } = await ask<{
    functions?: { name: string; self?: string; total?: string }[];
    total?: string;
  }>(c, "/cinderblock.explore.v1.ExploreService/FunctionTable", {
    selection: {
      profileTypeId: config.profileType,
      labelSelector: config.query,
      start: String(start),
      end: String(end),
    },
    limit: String(config.limit),
  });
  const all = Number(total),
    share = (v: number): string => (all === 0 ? "0" : `${((100 * v) / all).toFixed(2)} %`);
  printRows(
    c,
    functions.map((f) => ({
      self: Number(f.self ?? 0),
      "self %": share(Number(f.self ?? 0)),
      total: Number(f.total ?? 0),
      "total %": share(Number(f.total ?? 0)),
      function: f.name,
    })),
  );
  return 0;
}

/** Prints the partitions of the log: owners, offsets, lag. */
export async function printPartitions(c: CommandContext): Promise<number> {
  const { partitions: all } = await ask<{
    partitions: {
      partition: number;
      owner: string;
      committed: number;
      position: number;
      end: number;
      lagMs: number;
      unuploadedAgeMs: number;
    }[];
  }>(c, "/partitions");
  printRows(
    c,
    all.map((p) => ({
      partition: p.partition,
      owner: p.owner,
      committed: p.committed,
      read: p.position,
      end: p.end,
      behind: Math.max(0, p.end - p.position),
      "lag s": Math.round(p.lagMs / 1000),
      "not in the bucket s": Math.round(p.unuploadedAgeMs / 1000),
    })),
  );
  return 0;
}

/** Prints the members of a ring. */
export async function printRing(c: CommandContext): Promise<number> {
  const [name = "ingester"] = c.args,
    path = name === "ingester" ? "/ring" : `/${name}/ring`;
  const { shards } = await ask<{
    shards: { id: string; state: string; read_only: boolean; zone: string; address: string; share: number }[];
  }>(c, path);
  printRows(
    c,
    shards.map((m) => ({
      member: m.id,
      state: `${m.state}${m.read_only ? " (read-only)" : ""}`,
      zone: m.zone,
      address: m.address,
      "owns %": Number((m.share * 100).toFixed(1)),
    })),
  );
  return 0;
}
