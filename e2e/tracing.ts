import { type CollectedSpan, tinyPprof } from "@cinderblock/testkit";
import type { Cluster, Component } from "./cluster.ts";
import { CPU, type Server } from "./server.ts";

export const PUSH = "/push.v1.PusherService/Push",
  QUERY = "/querier.v1.QuerierService/SelectMergeStacktraces";
const SLOW = "/query-frontend/slow-queries";
/** Headers of a caller whose trace is not recorded. */
const UNSAMPLED = { traceparent: "00-000102030405060708090a0b0c0d0e0f-0001020304050607-00" };
/** Environment of processes that send their spans soon. */
const SOON = { OTEL_BSP_SCHEDULE_DELAY: "200" };

export const names = (spans: readonly CollectedSpan[]): string[] => spans.map((s) => s.name);

/** Spans by the ID of their trace. */
export function byTrace(spans: readonly CollectedSpan[]): Map<string, CollectedSpan[]> {
  return Map.groupBy(spans, (s) => s.traceId);
}

/** Names of the processes' services that made spans. */
export function services(spans: readonly CollectedSpan[]): string[] {
  return [...new Set(spans.map((s) => s.service))].sort();
}

/** Names of spans whose parent is no collected span, and no span of a caller. */
export function orphans(spans: readonly CollectedSpan[], callers: readonly string[] = []): string[] {
  const known = new Set([...callers, ...spans.map((s) => s.spanId)]);
  return names(spans.filter((s) => s.parentSpanId !== "" && !known.has(s.parentSpanId)));
}

/** Pushes one profile with a value of 10; returns the status of the answer. */
export async function pushOne(
  server: Server,
  atMs: number,
  headers: Record<string, string> = {},
): Promise<number> {
  const profile = tinyPprof({
    stacks: [{ frames: ["main", "work"], values: [10] }],
    timeNanos: BigInt(atMs) * 1_000_000n,
  });
  const series = {
    labels: [
      { name: "__name__", value: "process_cpu" },
      { name: "service_name", value: "shop" },
    ],
    samples: [{ rawProfile: Buffer.from(profile).toString("base64") }],
  };
  return (await server.json(PUSH, { series: [series] }, headers)).status;
}

/** Asks once for a flame graph around a time; returns its total. */
export async function askOne(
  server: Server,
  atMs: number,
  headers: Record<string, string> = {},
): Promise<number> {
  const { body } = await server.json(
    QUERY,
    { profileTypeID: CPU, labelSelector: "{}", start: String(atMs - 60_000), end: String(atMs + 60_000) },
    headers,
  );
  return Number((body.flamegraph as { total?: string } | undefined)?.total ?? 0);
}

/** The trace of the slowest query by the frontend's page, which is read without a recorded trace. */
export async function slowestTrace(frontend: Server): Promise<string | undefined> {
  const r = await fetch(`${frontend.url}${SLOW}`, { headers: { accept: "application/json", ...UNSAMPLED } });
  return ((await r.json()) as { queries: { traceId: string }[] }).queries[0]?.traceId;
}

/** Starts ingesters and a store-gateway, and then one process of each other component, which find them at once. */
export async function startAll(c: Cluster, ingesters: number, others: readonly Component[]): Promise<void> {
  c.env = SOON;
  await Promise.all([c.start("ingester", ingesters), c.start("store-gateway", 1)]);
  await Promise.all(others.map((x) => c.start(x, 1)));
}

/** Log lines of all processes that name a trace. */
export function linesOf(c: Cluster, trace: string): string[] {
  return [...c.members.values()].flatMap((s) =>
    s
      .log()
      .split("\n")
      .filter((l) => l.includes(`traceId=${trace}`)),
  );
}
