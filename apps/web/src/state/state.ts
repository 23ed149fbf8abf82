import type { Basis, ChangePalette, ColorMode } from "@cinderblock/flame";
import { type Matcher, parseSelector, selectorText } from "./selector.ts";
import type { TimeText } from "./time.ts";

export type Screen = "services" | "explore" | "compare" | "files" | "status";
export type Pane = "flame" | "table" | "tree" | "sandwich" | "graph" | "labels" | "profiles";
export type SortKey = "self" | "total" | "name" | "self-change" | "total-change";

/** Selected series and time range of one side. */
export interface Side {
  selector: Matcher[];
  from: TimeText;
  until: TimeText;
}
/** Filters of stacks, and hidden functions: full function names, or patterns between slashes. */
export interface StackFilters {
  callSite: string[];
  only: string[];
  without: string[];
  hide: string[];
}

/** The filters that change values, without hidden functions; undefined if all stacks count. */
export function filtersThatChangeValues(s: StackFilters): StackFilters | undefined {
  return s.callSite.length + s.only.length + s.without.length > 0 ? { ...s, hide: [] } : undefined;
}

/** State of the whole screen; the address bar contains all of it. */
export interface State {
  screen: Screen;
  tenant: string;
  type: string;
  side: Side;
  /** selection that a comparison compares with */
  baseline: Side | undefined;
  stacks: StackFilters;
  zone: string;
  pane: Pane;
  /** selected function of the callers-and-callees pane and the drawer */
  fn: string;
  search: string;
  colour: ColorMode;
  palette: ChangePalette;
  upwards: boolean;
  inverted: boolean;
  collapsed: boolean;
  sort: SortKey;
  ascending: boolean;
  group: string;
  /** quantity of values; "" is the screen's default: totals, in Compare rates */
  basis: Basis | "";
  /** show the table of functions next to the other views */
  table: boolean;
  /** show the details of the selected function over the view */
  details: boolean;
  /** show a comparison as two flame graphs side by side */
  beside: boolean;
  /** ID of the shown single profile */
  profile: string;
  /** heatmap cell with listed profiles: `column.row` */
  cell: string;
  /** open uploaded files, one or two to compare; `fileType` is their shown profile type */
  files: string[];
  fileType: string;
  /** seconds between two refreshes; 0: manual refresh only */
  refresh: number;
}

/** Default times of a baseline: an address leaves them out. */
const BASELINE: Side = { selector: [], from: "now-2h", until: "now-1h" };
const BASES: readonly [Basis, param: string][] = [
  ["rate", "s"],
  ["total", "t"],
  ["share", "p"],
];

const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

export const initialState: State = {
  screen: "services",
  tenant: "",
  type: CPU,
  side: { selector: [], from: "now-1h", until: "now" },
  baseline: undefined,
  stacks: { callSite: [], only: [], without: [], hide: [] },
  zone: "local",
  pane: "flame",
  fn: "",
  search: "",
  colour: "package",
  palette: "blue-orange",
  upwards: false,
  inverted: false,
  collapsed: false,
  sort: "self",
  ascending: false,
  group: "",
  basis: "",
  table: true,
  details: false,
  beside: false,
  profile: "",
  cell: "",
  files: [],
  fileType: "",
  refresh: 0,
};

/**
 * Version of the parameters. A change of their meaning increments it and adds an upgrade of the previous
 * version.
 */
const VERSION = "1";

const SCREENS: readonly Screen[] = ["services", "explore", "compare", "files", "status"];
const PANES: readonly Pane[] = ["flame", "table", "tree", "sandwich", "graph", "labels", "profiles"];
const SORTS: readonly SortKey[] = ["self", "total", "name", "self-change", "total-change"];
const COLOURS: readonly ColorMode[] = ["package", "value", "change"];
const PALETTES: readonly ChangePalette[] = ["blue-orange", "purple-green", "red-green"];
const oneOf = <T extends string>(list: readonly T[], text: string | null, fallback: T): T =>
  list.includes(text as T) ? (text as T) : fallback;

/**
 * A state after a change. A set baseline belongs to the labels of its side: other labels, chosen outside of
 * Compare, drop it.
 */
export function withChange(s: State, change: Partial<State>): State {
  const next = { ...s, ...change };
  if (
    next.screen !== "compare" &&
    !("baseline" in change) &&
    selectorText(next.side.selector) !== selectorText(s.side.selector)
  )
    next.baseline = undefined;
  return next;
}

/** Order of the function table in an address that names none: Compare begins with the largest change. */
function defaultSort(screen: string): SortKey {
  return screen === "compare" ? "self-change" : initialState.sort;
}

