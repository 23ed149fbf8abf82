import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatRelative, formatValue, isCpuTime, isGauge, measureOf } from "@cinderblock/flame";
import { BASE_URL } from "../api/client.ts";
import type { Selection } from "../api/types.ts";
import { useTimeline } from "../api/use-timeline.ts";
import { CopyButton } from "../parts/CopyButton.tsx";
import { Failure, Loading, PartialNotice } from "../parts/Failure.tsx";
import { Sparkline } from "../parts/Sparkline.tsx";
import { TimePicker } from "../parts/TimePicker.tsx";
import { Icon } from "../parts/Icon.tsx";
import { TopBar } from "../parts/TopBar.tsx";
import { TypeSelect } from "../parts/TypeSelect.tsx";
import { encodeState, initialState, type State } from "../state/state.ts";
import { useApp } from "../state/app.tsx";
import { plural } from "../state/words.ts";
import { type ServiceRow, serviceRows } from "../state/service-rows.ts";
import { firstType, namedTypes } from "../state/type-names.ts";

/** Pyroscope v1 does not report its limit: this is its default (querier.max-query-length). */
const V1_QUERY_LENGTH_MS = 24 * 3_600_000;
const POINTS = 30,
  PINS = "cinderblock.pins";
type Sort = "name" | "value" | "change";

/** Whether a service has profiles in the window, but none of a type. */
function isWithout(type: string, { total, types }: ServiceRow): boolean {
  return total === 0 && types.length > 0 && !types.includes(type);
}

/** Families of profile types, such as "Heap, Locks". */
function familiesOf(types: readonly string[]): string {
  return [...new Set(namedTypes(types).map((t) => t.family))].join(", ");
}

/**
 * All services, with the figures of one profile type: value, sparkline, and change from the previous window, from one grouped
 * query.
 */
