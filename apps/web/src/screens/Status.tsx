import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatCount } from "@cinderblock/flame";
import { BASE_URL } from "../api/client.ts";
import { ApiError } from "../api/types.ts";
import { Failure, Loading } from "../parts/Failure.tsx";
import { TopBar } from "../parts/TopBar.tsx";
import { useApp } from "../state/app.tsx";

const RINGS: readonly [path: string, name: string][] = [
  ["ring", "Ingesters"],
  ["distributor/ring", "Distributors"],
  ["store-gateway/ring", "Store-gateways"],
  ["query-scheduler/ring", "Query-schedulers"],
  ["compactor/ring", "Compactors"],
];
interface TenantBlocks {
  tenant: string;
  blocks: number;
  bytes: number;
  profiles: number;
  minTime: number;
  maxTime: number;
}
interface SlowQuery {
  id: number;
  atMs: number;
  tenant: string;
  kind: string;
  profileTypeId: string;
  selector: string;
  startMs: number;
  endMs: number;
  tookMs: number;
  parts: number;
  kept: number;
  error: string;
}
interface Partition {
  partition: number;
  owner: string;
  committed: number;
  position: number;
  end: number;
  lagMs: number;
}
interface Shard {
  id: string;
  address: string;
  state: string;
  zone?: string;
  read_only?: boolean;
}

/** Text in place of a tenant's limits, which Pyroscope v1 does not report. */
const UNTOLD = "see the configuration";
const when = (ms: number): string =>
  ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString().replace(/\.\d+Z$/, "Z") : "";