/** The address of a state, relative to the base of the UI, without default values. */
export function encodeState(s: State): string {
  const p = new URLSearchParams();
  const put = (key: string, value: string, fallback: string): void => {
    if (value !== fallback) p.set(key, value);
  };
  const side = (prefix: string, x: Side, d: Side): void => {
    put(`${prefix}s`, selectorText(x.selector), selectorText(d.selector));
    put(`${prefix}f`, x.from, d.from);
    put(`${prefix}u`, x.until, d.until);
  };
  put("t", s.tenant, initialState.tenant);
  put("p", s.type, initialState.type);
  side("", s.side, initialState.side);
  // A set baseline always has its times here: without any of its parameters, an address means the previous
  // period.
  if (s.baseline) side("b", s.baseline, { selector: [], from: "", until: "" });
  for (const f of s.stacks.callSite) p.append("cs", f);
  for (const f of s.stacks.only) p.append("on", f);
  for (const f of s.stacks.without) p.append("wo", f);
  for (const f of s.stacks.hide) p.append("hi", f);
  put("z", s.zone, initialState.zone);
  put("pane", s.pane, initialState.pane);
  put("fn", s.fn, initialState.fn);
  put("q", s.search, initialState.search);
  put("c", s.colour, initialState.colour);
  put("pal", s.palette, initialState.palette);
  put("up", s.upwards ? "1" : "", "");
  put("inv", s.inverted ? "1" : "", "");
  put("rec", s.collapsed ? "1" : "", "");
  put("o", s.sort, defaultSort(s.screen));
  put("asc", s.ascending ? "1" : "", "");
  put("g", s.group, initialState.group);
  put("per", BASES.find(([b]) => b === s.basis)?.[1] ?? "", "");
  put("tb", s.table ? "" : "0", "");
  put("d", s.details ? "1" : "", "");
  put("two", s.beside ? "1" : "", "");
  put("id", s.profile, "");
  put("cell", s.cell, "");
  for (const f of s.files) p.append("file", f);
  put("ft", s.fileType, "");
  put("r", String(s.refresh), "0");
  const query = p.toString();
  return `${s.screen === "services" ? "." : s.screen}${query === "" ? "" : `?v=${VERSION}&${query}`}`;
}

/** Treats an invalid selector as empty, so a link never breaks the page. */
function matchers(text: string | null): Matcher[] {
  try {
    return parseSelector(text ?? "");
  } catch {
    return [];
  }
}

/** The state of an address. @param path last part of the document's path */
export function decodeState(path: string, search: string): State {
  const p = new URLSearchParams(search);
  const old = decodeOld(path, p);
  if (old) return old;
  const side = (prefix: string, d: Side): Side => ({
    selector: p.has(`${prefix}s`) ? matchers(p.get(`${prefix}s`)) : d.selector,
    from: p.get(`${prefix}f`) ?? d.from,
    until: p.get(`${prefix}u`) ?? d.until,
  });
  return {
    screen: oneOf(SCREENS, path, "services"),
    tenant: p.get("t") ?? initialState.tenant,
    type: p.get("p") ?? initialState.type,
    side: side("", initialState.side),
    baseline: ["bs", "bf", "bu"].some((k) => p.has(k)) ? side("b", BASELINE) : undefined,
    stacks: { callSite: p.getAll("cs"), only: p.getAll("on"), without: p.getAll("wo"), hide: p.getAll("hi") },
    zone: p.get("z") ?? initialState.zone,
    pane: oneOf(PANES, p.get("pane"), initialState.pane),
    fn: p.get("fn") ?? "",
    search: p.get("q") ?? "",
    colour: oneOf(COLOURS, p.get("c"), initialState.colour),
    palette: oneOf(PALETTES, p.get("pal"), initialState.palette),
    upwards: p.get("up") === "1",
    inverted: p.get("inv") === "1",
    collapsed: p.get("rec") === "1",
    sort: oneOf(SORTS, p.get("o"), defaultSort(path)),
    ascending: p.get("asc") === "1",
    group: p.get("g") ?? "",
    basis: BASES.find(([, param]) => param === p.get("per"))?.[0] ?? "",
    table: p.get("tb") !== "0",
    details: p.get("d") === "1",
    beside: p.get("two") === "1",
    profile: p.get("id") ?? "",
    cell: p.get("cell") ?? "",
    files: p.getAll("file").slice(0, 2),
    fileType: p.get("ft") ?? "",
    refresh: Math.max(0, Number(p.get("r") ?? 0) || 0),
  };
}

/**
 * Addresses of Pyroscope v1's UI: `/?query=type{…}&from=…&until=…`, and both comparisons with left and right.
 */
function decodeOld(path: string, p: URLSearchParams): State | undefined {
  const query = (name: string): { type: string; selector: Matcher[] } | undefined => {
    const m = /^([^{]*)(\{.*\})?$/s.exec(p.get(name) ?? "");
    return m?.[1] ? { type: m[1], selector: matchers(m[2] ?? "{}") } : undefined;
  };
  const times = (prefix: string, d: Side): { from: string; until: string } => ({
    from: p.get(prefix === "" ? "from" : `${prefix}From`) ?? d.from,
    until: p.get(prefix === "" ? "until" : `${prefix}Until`) ?? d.until,
  });
  const tenant = p.get("tenantID") ?? "";
  if (path === "comparison" || path === "comparison-diff" || p.has("leftQuery") || p.has("rightQuery")) {
    const left = query("leftQuery") ?? query("query"),
      right = query("rightQuery") ?? query("query");
    return {
      ...initialState,
      screen: "compare",
      tenant,
      type: (right ?? left)?.type ?? initialState.type,
      pane: "flame",
      colour: "change",
      sort: "self-change",
      side: {
        selector: right?.selector ?? [],
        ...times("right", { ...initialState.side, ...times("", initialState.side) }),
      },
      baseline: {
        selector: left?.selector ?? [],
        ...times("left", { ...BASELINE, ...times("", BASELINE) }),
      },
    };
  }
  const single = p.has("query") ? query("query") : undefined;
  if (!single) return undefined;
  const groupBy = p.get("groupBy");
  return {
    ...initialState,
    screen: "explore",
    tenant,
    type: single.type,
    side: { selector: single.selector, ...times("", initialState.side) },
    ...(groupBy ? { group: groupBy } : {}),
  };
}