export function Services(): ReactNode {
  const { state, go, client, range, can, refresh } = useApp();
  const { search } = state,
    [sort, setSort] = useState<Sort>("value"),
    [ascending, setAscending] = useState(false);
  const [pins, setPins] = useState<string[]>(
    () => JSON.parse(localStorage.getItem(PINS) ?? "[]") as string[],
  );
  const r = range(state.side);
  const length = r ? r[1] - r[0] : 0;
  // The previous window is requested if the tenant's look-back and longest range allow it.
  const most = can?.explore === false ? V1_QUERY_LENGTH_MS : (can?.maxQueryLengthMs ?? 0),
    before = can !== undefined && (most === 0 || 2 * length <= most);
  const window = (fromMs: number, untilMs: number): Selection => ({
    type: state.type,
    selector: "{}",
    startMs: Math.round(fromMs),
    endMs: Math.round(untilMs),
    stacks: { callSite: [], only: [], without: [], hide: [] },
    profileIds: [],
  });
  const q = useTimeline(r && window(r[0], r[1]), "service_name", {
    stepMs: Math.ceil(length / POINTS),
    limit: 0,
  });
  // A profile at the start belongs to this window alone.
  const old = useTimeline(r && window(r[0] - length, r[0] - 1), "service_name", {
    stepMs: 0,
    limit: 0,
    enabled: before,
  });
  const types = useQuery<ReadonlyMap<string, readonly string[]>>({
    queryKey: ["service types", client.tenant, r],
    enabled: r !== undefined,
    placeholderData: (previous, query) => (query?.queryKey[1] === client.tenant ? previous : undefined),
    queryFn: ({ signal }) => client.serviceTypes(Math.round(r![0]), Math.round(r![1]), signal),
  });
  const any = useQuery({
    queryKey: ["any", client.tenant, r],
    enabled: q.data?.value.series.length === 0 && types.data?.size === 0,
    refetchInterval: 5000,
    queryFn: ({ signal }) => client.labelSets(["service_name"], [], 0, 0, signal),
  });
  // The first profile of an installation is in the window from now on.
  const none = any.data?.length === 0,
    waited = useRef(false);
  useEffect(() => {
    if (none) waited.current = true;
    else if (waited.current && any.data) {
      waited.current = false;
      refresh();
    }
  }, [none, any.data, refresh]);
  // Answers for other windows stay in sight while new ones load, but are never compared with each other.
  const compared = before && old.data !== undefined && !old.isPlaceholderData && !q.isPlaceholderData;
  const rows = useMemo(
    () =>
      q.data
        ? serviceRows(state.type, q.data.value, compared ? old.data?.value : undefined, POINTS, types.data)
        : [],
    [state.type, q.data, old.data, compared, types.data],
  );
  const shown = rows
    .filter((x) => x.name.toLowerCase().includes(search.toLowerCase()))
    .sort(
      (a, b) =>
        Number(pins.includes(b.name)) - Number(pins.includes(a.name)) ||
        (ascending ? 1 : -1) *
          (sort === "name"
            ? a.name.localeCompare(b.name)
            : sort === "value"
              ? a.total - b.total
              : Math.abs(a.change ?? 0) - Math.abs(b.change ?? 0)),
    );
  const pin = (name: string): void => {
    const next = pins.includes(name) ? pins.filter((p) => p !== name) : [...pins, name];
    setPins(next);
    localStorage.setItem(PINS, JSON.stringify(next));
  };
  const opened = ({ name, types: own }: ServiceRow): Partial<State> => ({
    screen: "explore",
    type: own.length === 0 || own.includes(state.type) ? state.type : firstType(own)!,
    side: { ...state.side, selector: [{ name: "service_name", op: "=", value: name }] },
    stacks: initialState.stacks,
    fn: "",
    search: "",
  });
  const head = (key: Sort, text: string): ReactNode => (
    <th
      scope="col"
      className={key === "name" ? "" : "num"}
      aria-sort={sort === key ? (ascending ? "ascending" : "descending") : "none"}
    >
      <button
        type="button"
        onClick={() => {
          setAscending(sort === key ? !ascending : key === "name");
          setSort(key);
        }}
      >
        {text}
        {sort === key ? (ascending ? " ▲" : " ▼") : ""}
      </button>
    </th>
  );
  const empty = q.data !== undefined && q.data.value.series.length === 0 && any.data !== undefined;
  return (
    <div className="services">
      <TopBar>
        <h1>Services</h1>
        <span className="search-box grow">
          <Icon name="search" />
          <label className="sr" htmlFor="service-search">
            Search services
          </label>
          <input
            id="service-search"
            type="search"
            placeholder={rows.length > 0 ? `Search ${plural(rows.length, "service")}` : "Search services"}
            value={search}
            onChange={(e) => go({ search: e.target.value }, true)}
          />
        </span>
        <TypeSelect side={{ ...state.side, selector: [] }} />
        <TimePicker side={state.side} name="" onChange={(x) => go({ side: { ...state.side, ...x } })} />
      </TopBar>
      <div className="page">
        <Loading active={q.isFetching || old.isFetching} />
        <PartialNotice reason={q.data?.partial ?? ""} />
        {(q.error ?? old.error) ? (
          <Failure error={q.error ?? old.error} retry={() => void (q.error ? q : old).refetch()} />
        ) : null}
        {empty && any.data!.length === 0 ? <FirstProfile /> : null}
        {empty && any.data!.length > 0 ? (
          <p className="nothing">
            No data in this time range. {plural(any.data!.length, "service has", "services have")} sent
            profiles at other times: choose a longer time range.
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
                {head("value", isGauge(state.type) ? "Avg" : "Total")}
                <th scope="col">Trend</th>
                {head("change", "vs previous period")}
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
                      <Icon name="star" />
                    </button>
                  </td>
                  <th scope="row">
                    <a
                      href={encodeState({ ...state, ...opened(x) })}
                      onClick={(e) => {
                        if (e.ctrlKey || e.metaKey || e.shiftKey) return;
                        e.preventDefault();
                        go(opened(x));
                      }}
                    >
                      {x.name}
                    </a>
                  </th>
                  <td className="num" data-total={x.total}>
                    {isWithout(state.type, x) ? (
                      <>
                        – <span className="quiet">{familiesOf(x.types)}</span>
                      </>
                    ) : (
                      formatValue(x.total, measureOf(state.type, false, x))
                    )}
                    {isCpuTime(state.type) && x.total > 0 ? (
                      <span className="quiet"> {formatValue(x.total, measureOf(state.type, true, x))}</span>
                    ) : null}
                  </td>
                  <td>
                    <Sparkline values={x.line} />
                  </td>
                  <td
                    className={`num ${
                      x.change === undefined
                        ? "quiet"
                        : x.change > 0.1
                          ? "more"
                          : x.change < -0.1
                            ? "less"
                            : ""
                    }`}
                  >
                    {x.change === undefined
                      ? compared && !isWithout(state.type, x)
                        ? "new"
                        : "–"
                      : formatRelative(x.change)}
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
    </div>
  );
}

/** Screen of an empty installation: how to send profiles. */
function FirstProfile(): ReactNode {
  const url = BASE_URL.href.replace(/\/$/, "");
  const snippets: [string, string][] = [
    [
      "curl",
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
      <h2>Waiting for data…</h2>
      <p>
        Point a Pyroscope SDK or Grafana Alloy at <code>{url}</code>. This page updates automatically.
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
