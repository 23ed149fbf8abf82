import { lazy, type ReactNode, Suspense, useEffect, useMemo, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import type { Selection } from "../api/types.ts";
import { useTimeline } from "../api/use-timeline.ts";
import { Failure, Loading, PartialNotice } from "../parts/Failure.tsx";
import { Icon } from "../parts/Icon.tsx";
import { ServiceTable } from "../parts/ServiceTable.tsx";
import { TimePicker } from "../parts/TimePicker.tsx";
import { TopBar } from "../parts/TopBar.tsx";
import { TypeSelect } from "../parts/TypeSelect.tsx";
import { useApp } from "../state/app.tsx";
import { familyTypes, type ServiceFamily, serviceRows } from "../state/service-rows.ts";
import { initialState } from "../state/state.ts";
import { plural } from "../state/words.ts";

/** The screen of an empty installation loads when it is needed. */
const FirstRun = lazy(() => import("./FirstRun.tsx").then((m) => ({ default: m.FirstRun })));

/** Pyroscope v1 does not report its limit: this is its default (querier.max-query-length). */
const V1_QUERY_LENGTH_MS = 24 * 3_600_000;
const POINTS = 30;

/**
 * All services, with the figures of one profile type (value, sparkline, and change from the previous window),
 * and of one type of each other family: a grouped query for each type and window.
 */
export function Services(): ReactNode {
  const { state, go, client, range, can, refresh } = useApp();
  const { search } = state;
  const r = range(state.side);
  const length = r ? r[1] - r[0] : 0;
  // The previous window is requested if the tenant's look-back and longest range allow it.
  const most = can?.explore === false ? V1_QUERY_LENGTH_MS : (can?.maxQueryLengthMs ?? 0),
    before = can !== undefined && (most === 0 || 2 * length <= most);
  const q = useTimeline(r && windowOf(state.type, r[0], r[1]), "service_name", {
    stepMs: Math.ceil(length / POINTS),
    limit: 0,
  });
  // A profile at the start belongs to this window alone.
  const old = useTimeline(r && windowOf(state.type, r[0] - length, r[0] - 1), "service_name", {
    stepMs: 0,
    limit: 0,
    enabled: before,
  });
  const types = useQuery<ReadonlyMap<string, readonly string[]>>({
    queryKey: ["service types", client.tenant, r],
    enabled: r !== undefined && can !== undefined,
    placeholderData: (previous, query) => (query?.queryKey[1] === client.tenant ? previous : undefined),
    queryFn: ({ signal }) => client.serviceTypes(Math.round(r![0]), Math.round(r![1]), signal),
  });
  const any = useQuery({
    queryKey: ["any", client.tenant, r],
    enabled: q.data?.value.series.length === 0 && types.data?.size === 0,
    queryFn: ({ signal }) => client.labelSets(["service_name"], [], 0, 0, signal),
  });
  // The screen of an empty installation stays until its first profile is in the window.
  const none = any.data?.length === 0,
    [first, setFirst] = useState(false),
    [endFirst] = useState(() => () => {
      setFirst(false);
      refresh();
    });
  useEffect(() => {
    if (none) setFirst(true);
  }, [none]);
  // Answers for other windows stay in sight while new ones load, but are never compared with each other.
  const compared = before && old.data !== undefined && !old.isPlaceholderData && !q.isPlaceholderData;
  const rows = useMemo(
    () =>
      q.data
        ? serviceRows(state.type, q.data.value, compared ? old.data?.value : undefined, POINTS, types.data)
        : [],
    [state.type, q.data, old.data, compared, types.data],
  );
  const families = useFamilies(types.data, r, before);
  const shown = useMemo(
    () => rows.filter((x) => x.name.toLowerCase().includes(search.toLowerCase())),
    [rows, search],
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
        {first ? (
          <Suspense fallback={<Loading active />}>
            <FirstRun onDone={endFirst} />
          </Suspense>
        ) : null}
        {empty && !first && any.data!.length > 0 ? (
          <p className="nothing">
            No data in this time range. {plural(any.data!.length, "service has", "services have")} sent
            profiles at other times: choose a longer time range.
          </p>
        ) : null}
        {rows.length > 0 ? <ServiceTable rows={shown} families={families} compared={compared} /> : null}
        {rows.length > 0 && shown.length === 0 ? (
          <p className="nothing">No service has “{search}” in its name.</p>
        ) : null}
      </div>
    </div>
  );
}

/** Figures of the families of types other than the chosen one. */
function useFamilies(
  types: ReadonlyMap<string, readonly string[]> | undefined,
  r: [fromMs: number, untilMs: number] | undefined,
  before: boolean,
): ServiceFamily[] {
  const { state } = useApp(),
    wanted = useMemo(() => (types ? familyTypes(types, state.type) : []), [types, state.type]);
  const columns = [
    useFamily(wanted[0], r, before),
    useFamily(wanted[1], r, before),
    useFamily(wanted[2], r, before),
  ];
  return columns.filter((c) => c !== undefined);
}

function useFamily(
  wanted: { family: string; name: string; type: string } | undefined,
  r: [fromMs: number, untilMs: number] | undefined,
  before: boolean,
): ServiceFamily | undefined {
  const length = r ? r[1] - r[0] : 0,
    of = (fromMs: number, untilMs: number): Selection | undefined =>
      wanted && r ? windowOf(wanted.type, fromMs, untilMs) : undefined,
    options = { stepMs: Math.max(1, length), limit: 0 };
  const now = useTimeline(of(r?.[0] ?? 0, r?.[1] ?? 1), "service_name", options),
    old = useTimeline(of((r?.[0] ?? 0) - length, (r?.[0] ?? 0) - 1), "service_name", {
      ...options,
      enabled: before,
    });
  const answer = now.isPlaceholderData ? undefined : now.data?.value,
    earlier = old.isPlaceholderData ? undefined : old.data?.value,
    family = wanted?.family,
    name = wanted?.name,
    type = wanted?.type;
  return useMemo(
    () =>
      family !== undefined && name !== undefined && type !== undefined
        ? {
            family,
            name,
            type,
            compared: earlier !== undefined,
            rows: new Map((answer ? serviceRows(type, answer, earlier, 1) : []).map((x) => [x.name, x])),
          }
        : undefined,
    [family, name, type, answer, earlier],
  );
}

/** All services of a window, with one type. */
function windowOf(type: string, fromMs: number, untilMs: number): Selection {
  return {
    type,
    selector: "{}",
    startMs: Math.round(fromMs),
    endMs: Math.round(untilMs),
    stacks: initialState.stacks,
    profileIds: [],
  };
}
