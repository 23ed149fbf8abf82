import { bool, type ConfigOf, str, int } from "@cinderblock/config";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import { parseTime } from "@cinderblock/ingest";
import { type BlockMeta, decodeMeta, isUlid } from "@cinderblock/block-meta";
import { tenantsIn } from "@cinderblock/compact";
import { type Bucket, openBucket } from "@cinderblock/objstore";
import { bucketSpecOf, commonSchema } from "@cinderblock/runtime";
import { createLogger, Metrics, startTracing, type Base } from "@cinderblock/telemetry";

const storage = Object.fromEntries(
  Object.entries(commonSchema).filter(([, o]) => o.flag.startsWith("storage.")),
) as Pick<typeof commonSchema, "storageBackend">;

/** Flags of all commands. The bucket is set by a server's flags, and `-config.file` reads a server's file. */
export const schema = {
  ...storage,
  output: str("output", undefined, "table", "Output format.", { choices: ["table", "json"] }),
  tenant: str(
    "tenant",
    undefined,
    "",
    "Tenant ID. Empty: all tenants, or anonymous for commands that need one.",
  ),
  url: str("url", undefined, "http://127.0.0.1:4040", "Base URL of the server."),
  token: str("token", undefined, "", "Access token, sent to the server as Authorization: Bearer."),
  query: str("query", undefined, "{}", "Label selector of series."),
  profileType: str(
    "profile-type",
    undefined,
    "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
    "Profile type of a query.",
  ),
  from: str("from", undefined, "", "Start time: RFC 3339, Unix time, or now-1h. Empty: the earliest data."),
  to: str("to", undefined, "", "End time, in the same formats. Empty: the latest data."),
  format: str("format", undefined, "parquet", "Export format.", {
    choices: ["pprof", "folded", "speedscope", "firefox", "otlp", "svg", "html", "arrow", "parquet"],
  }),
  rows: str(
    "rows",
    undefined,
    "samples",
    "Rows of an exported table: one per sample with its stacktrace, or one per profile with its total.",
    { choices: ["samples", "profiles"] },
  ),
  nodes: int("nodes", undefined, 0, "Maximum number of nodes of a flame graph; 0 disables the limit.", {
    min: 0,
  }),
  limit: int("limit", undefined, 25, "Maximum number of functions that top prints; 0 disables the limit.", {
    min: 0,
  }),
  shards: int(
    "shards",
    undefined,
    0,
    "Number of shards into which a compaction splits series; 0 disables splitting.",
    { min: 0 },
  ),
  mark: str("mark-sources", undefined, "no", "Mark the source blocks of a compaction for deletion.", {
    choices: ["no", "yes"],
  }),
  name: str("name", undefined, "", "Series of pushed or imported profiles: service{label=value,…}."),
  dryRun: bool("dry-run", undefined, false, "Print the planned actions without executing them."),
  by: str(
    "by",
    undefined,
    "",
    "Name of the person who requests the deletion. Empty: the current user of this machine.",
  ),
  reason: str("reason", undefined, "", "Reason for the deletion, kept in the audit trail."),
  out: str("out", undefined, "", "Output file or directory."),
};
export type CliConfig = ConfigOf<typeof schema> & ConfigOf<typeof commonSchema>;

export interface CommandOutput {
  write(text: string): unknown;
  isTTY?: boolean;
}

/** Arguments and environment of a command. */
export interface CommandContext {
  config: CliConfig;
  args: readonly string[];
  out: CommandOutput;
  err: CommandOutput;
  base: Base;
}

export function createBase(): Base {
  return {
    log: createLogger({ level: "error", format: "logfmt" }),
    metrics: new Metrics(),
    tracer: startTracing("", "cli"),
    now: () => Date.now(),
  };
}
export function openConfiguredBucket(c: CommandContext): Promise<Bucket> {
  return openBucket(bucketSpecOf(c.config));
}

export async function tenantsOf(c: CommandContext, bucket: Bucket): Promise<string[]> {
  if (c.config.tenant !== "") return [c.config.tenant];
  return tenantsIn(bucket);
}