/** Version, readiness, rings, limits and configuration, for users with access. */
export function Status(): ReactNode {
  const { client, can, state } = useApp();
  const text =
    (path: string): ((c: { signal: AbortSignal }) => Promise<string>) =>
    ({ signal }) =>
      client.fetchText(path, signal);
  const ready = useQuery({
    queryKey: ["ready"],
    queryFn: ({ signal }) => fetch(new URL("ready", BASE_URL), { signal }).then((r) => r.text()),
    refetchInterval: 5000,
  });
  const build = useQuery({ queryKey: ["build", state.tenant], queryFn: text("api/v1/status/buildinfo") });
  const config = useQuery({ queryKey: ["config", state.tenant], queryFn: text("api/v1/status/config/diff") });
  // Pages of this server. A server without this list is a Pyroscope v1: the UI probes its rings, and v1 shows
  // the rest.
  const pages = useQuery({
    queryKey: ["pages", state.tenant],
    queryFn: async ({ signal }) =>
      (await client.fetchStatusPage<{ pages: { path: string }[] }>("admin", signal)).pages.map((p) =>
        p.path.slice(1),
      ),
    retry: false,
  });
  const has = (path: string): boolean => pages.data?.includes(path) ?? false;
  const every5s = <T,>(
    path: string,
  ): {
    queryKey: string[];
    queryFn: (c: { signal: AbortSignal }) => Promise<T>;
    enabled: boolean;
    refetchInterval: number;
  } => ({
    queryKey: [path, state.tenant],
    queryFn: ({ signal }) => client.fetchStatusPage<T>(path, signal),
    enabled: has(path),
    refetchInterval: 5000,
  });
  const shards = (path: string, signal: AbortSignal): Promise<Shard[] | undefined> =>
    client.fetchStatusPage<{ shards: Shard[] }>(path, signal).then(
      (r) => r.shards ?? [],
      (err: unknown) => {
        if (!pages.data && err instanceof ApiError && err.status === 404) return undefined;
        throw err;
      },
    );
  const rings = useQuery({
    queryKey: ["rings", state.tenant, pages.data ?? []],
    refetchInterval: 5000,
    enabled: !pages.isPending,
    queryFn: async ({ signal }) =>
      (
        await Promise.all(
          RINGS.filter(([path]) => !pages.data || has(path)).map(async ([path, name]) => ({
            name,
            path,
            shards: await shards(path, signal),
          })),
        )
      ).filter((r) => r.shards !== undefined),
  });
  const tenants = useQuery(every5s<{ tenants: TenantBlocks[] }>("store-gateway/tenants")),
    slow = useQuery(every5s<{ queries: SlowQuery[] }>("query-frontend/slow-queries")),
    partitions = useQuery(every5s<{ partitions: Partition[] }>("partitions"));
  const refused =
    build.error instanceof ApiError && (build.error.status === 401 || build.error.status === 403);
  if (refused)
    return (
      <div className="status">
        <StatusBar />
        <div className="page">
          <Failure error={build.error} />
        </div>
      </div>
    );
  const info = build.data
    ? (JSON.parse(build.data) as { data: { version: string; revision: string; goVersion: string } }).data
    : undefined;
  const known = rings.data ?? [];
  return (
    <div className="status">
      <StatusBar />
      <div className="page">
        <Loading active={build.isFetching || config.isFetching} />
        <dl className="facts">
          <dt>Status</dt>
          <dd data-testid="ready">{(ready.data ?? "…").trim().replace(/^r/, "R")}</dd>
          <dt>Version</dt>
          <dd>{info ? `${info.version} (${info.revision}) on ${info.goVersion}` : "…"}</dd>
          <dt>Max query range</dt>
          <dd>
            {can
              ? !can.explore
                ? UNTOLD
                : can.maxQueryLengthMs > 0
                  ? `${can.maxQueryLengthMs / 36e5} h`
                  : "no limit"
              : "…"}
          </dd>
          <dt>Max flame graph nodes</dt>
          <dd>
            {can ? (!can.explore ? UNTOLD : can.maxNodes > 0 ? formatCount(can.maxNodes) : "no limit") : "…"}
          </dd>
        </dl>
        <h2>Rings</h2>
        {rings.error ? (
          <Failure error={rings.error} />
        ) : known.length === 0 ? (
          <p className="quiet">
            {pages.data
              ? "This process runs all components and needs no rings."
              : rings.data
                ? "This server does not report its rings."
                : "…"}
          </p>
        ) : (
          <div className="rings">
            {known.map((r) => (
              <section key={r.path}>
                <h3>
                  {r.name} <a href={new URL(r.path, BASE_URL).href}>Details</a>
                </h3>
                <table>
                  <thead>
                    <tr>
                      <th scope="col">Member</th>
                      <th scope="col">Address</th>
                      <th scope="col">Zone</th>
                      <th scope="col">State</th>
                    </tr>
                  </thead>
                  <tbody>
                    {r.shards!.map((m) => (
                      <tr key={m.id}>
                        <th scope="row">{m.id}</th>
                        <td>{m.address}</td>
                        <td>{m.zone ?? ""}</td>
                        <td>
                          <span className={m.state === "ACTIVE" ? "state ok" : "state"}>{m.state}</span>
                          {m.read_only ? " (read-only)" : ""}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
            ))}
          </div>
        )}
        {has("partitions") && (
          <>
            <h2>
              Partitions <a href={new URL("partitions", BASE_URL).href}>Details</a>
            </h2>
            <table>
              <thead>
                <tr>
                  <th scope="col">Partition</th>
                  <th scope="col">Owner</th>
                  <th scope="col">In the bucket</th>
                  <th scope="col">Read</th>
                  <th scope="col">End</th>
                  <th scope="col">Behind by</th>
                </tr>
              </thead>
              <tbody>
                {(partitions.data?.partitions ?? []).map((p) => (
                  <tr key={`${p.partition} ${p.owner}`}>
                    <th scope="row">{p.partition}</th>
                    <td>{p.owner}</td>
                    <td>{p.committed}</td>
                    <td>{p.position}</td>
                    <td>{p.end}</td>
                    <td>{(p.lagMs / 1000).toFixed(1)} s</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
        {has("store-gateway/tenants") && (
          <>
            <h2>
              Tenants and blocks <a href={new URL("store-gateway/tenants", BASE_URL).href}>Details</a>
            </h2>
            {tenants.data?.tenants.length === 0 ? (
              <p className="quiet">
                The bucket holds no blocks yet: pushed profiles stay in the ingesters until they are cut and
                uploaded.
              </p>
            ) : (
              <table data-testid="tenants">
                <thead>
                  <tr>
                    <th scope="col">Tenant</th>
                    <th scope="col">Blocks</th>
                    <th scope="col">MB</th>
                    <th scope="col">Profiles</th>
                    <th scope="col">From</th>
                    <th scope="col">To</th>
                  </tr>
                </thead>
                <tbody>
                  {(tenants.data?.tenants ?? []).map((t) => (
                    <tr key={t.tenant}>
                      <th scope="row">
                        <a
                          href={
                            new URL(`store-gateway/tenant/${encodeURIComponent(t.tenant)}/blocks`, BASE_URL)
                              .href
                          }
                        >
                          {t.tenant}
                        </a>
                      </th>
                      <td>{t.blocks}</td>
                      <td>{(t.bytes / 1e6).toFixed(1)}</td>
                      <td>{t.profiles}</td>
                      <td>{when(t.minTime)}</td>
                      <td>{when(t.maxTime)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </>
        )}
        {has("query-frontend/slow-queries") && (
          <>
            <h2>
              Slowest queries of the last hour{" "}
              <a href={new URL("query-frontend/slow-queries", BASE_URL).href}>Details</a>
            </h2>
            <table data-testid="slow">
              <thead>
                <tr>
                  <th scope="col">Duration</th>
                  <th scope="col">Tenant</th>
                  <th scope="col">Query</th>
                  <th scope="col">From</th>
                  <th scope="col">To</th>
                  <th scope="col">Sub-queries</th>
                  <th scope="col"></th>
                </tr>
              </thead>
              <tbody>
                {(slow.data?.queries ?? []).slice(0, 10).map((q) => (
                  <tr key={q.id}>
                    <th scope="row">{Math.round(q.tookMs)} ms</th>
                    <td>{q.tenant}</td>
                    <td>
                      {q.kind}{" "}
                      <code>
                        {q.profileTypeId}
                        {q.selector}
                      </code>{" "}
                      {q.error}
                    </td>
                    <td>{when(q.startMs)}</td>
                    <td>{when(q.endMs)}</td>
                    <td>{q.parts}</td>
                    <td>
                      <a href={new URL(`query-frontend/slow-queries?plan=${q.id}`, BASE_URL).href}>Plan</a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
        <h2>Configuration that differs from the defaults</h2>
        {config.error ? (
          <Failure error={config.error} />
        ) : (
          <pre tabIndex={0} aria-label="Configuration">
            {config.data ?? "…"}
          </pre>
        )}
        <p>
          {has("tenant-limits") && (
            <>
              <a href={new URL("tenant-limits", BASE_URL).href}>Tenants and limits</a> ·{" "}
            </>
          )}
          <a href={new URL("admin", BASE_URL).href}>All admin pages</a> ·{" "}
          <a href={new URL("metrics", BASE_URL).href}>Metrics</a> ·{" "}
          <a href={new URL("api/v1/status/config", BASE_URL).href}>Full configuration</a>
        </p>
      </div>
    </div>
  );
}

function StatusBar(): ReactNode {
  return (
    <TopBar>
      <h1>Status</h1>
      <span className="grow" />
    </TopBar>
  );
}
