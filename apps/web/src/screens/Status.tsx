import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { BASE } from "../api/client.ts";
import { ApiError } from "../api/types.ts";
import { Failure, Loading } from "../parts/Failure.tsx";
import { useApp } from "../state/app.tsx";

const RINGS: readonly [path: string, name: string][] = [["ring", "Ingesters"], ["store-gateway/ring", "Store-gateways"], ["query-scheduler/ring", "Query-schedulers"], ["compactor/ring", "Compactors"]];
interface Member { id: string; address: string; state: string; zone?: string }

/** What runs, and how it is: for those who may see it. */
export function Status(): ReactNode {
  const { client, can, state } = useApp();
  const text = (path: string): (c: { signal: AbortSignal }) => Promise<string> => ({ signal }) => client.text(path, signal);
  const ready = useQuery({ queryKey: ["ready"], queryFn: ({ signal }) => fetch(new URL("ready", BASE), { signal }).then((r) => r.text()), refetchInterval: 5000 });
  const build = useQuery({ queryKey: ["build", state.tenant], queryFn: text("api/v1/status/buildinfo") });
  const config = useQuery({ queryKey: ["config", state.tenant], queryFn: text("api/v1/status/config/diff") });
  const runtime = useQuery({ queryKey: ["runtime", state.tenant], queryFn: text("runtime_config") });
  const rings = useQuery({
    queryKey: ["rings", state.tenant], refetchInterval: 5000,
    queryFn: async ({ signal }) => Promise.all(RINGS.map(async ([path, name]) => {
      const r = await fetch(new URL(path, BASE), { headers: { accept: "application/json" }, signal });
      return { name, path, members: r.ok ? ((await r.json()) as { members: Member[] }).members : undefined };
    })),
  });
  const refused = build.error instanceof ApiError && (build.error.status === 401 || build.error.status === 403);
  if (refused) return <div className="status"><h1>Status</h1><Failure error={build.error} /></div>;
  const info = build.data ? (JSON.parse(build.data) as { data: { version: string; revision: string; goVersion: string } }).data : undefined;
  const known = (rings.data ?? []).filter((r) => r.members !== undefined);
  return (
    <div className="status">
      <h1>Status</h1>
      <Loading active={build.isFetching || config.isFetching} />
      <dl className="facts">
        <dt>Ready</dt><dd data-testid="ready">{(ready.data ?? "…").trim()}</dd>
        <dt>Version</dt><dd>{info ? `${info.version} (${info.revision}) on ${info.goVersion}` : "…"}</dd>
        <dt>Longest query</dt><dd>{can ? (can.maxQueryLengthMs > 0 ? `${can.maxQueryLengthMs / 36e5} h` : "no limit") : "…"}</dd>
        <dt>Nodes of a flame graph</dt><dd>{can ? (can.maxNodes > 0 ? `at most ${can.maxNodes}` : "no limit") : "…"}</dd>
      </dl>
      <h2>Rings</h2>
      {known.length === 0 ? <p className="quiet">One process has no rings: all components are in it.</p> : known.map((r) => (
        <section key={r.path}>
          <h3>{r.name} <a href={new URL(r.path, BASE).href}>page</a></h3>
          <table><thead><tr><th scope="col">Member</th><th scope="col">Address</th><th scope="col">Zone</th><th scope="col">State</th></tr></thead>
            <tbody>{r.members!.map((m) => <tr key={m.id}><th scope="row">{m.id}</th><td>{m.address}</td><td>{m.zone ?? ""}</td><td>{m.state}</td></tr>)}</tbody></table>
        </section>
      ))}
      <h2>Configuration that differs from the defaults</h2>
      {config.error ? <Failure error={config.error} /> : <pre tabIndex={0} aria-label="Configuration">{config.data ?? "…"}</pre>}
      <h2>Limits at run time</h2>
      {runtime.error instanceof ApiError && runtime.error.status === 404 ? <p className="quiet">None: no file of overrides is set (-runtime-config.file).</p> : runtime.error ? <Failure error={runtime.error} /> : <pre tabIndex={0} aria-label="Limits at run time">{runtime.data ?? "…"}</pre>}
      <p><a href={new URL("metrics", BASE).href}>Metrics</a> · <a href={new URL("api/v1/status/config", BASE).href}>Whole configuration</a></p>
    </div>
  );
}