/** Complete blocks of a tenant, oldest first; `blocks verify` reports blocks with an unreadable meta. */
async function metasOf(bucket: Bucket, tenant: string): Promise<BlockMeta[]> {
  const prefix = `${tenant}/phlaredb/`;
  const ulids = (await bucket.list(prefix))
    .map((n) => n.slice(prefix.length).replace(/\/$/, ""))
    .filter(isUlid);
  const metas = await Promise.all(
    ulids.map(async (u) => {
      try {
        return decodeMeta(await bucket.get(`${prefix}${u}/meta.json`), `${u}/meta.json`);
      } catch (err) {
        if (err instanceof CinderblockError && (err.kind === "not-found" || err.kind === "corrupt"))
          return undefined;
        throw err;
      }
    }),
  );
  return metas
    .filter((m) => m !== undefined)
    .sort((a, b) => a.minTimeMs - b.minTimeMs || (a.ulid < b.ulid ? -1 : 1));
}

/** The blocks that the arguments name, or all blocks of the tenants. */
export async function selectedBlocks(
  c: CommandContext,
  bucket: Bucket,
): Promise<{ tenant: string; meta: BlockMeta }[]> {
  const all = (
    await Promise.all(
      (
        await tenantsOf(c, bucket)
      ).map(async (tenant) => (await metasOf(bucket, tenant)).map((meta) => ({ tenant, meta }))),
    )
  ).flat();
  if (c.args.length === 0) return all;
  return c.args.map((ulid) => {
    const found = all.find((b) => b.meta.ulid === ulid);
    if (!found)
      throw new CinderblockError(
        "not-found",
        `block ${ulid} is not in the bucket${c.config.tenant === "" ? "" : ` of tenant ${c.config.tenant}`}`,
      );
    return found;
  });
}

/** Prints rows as a table or as JSON. */
export function printRows(c: CommandContext, rows: readonly Record<string, string | number>[]): void {
  if (c.config.output === "json") {
    c.out.write(`${JSON.stringify(rows, undefined, 1)}\n`);
    return;
  }
  if (rows.length === 0) {
    c.out.write("nothing\n");
    return;
  }
  const names = Object.keys(rows[0]!);
  const text = (v: string | number | undefined): string =>
    typeof v === "number" ? v.toLocaleString("en") : (v ?? "");
  const widths = names.map((n) => Math.max(n.length, ...rows.map((r) => text(r[n]).length)));
  const line = (cells: readonly string[], right: readonly boolean[]): string =>
    cells
      .map((x, i) => (right[i] ? x.padStart(widths[i]!) : i === cells.length - 1 ? x : x.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  const right = names.map((n) => typeof rows[0]![n] === "number");
  c.out.write(
    `${[
      line(names, right),
      ...rows.map((r) =>
        line(
          names.map((n) => text(r[n])),
          right,
        ),
      ),
    ].join("\n")}\n`,
  );
}

/** A progress bar on a terminal; no output elsewhere. */
export function progressBar(c: CommandContext, what: string): (done: number, total: number) => void {
  let last = 0;
  return (done, total) => {
    if (c.err.isTTY !== true || (Date.now() - last < 100 && done < total)) return;
    last = Date.now();
    const n = total === 0 ? 30 : Math.floor((30 * done) / total);
    c.err.write(
      `\r[${"#".repeat(n)}${".".repeat(30 - n)}] ${what} ${done} of ${total}${done === total ? "\n" : ""}`,
    );
  };
}

/**
 * Parses the time in a flag: RFC 3339, a date, Unix time, `now` or `now-1h`.
 * @returns milliseconds since the epoch
 * @throws `invalid` for other text
 */
export function parseTimeFlag(flag: string, text: string, nowMs: number): number {
  if (/^(now([+-]\d+(s|m|min|h|d|w|M|mon|y))?|\d{8}|\d{9,10}|\d{13}|\d{16}|\d{19})$/.test(text))
    return parseTime(text, nowMs);
  if (
    /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  )
    return Date.parse(text);
  throw invalidError(
    `-${flag}=${text}: expected a time like 2026-11-20T08:00:00Z, 2026-11-20, 1795132800 or now-1h`,
  );
}

export const formatBytes = (n: number): string =>
  n >= 1e9
    ? `${(n / 1e9).toFixed(2)} GB`
    : n >= 1e6
      ? `${(n / 1e6).toFixed(1)} MB`
      : `${(n / 1e3).toFixed(1)} kB`;
export const formatTime = (ms: number): string => new Date(ms).toISOString().replace(".000Z", "Z");
