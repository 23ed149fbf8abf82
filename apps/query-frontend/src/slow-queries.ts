import type { QueryJob, SourceQuery } from "@cinderblock/query";
import type { Base } from "@cinderblock/telemetry";

/** A query that has ended, with an answer or an error. */
export interface QueryRecord {
  id: number;
  atMs: number;
  tenant: string;
  kind: string;
  profileTypeId: string;
  selector: string;
  /** start of the queried range; 0: the look-back */
  startMs: number;
  endMs: number;
  tookMs: number;
  /** number of sub-queries, and how many of them the cache answered */
  parts: number;
  kept: number;
  warnings: string[];
  /** error of the query; "": none */
  error: string;
  /** trace of the query's request; "": none */
  traceId: string;
}

/** Maximum number of records. */
export const MAX_SLOW_QUERIES = 100;
/** Time for which a record is kept. */
const KEEP_MS = 3600_000;
/** Maximum characters of a recorded text: a query may be megabytes long. */
const MAX_TEXT = 1000;
const short = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);

/** The slowest queries of the last hour; queries above a limit are logged. */
export class SlowQueries {
  private records: QueryRecord[] = [];
  private next = 1;
  private readonly logAboveMs: number;
  private readonly base: Base;

  /** @param logAboveMs 0 disables the log */
  constructor(logAboveMs: number, base: Base) {
    this.logAboveMs = logAboveMs;
    this.base = base;
  }

  /** Runs a query and records its duration and result. */
  async measure<T>(
    tenants: readonly string[],
    query: SourceQuery | QueryJob,
    count: { parts: number; kept: number },
    warnings: readonly string[],
    work: () => Promise<T>,
  ): Promise<T> {
    const atMs = this.base.now(),
      from = performance.now(),
      traceId = this.base.tracer.traceId() ?? "";
    let error = "";
    try {
      return await work();
    } catch (err) {
      error = (err as Error).message;
      throw err;
    } finally {
      this.note({
        id: this.next++,
        atMs,
        tenant: tenants.join("|"),
        ...asked(query),
        tookMs: performance.now() - from,
        ...count,
        warnings: warnings.slice(0, 10).map(short),
        error: short(error),
        traceId,
      });
    }
  }

  private note(r: QueryRecord): void {
    if (this.logAboveMs > 0 && r.tookMs > this.logAboveMs)
      this.base.log.info(
        {
          tenant: r.tenant,
          kind: r.kind,
          profileType: r.profileTypeId,
          selector: r.selector,
          start: r.startMs,
          end: r.endMs,
          ms: Math.round(r.tookMs),
          parts: r.parts,
          kept: r.kept,
          error: r.error === "" ? undefined : r.error,
          traceId: r.traceId === "" ? undefined : r.traceId,
        },
        "slow query",
      );
    const recent = this.records.filter((x) => x.atMs > r.atMs - KEEP_MS);
    this.records =
      recent.length >= MAX_SLOW_QUERIES && r.tookMs <= recent.at(-1)!.tookMs
        ? recent
        : [...recent, r].sort((a, b) => b.tookMs - a.tookMs).slice(0, MAX_SLOW_QUERIES);
  }

  /** Records of the last hour, the slowest first. */
  list(): QueryRecord[] {
    const now = this.base.now();
    return this.records.filter((r) => r.atMs > now - KEEP_MS);
  }
}

/** The query's fields for the record. */
function asked(
  q: SourceQuery | QueryJob,
): Pick<QueryRecord, "kind" | "profileTypeId" | "selector" | "startMs" | "endMs"> {
  if ("select" in q)
    return {
      kind: q.kind,
      profileTypeId: short(q.select.profileTypeId),
      selector: short(q.select.labelSelector),
      startMs: q.select.startMs,
      endMs: q.select.endMs,
    };
  if (q.kind === "labels")
    return {
      kind: `labels: ${q.ask.kind}`,
      profileTypeId: "",
      selector: short(q.ask.query.matchers.slice(0, MAX_TEXT).join(" ")),
      startMs: q.ask.query.startMs,
      endMs: q.ask.query.endMs,
    };
  return {
    kind: q.kind,
    profileTypeId: "",
    selector: "",
    startMs: "startMs" in q ? q.startMs : 0,
    endMs: "endMs" in q ? q.endMs : 0,
  };
}
