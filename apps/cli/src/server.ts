import { CinderblockError } from "@cinderblock/errors";
import { type Context, print } from "./context.ts";

async function ask<T>(c: Context, path: string): Promise<T> {
  let r: Response;
  try {
    r = await fetch(`${c.config.url}${path}`, {
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(10_000),
    });
  } catch (err) {
    throw new CinderblockError(
      "unavailable",
      `${c.config.url} does not answer: ${((err as Error).cause as Error | undefined)?.message ?? (err as Error).message}`,
      { cause: err },
    );
  }
  if (r.status === 404)
    throw new CinderblockError("not-found", `${c.config.url} has no ${path}: ask a process that has it`);
  if (!r.ok) throw new CinderblockError("unavailable", `${c.config.url}${path}: status ${r.status}`);
  return (await r.json()) as T;
}

/** Partitions of the log: owners, offsets, lag. */
export async function partitions(c: Context): Promise<number> {
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
  print(
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

/** Members of a ring. */
export async function ring(c: Context): Promise<number> {
  const [name = "ingester"] = c.args,
    path = name === "ingester" ? "/ring" : `/${name}/ring`;
  const { shards } = await ask<{
    shards: { id: string; state: string; read_only: boolean; zone: string; address: string; share: number }[];
  }>(c, path);
  print(
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
