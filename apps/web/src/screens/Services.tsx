import { type ReactNode, useMemo, useState } from "react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { formatCores, formatShare, formatValue } from "@cinderblock/flame";
import { BASE } from "../api/client.ts";
import { CopyButton } from "../parts/CopyButton.tsx";
import { Failure, Loading, PartialNotice } from "../parts/Failure.tsx";
import { Sparkline } from "../parts/Sparkline.tsx";
import { TimePicker } from "../parts/TimePicker.tsx";
import { unitOfType } from "../parts/measure.ts";
import { TypeSelect } from "../parts/TypeSelect.tsx";
import { useApp } from "../state/app.tsx";
import { timelineStep } from "../state/time.ts";

/** Pyroscope v1 does not report its limit: this is its default (querier.max-query-length). */
const V1_QUERY_LENGTH_MS = 24 * 3_600_000;
const POINTS = 30,
  PINS = "cinderblock.pins";
type Sort = "name" | "value" | "change";

/**
 * All services of one profile type: value, sparkline, and change from the previous window, from one grouped
 * query.
 */
export function Services(): ReactNode {
  const { state, go, client, range, can } = useApp();
  const [search, setSearch] = useState(""),
    [sort, setSort] = useState<Sort>("value");
  const [pins, setPins] = useState<string[]>(
    () => JSON.parse(localStorage.getItem(PINS) ?? "[]") as string[],
  );
  const r = range(state.side);
  const length = r ? r[1] - r[0] : 0,
    stepS = timelineStep(length, POINTS);
  // The same query covers the previous window if the tenant's longest range allows it.
  const most = can?.explore === false ? V1_QUERY_LENGTH_MS : (can?.maxQueryLengthMs ?? 0),
    before = can !== undefined && (most === 0 || 2 * length <= most);
  const from = r ? (before ? r[0] - length : r[0]) : 0;
  const q = useQuery({
    queryKey: ["services", client.tenant, state.type, r, before],
    enabled: r !== undefined && can !== undefined,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      client.series(
        state.type,
        "{}",
        Math.round(from),
        Math.round(r![1]),
        stepS,
        ["service_name"],
        0,
        signal,
      ),
  });
  const any = useQuery({
    queryKey: ["any", client.tenant, r],
    enabled: q.data?.value.length === 0,
    refetchInterval: 5000,
    queryFn: ({ signal }) => client.labelSets(["service_name"], [], 0, 0, signal),
  });
  const rows = useMemo(
    () =>
      (q.data?.value ?? [])
        .map((s) => {
          const name = s.labels.service_name ?? "",
            now = s.points.filter((p) => p.ms > r![0]),
            old = s.points.filter((p) => p.ms <= r![0]);
          const line = new Array<number>(POINTS).fill(0);
          for (const p of now)
            line[Math.min(POINTS - 1, Math.max(0, Math.floor(((p.ms - r![0]) / length) * POINTS)))]! +=
              p.value;
          const sum = now.reduce((n, p) => n + p.value, 0),
            was = old.reduce((n, p) => n + p.value, 0);
          return { name, sum, was, change: was > 0 ? sum / was - 1 : undefined, line };
        })
        .filter((x) => x.sum > 0 || x.was > 0),
    [q.data],
  );
  const shown = rows
    .filter((x) => x.name.toLowerCase().includes(search.toLowerCase()))
    .sort(
      (a, b) =>
        Number(pins.includes(b.name)) - Number(pins.includes(a.name)) ||
        (sort === "name"
          ? a.name.localeCompare(b.name)
          : sort === "value"
            ? b.sum - a.sum
            : Math.abs(b.change ?? 0) - Math.abs(a.change ?? 0)),
    );
  const unit = unitOfType(state.type);
  const pin = (name: string): void => {
    const next = pins.includes(name) ? pins.filter((p) => p !== name) : [...pins, name];
    setPins(next);
    localStorage.setItem(PINS, JSON.stringify(next));
  };
  const open = (name: string): void =>
    go({
      screen: "explore",
      side: { ...state.side, selector: [{ name: "service_name", op: "=", value: name }] },
      stacks: { callSite: [], only: [], without: [], hide: [] },
      fn: "",
    });
  const head = (key: Sort, text: string): ReactNode => (
    <th scope="col" aria-sort={sort === key ? (key === "name" ? "ascending" : "descending") : "none"}>
      <button type="button" onClick={() => setSort(key)}>
        {text}
        {sort === key ? " ▼" : ""}
      </button>
    </th>
  );
  const empty = q.data !== undefined && q.data.value.length === 0 && any.data !== undefined;
  return (
    <div className="services">
      <h1 className="sr">Services</h1>
      <div className="bar-row">
        <TypeSelect />
        <label className="sr" htmlFor="service-search">
          Search services
        </label>
        <input
          id="service-search"
          type="search"
          placeholder="Search services"
          value={search}
          onChange={(e) => setSearch(e.target.value)}
        />
        <TimePicker side={state.side} name="" onChange={(x) => go({ side: { ...state.side, ...x } })} />
      </div>
      <Loading active={q.isFetching} />
      <PartialNotice reason={q.data?.partial ?? ""} />
      {q.error ? <Failure error={q.error} retry={() => void q.refetch()} /> : null}
      {empty && any.data!.length === 0 ? <FirstProfile /> : null}
      {empty && any.data!.length > 0 ? (
        <p className="nothing">
          Nothing of this profile type in this time. Other types or a longer time may have samples:{" "}
          {any.data!.length} services have sent profiles.
        </p>
      ) : null}
      {rows.length > 0 ? (
        <table className="service-list">
          <thead>
            <tr>
              <th scope="col">
                <span className="sr">Pinned</span>
              </th>
              {head("name", "Service")}
              {head("value", unit === "nanoseconds" ? "Time" : "Value")}
              <th scope="col">Course</th>
              {head("change", "Change")}
            </tr>
          </thead>
          <tbody>
            {shown.map((x) => (
              <tr key={x.name}>
                <td>
                  <button
                    type="button"
                    className="plain"
                    aria-pressed={pins.includes(x.name)}
                    aria-label={`Pin ${x.name}`}
                    onClick={() => pin(x.name)}
                  >
                    {pins.includes(x.name) ? "★" : "☆"}
                  </button>
                </td>
                <th scope="row">
                  <button type="button" className="link" onClick={() => open(x.name)}>
                    {x.name}
                  </button>
                </th>
                <td>
                  {formatValue(x.sum, unit)}
                  {unit === "nanoseconds" && length > 0 ? (
                    <span className="quiet"> {formatCores(x.sum / 1e6 / length)} cores</span>
                  ) : null}
                </td>
                <td>
                  <Sparkline values={x.line} />
                </td>
                <td
                  className={
                    x.change === undefined ? "quiet" : x.change > 0.1 ? "more" : x.change < -0.1 ? "less" : ""
                  }
                >
                  {x.change === undefined
                    ? before
                      ? "new"
                      : "–"
                    : `${x.change > 0 ? "+" : x.change < 0 ? "−" : "±"}${formatShare(Math.abs(x.change))}`}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {rows.length > 0 && shown.length === 0 ? (
        <p className="nothing">No service has “{search}” in its name.</p>
      ) : null}
    </div>
  );
}

/** Screen of an empty installation: how to send profiles. */
function FirstProfile(): ReactNode {
  const url = BASE.href.replace(/\/$/, "");
  const snippets: [string, string][] = [
    [
      "By hand",
      `printf 'main;work;parse 30\\nmain;work;write 12\\n' |\n  curl --data-binary @- '${url}/ingest?name=first.cpu&from=now-10s&until=now'`,
    ],
    [
      "Go",
      `pyroscope.Start(pyroscope.Config{\n  ApplicationName: "my.service",\n  ServerAddress:   "${url}",\n})`,
    ],
    ["Node.js", `Pyroscope.init({ serverAddress: "${url}", appName: "my-service" });\nPyroscope.start();`],
    ["Python", `pyroscope.configure(application_name="my.service", server_address="${url}")`],
  ];
  return (
    <section className="first">
      <h2>Waiting for the first profile</h2>
      <p>
        Point an SDK or agent of Pyroscope at <code>{url}</code>. This page looks again by itself.
      </p>
      {snippets.map(([name, text]) => (
        <div key={name} className="snippet">
          <h3>{name}</h3>
          <pre tabIndex={0} aria-label={name}>
            {text}
          </pre>
          <CopyButton text={text}>Copy</CopyButton>
        </div>
      ))}
    </section>
  );
}
