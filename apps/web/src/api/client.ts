import {
  ApiError,
  type Capabilities,
  type DrawnFiles,
  type FileInfo,
  type FunctionFile,
  type FunctionPage,
  type Heatmap,
  type Selection,
  type Series,
  type SingleProfile,
  type Timeline,
} from "./types.ts";
import { MAX_SHORT_LINKS, SHORT_LINK_PREFIX } from "../state/links.ts";
import { timelineStep, UNKNOWN_INTERVAL_MS } from "@cinderblock/flame";
import { filtersThatChangeValues } from "../state/state.ts";
import { observedInterval, stepGrid, timelineOfSteps } from "../state/timeline.ts";

/** Base address of the UI, from the address of its own script: works behind any proxy without a flag. */
export const BASE_URL = new URL(/* @vite-ignore */ "../", import.meta.url);

/** An answer, and its warning if it is partial. */
export interface ApiAnswer<T> {
  value: T;
  partial: string;
}

const TOKEN = "cinderblock.token";
/** The token of this tab, or of this device. */
export const tokenStore = {
  get: (): string => sessionStorage.getItem(TOKEN) ?? localStorage.getItem(TOKEN) ?? "",
  /** @param keep keep the token after the tab is closed */
  set: (t: string, keep = false): void => {
    sessionStorage.removeItem(TOKEN);
    localStorage.removeItem(TOKEN);
    if (t !== "") (keep ? localStorage : sessionStorage).setItem(TOKEN, t);
  },
};

function headers(tenant: string, more: Record<string, string>): Record<string, string> {
  return {
    ...more,
    ...(tenant !== "" ? { "x-scope-orgid": tenant } : {}),
    ...(tokenStore.get() !== "" ? { authorization: `Bearer ${tokenStore.get()}` } : {}),
  };
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  let r: Response;
  try {
    r = await fetch(new URL(path, BASE_URL), init);
  } catch (err) {
    if ((err as Error).name === "AbortError") throw err;
    throw new ApiError((err as Error).message, 0, "unavailable");
  }
  if (r.ok) return r;
  const text = await r.text();
  let message = text,
    code = "";
  try {
    const body = JSON.parse(text) as { message?: string; code?: string };
    message = body.message ?? text;
    code = body.code ?? "";
  } catch {
    /* shows a proxy's plain text answer unchanged */
  }
  const condition = r.headers.get("x-cinderblock-condition") ?? "";
  throw new ApiError(message.trim() || `HTTP ${r.status}`, r.status, code, condition);
}

/** Label values by label name, without a prototype: a client may send a label named `constructor`. */
function labelsOf(labels: readonly { name: string; value: string }[] = []): Record<string, string> {
  const out = Object.create(null) as Record<string, string>;
  for (const l of labels) out[l.name] = l.value;
  return out;
}

/** v1's flame graph: names, and levels of bars. */
interface LevelGraph {
  names: string[];
  levels: number[][];
}
interface JsonLevels {
  names?: string[];
  levels?: { values?: string[] }[];
}
function levelsOf(f: JsonLevels | undefined): LevelGraph {
  return {
    names: f?.names ?? [],
    levels: (f?.levels ?? []).map((l) => (l.values ?? []).map(Number)),
  };
}

interface SeriesJson {
  labels?: { name: string; value: string }[];
  points?: { timestamp: string; value?: number; annotations?: { key: string; value?: string }[] }[];
}
function seriesOf(s: SeriesJson): Series {
  return {
    labels: labelsOf(s.labels),
    points: (s.points ?? []).map((p) => ({
      ms: Number(p.timestamp),
      value: Number(p.value ?? 0),
      annotations: (p.annotations ?? []).map((a) => ({ key: a.key, value: a.value ?? "" })),
    })),
  };
}

const PROFILE_TYPE = "__profile_type__";

/** Time and number of series that a Pyroscope v1 is asked for to find the interval of profiles. */
const PROBE_MS = 900_000,
  PROBE_SERIES = 20;

/** Client of the server's API for one tenant. */
export class Client {
  readonly tenant: string;
  constructor(tenant: string) {
    this.tenant = tenant;
  }

  private async json<T>(path: string, body: unknown, signal?: AbortSignal): Promise<ApiAnswer<T>> {
    const r = await ask(path, {
      method: "POST",
      // Without `allow-utf8-labelnames`, the server leaves out label names with dots, dashes or other
      // scripts.
      headers: headers(this.tenant, {
        "content-type": "application/json",
        accept: "*/*; allow-utf8-labelnames=true",
      }),
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
    return { value: (await r.json()) as T, partial: r.headers.get("x-cinderblock-partial") ?? "" };
  }

  /** The bytes of a protobuf answer. */
  async binary(
    path: string,
    body: Uint8Array<ArrayBuffer>,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<ArrayBuffer>> {
    const r = await ask(path, {
      method: "POST",
      headers: headers(this.tenant, { "content-type": "application/proto" }),
      body,
      ...(signal ? { signal } : {}),
    });
    return { value: await r.arrayBuffer(), partial: r.headers.get("x-cinderblock-partial") ?? "" };
  }

  async fetchText(path: string, signal?: AbortSignal): Promise<string> {
    return (await ask(path, { headers: headers(this.tenant, {}), ...(signal ? { signal } : {}) })).text();
  }

  async fetchBytes(path: string): Promise<ArrayBuffer> {
    return (await ask(path, { headers: headers(this.tenant, {}) })).arrayBuffer();
  }

  /** Content of one of the server's status pages as JSON. */
  async fetchStatusPage<T>(path: string, signal?: AbortSignal): Promise<T> {
    return (await (
      await ask(path, {
        headers: headers(this.tenant, { accept: "application/json" }),
        ...(signal ? { signal } : {}),
      })
    ).json()) as T;
  }

  /** IDs of the profile types of a selection. */
  async profileTypes(
    selector: string,
    startMs: number,
    endMs: number,
    signal?: AbortSignal,
  ): Promise<string[]> {
    const sets = await this.labelSets([PROFILE_TYPE], [selector], startMs, endMs, signal);
    return [...new Set(sets.flatMap((s) => s[PROFILE_TYPE] ?? []))];
  }

  /** IDs of the profile types of each service. */
  async serviceTypes(startMs: number, endMs: number, signal?: AbortSignal): Promise<Map<string, string[]>> {
    const sets = await this.labelSets(["service_name", PROFILE_TYPE], [], startMs, endMs, signal),
      out = new Map<string, string[]>();
    for (const { service_name: name, [PROFILE_TYPE]: type } of sets) {
      if (name === undefined || type === undefined) continue;
      const types = out.get(name);
      if (types) types.push(type);
      else out.set(name, [type]);
    }
    return out;
  }

  /** Distinct combinations of values of some labels. */
  async labelSets(
    names: string[],
    matchers: string[],
    startMs: number,
    endMs: number,
    signal?: AbortSignal,
  ): Promise<Record<string, string>[]> {
    const { value } = await this.json<{ labelsSet?: { labels?: { name: string; value: string }[] }[] }>(
      "querier.v1.QuerierService/Series",
      { labelNames: names, matchers, start: String(startMs), end: String(endMs) },
      signal,
    );
    return (value.labelsSet ?? []).map((s) => labelsOf(s.labels));
  }

  async labelNames(
    matchers: string[],
    startMs: number,
    endMs: number,
    signal?: AbortSignal,
  ): Promise<string[]> {
    const { value } = await this.json<{ names?: string[] }>(
      "querier.v1.QuerierService/LabelNames",
      { matchers, start: String(startMs), end: String(endMs) },
      signal,
    );
    return (value.names ?? []).filter((n) => !n.startsWith("__"));
  }

  async labelCounts(
    name: string,
    prefix: string,
    matchers: string[],
    startMs: number,
    endMs: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<{ values: { value: string; series: number }[]; cardinality: number }> {
    const { value } = await this.json<{
      values?: { value?: string; series: string }[];
      cardinality?: string;
    }>(
      "cinderblock.explore.v1.ExploreService/LabelCounts",
      { name, prefix, matchers, start: String(startMs), end: String(endMs), limit: String(limit) },
      signal,
    );
    return {
      values: (value.values ?? []).map((v) => ({ value: v.value ?? "", series: Number(v.series) })),
      cardinality: Number(value.cardinality ?? 0),
    };
  }

  /** Points of querier.v1's SelectSeries: each is the end of its step. */
  async series(
    type: string,
    selector: string,
    startMs: number,
    endMs: number,
    stepS: number,
    groupBy: string[],
    limit: number,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<Series[]>> {
    const { value, partial } = await this.json<{ series?: SeriesJson[] }>(
      "querier.v1.QuerierService/SelectSeries",
      {
        profileTypeID: type,
        labelSelector: selector,
        start: String(startMs),
        end: String(endMs),
        step: stepS,
        groupBy,
        ...(limit > 0 ? { limit: String(limit) } : {}),
      },
      signal,
    );
    return { value: (value.series ?? []).map(seriesOf), partial };
  }

  /**
   * Values and covered time of a selection over time.
   * @param stepMs minimum distance of the points; 0: one point
   * @param limit number of the largest series; 0: all
   * @param exact false: the server only has v1's SelectSeries
   */
  async timeline(
    s: Selection,
    stepMs: number,
    groupBy: string[],
    limit: number,
    exact: boolean,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<Timeline>> {
    if (!exact) return this.timelineOfSteps(s, stepMs, groupBy, limit, signal);
    try {
      return await this.exactTimeline(s, stepMs, groupBy, limit, signal);
    } catch (err) {
      // Above the server's limit of single profiles, show the less precise steps of SelectSeries instead,
      // unless stacks are filtered.
      const filtered = filtersThatChangeValues(s.stacks) !== undefined || s.profileIds.length > 0;
      if (filtered || !(err instanceof ApiError) || err.condition !== "too-many-profiles") throw err;
      return this.timelineOfSteps(s, stepMs, groupBy, limit, signal);
    }
  }

  private async exactTimeline(
    s: Selection,
    stepMs: number,
    groupBy: string[],
    limit: number,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<Timeline>> {
    const { value: v, partial } = await this.json<{
      series?: SeriesJson[];
      covers?: { coveredMs?: string; total?: string; pointsMs?: string[]; intervalMs?: string }[];
      step?: number;
      intervalMs?: string;
      coveredMs?: string;
      total?: string;
    }>(
      "cinderblock.explore.v1.ExploreService/Series",
      {
        selection: selectionJson({ ...s, stacks: { ...s.stacks, hide: [] } }),
        step: stepMs / 1000,
        groupBy,
        limit: String(limit),
      },
      signal,
    );
    return {
      value: {
        startMs: s.startMs,
        stepMs: Math.round((v.step ?? 0) * 1000),
        intervalMs: Number(v.intervalMs ?? 0),
        coveredMs: Number(v.coveredMs ?? 0),
        total: Number(v.total ?? 0),
        series: (v.series ?? []).map((x, i) => {
          const cover = v.covers?.[i];
          const { labels, points } = seriesOf(x);
          return {
            labels,
            points: points.map((p, k) => ({ ...p, coveredMs: Number(cover?.pointsMs?.[k] ?? 0) })),
            total: Number(cover?.total ?? 0),
            coveredMs: Number(cover?.coveredMs ?? 0),
            intervalMs: Number(cover?.intervalMs ?? 0),
          };
        }),
      },
      partial,
    };
  }

  private async timelineOfSteps(
    s: Selection,
    stepMs: number,
    groupBy: string[],
    limit: number,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<Timeline>> {
    // Covered time needs steps, even for one figure of the whole range.
    const shortest = stepMs > 0 ? stepMs : timelineStep(s.endMs - s.startMs, 0, 60) * 1000,
      grid = stepGrid(s.startMs, s.endMs, shortest),
      { value, partial } = await this.series(
        s.type,
        s.selector,
        grid.firstMs,
        s.endMs,
        grid.stepMs / 1000,
        groupBy,
        limit,
        signal,
      );
    const last = Math.max(0, ...value.map((x) => x.points.at(-1)?.ms ?? 0));
    const intervalMs =
      last === 0 || grid.stepMs <= UNKNOWN_INTERVAL_MS
        ? observedInterval(value, grid.stepMs)
        : await this.intervalBefore(s, last, signal);
    return { value: timelineOfSteps(value, grid, intervalMs), partial };
  }

  /** Interval of the profiles of each series in a short time before an instant. */
  private async intervalBefore(s: Selection, ms: number, signal?: AbortSignal): Promise<number> {
    const startMs = Math.max(s.startMs, ms - PROBE_MS),
      names = await this.labelNames([s.selector], startMs, ms, signal),
      { value } = await this.series(
        s.type,
        s.selector,
        startMs,
        ms,
        UNKNOWN_INTERVAL_MS / 1000,
        names,
        PROBE_SERIES,
        signal,
      );
    return observedInterval(value, UNKNOWN_INTERVAL_MS);
  }

  async functions(
    s: Selection,
    baseline: Selection | undefined,
    filter: string,
    order: string,
    ascending: boolean,
    limit: number,
    signal?: AbortSignal,
    names: string[] = [],
  ): Promise<ApiAnswer<FunctionPage>> {
    type Row = { name?: string; self?: string; total?: string; baseSelf?: string; baseTotal?: string };
    const { value: v, partial } = await this.json<{
      functions?: Row[];
      total?: string;
      baseTotal?: string;
      count?: string;
      matching?: string;
    }>(
      "cinderblock.explore.v1.ExploreService/FunctionTable",
      {
        selection: selectionJson(s),
        ...(baseline ? { baseline: selectionJson(baseline) } : {}),
        filter,
        order: `FUNCTION_ORDER_${order.toUpperCase().replace("-", "_")}`,
        ascending,
        limit: String(limit),
        names,
      },
      signal,
    );
    const n = (x: string | undefined): number => Number(x ?? 0);
    return {
      value: {
        rows: (v.functions ?? []).map((f) => ({
          name: f.name ?? "",
          self: n(f.self),
          total: n(f.total),
          baseSelf: n(f.baseSelf),
          baseTotal: n(f.baseTotal),
        })),
        total: n(v.total),
        baseTotal: n(v.baseTotal),
        count: n(v.count),
        matching: n(v.matching),
      },
      partial,
    };
  }

  /** Source location of a function, and values of its lines. */
  async functionLines(s: Selection, fn: string, signal?: AbortSignal): Promise<FunctionFile[]> {
    type File = {
      filename?: string;
      startLine?: string;
      buildId?: string;
      lines?: { line?: string; self?: string; total?: string }[];
    };
    const { value } = await this.json<{ files?: File[] }>(
      "cinderblock.explore.v1.ExploreService/FunctionLines",
      { selection: selectionJson(s), function: fn },
      signal,
    );
    return (value.files ?? []).map((f) => ({
      filename: f.filename ?? "",
      startLine: Number(f.startLine ?? 0),
      buildId: f.buildId ?? "",
      lines: (f.lines ?? []).map((l) => ({
        line: Number(l.line ?? 0),
        self: Number(l.self ?? 0),
        total: Number(l.total ?? 0),
      })),
    }));
  }

  async heatmap(
    s: Selection,
    columns: number,
    rows: number,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<Heatmap>> {
    const { value: v, partial } = await this.json<{
      columns: number;
      rows: number;
      counts?: number[];
      maxValue?: string;
      profiles?: string;
    }>(
      "cinderblock.explore.v1.ExploreService/Heatmap",
      { selection: selectionJson(s), columns, rows },
      signal,
    );
    return {
      value: {
        columns: v.columns,
        rows: v.rows,
        counts: v.counts ?? [],
        maxValue: Number(v.maxValue ?? 0),
        profiles: Number(v.profiles ?? 0),
      },
      partial,
    };
  }

  /** Single profiles with a value in (min, max], sorted by descending value. */
  async profiles(
    s: Selection,
    min: number,
    max: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<{ rows: SingleProfile[]; count: number; total: number }> {
    const { value: v } = await this.json<{
      profiles?: { profileId: string; timestamp: string; value?: string; labels?: string[] }[];
      count?: string;
      total?: string;
    }>(
      "cinderblock.explore.v1.ExploreService/Profiles",
      { selection: selectionJson(s), minValue: String(min), maxValue: String(max), limit },
      signal,
    );
    return {
      rows: (v.profiles ?? []).map((p) => ({
        id: p.profileId,
        ms: Number(p.timestamp),
        value: Number(p.value ?? 0),
        labels: p.labels ?? [],
      })),
      count: Number(v.count ?? 0),
      total: Number(v.total ?? 0),
    };
  }

  /** The settings of short links, the oldest first. */
  private async shortLinks(signal?: AbortSignal): Promise<{ name: string; value: string }[]> {
    const { value } = await this.json<{ settings?: { name: string; value?: string; modifiedAt?: string }[] }>(
      "settings.v1.SettingsService/Get",
      {},
      signal,
    );
    return (value.settings ?? [])
      .filter((s) => s.name.startsWith(SHORT_LINK_PREFIX))
      .sort((a, b) => Number(a.modifiedAt ?? 0) - Number(b.modifiedAt ?? 0))
      .map((s) => ({ name: s.name, value: s.value ?? "" }));
  }

  /** The stored address of a short link; undefined if the link does not exist. */
  async shortLink(id: string, signal?: AbortSignal): Promise<string | undefined> {
    return (await this.shortLinks(signal)).find((s) => s.name === SHORT_LINK_PREFIX + id)?.value;
  }

  /**
   * Stores a text for a short link, and deletes the oldest links above the limit.
   * @returns the link's id: an existing link's id if the text is already stored
   */
  async storeShortLink(text: string, fresh: string): Promise<string> {
    const all = await this.shortLinks(),
      same = all.find((s) => s.value === text);
    if (same) return same.name.slice(SHORT_LINK_PREFIX.length);
    for (const old of all.slice(0, Math.max(0, all.length - MAX_SHORT_LINKS + 1)))
      await this.json("settings.v1.SettingsService/Delete", { name: old.name });
    await this.json("settings.v1.SettingsService/Set", {
      setting: { name: SHORT_LINK_PREFIX + fresh, value: text },
    });
    return fresh;
  }

  /** Uploaded files, the newest first. */
  async files(signal?: AbortSignal): Promise<FileInfo[]> {
    const { value } = await this.json<{ profiles?: { id: string; name: string; uploadedAt: string }[] }>(
      "adhocprofiles.v1.AdHocProfileService/List",
      {},
      signal,
    );
    return (value.profiles ?? []).map((f) => ({
      id: f.id,
      name: f.name,
      uploadedAtMs: Number(f.uploadedAt),
    }));
  }

  /** @param profile content of the file in base64 */
  async upload(name: string, profile: string): Promise<string> {
    return (await this.json<{ id: string }>("adhocprofiles.v1.AdHocProfileService/Upload", { name, profile }))
      .value.id;
  }

  /** Flamebearer of one file, or of the difference of two. */
  async drawFiles(
    ids: readonly string[],
    type: string,
    maxNodes: number,
    signal?: AbortSignal,
  ): Promise<DrawnFiles> {
    const more = { maxNodes: String(maxNodes), ...(type !== "" ? { profileType: type } : {}) };
    const { value } = await this.json<{ name?: string; profileTypes?: string[]; flamebearerProfile: string }>(
      ids.length > 1
        ? "adhocprofiles.v1.AdHocProfileService/Diff"
        : "adhocprofiles.v1.AdHocProfileService/Get",
      ids.length > 1 ? { leftId: ids[0], rightId: ids[1], ...more } : { id: ids[0], ...more },
      signal,
    );
    const f = JSON.parse(value.flamebearerProfile) as {
      flamebearer: { names: string[]; levels: number[][] };
      metadata: { name: string; units: string; sampleRate: number };
    };
    return {
      types: value.profileTypes ?? [],
      type: f.metadata.name,
      unit: f.metadata.name === "cpu" ? "nanoseconds" : f.metadata.units,
      names: f.flamebearer.names,
      levels: f.flamebearer.levels,
    };
  }

  /**
   * Capabilities of the server; a plain Pyroscope v1 has no explore API, and the UI names the missing
   * features.
   */
  async capabilities(signal?: AbortSignal): Promise<Capabilities> {
    try {
      const { value: c } = await this.json<{
        version?: string;
        maxQueryLengthMs?: string;
        maxNodes?: string;
        multitenancy?: boolean;
        tenants?: string[];
      }>("cinderblock.explore.v1.ExploreService/Capabilities", {}, signal);
      return {
        version: c.version ?? "",
        maxQueryLengthMs: Number(c.maxQueryLengthMs ?? 0),
        maxNodes: Number(c.maxNodes ?? 0),
        multitenancy: c.multitenancy ?? false,
        tenants: c.tenants ?? [],
        explore: true,
      };
    } catch (err) {
      if (err instanceof ApiError && err.status === 404)
        return {
          version: "Pyroscope",
          maxQueryLengthMs: 0,
          maxNodes: 0,
          multitenancy: false,
          tenants: [],
          explore: false,
        };
      throw err;
    }
  }

  /** v1's flame graph: names and levels. */
  async flamegraph(s: Selection, maxNodes: number, signal?: AbortSignal): Promise<ApiAnswer<LevelGraph>> {
    const { value, partial } = await this.json<{ flamegraph?: JsonLevels }>(
      "querier.v1.QuerierService/SelectMergeStacktraces",
      {
        profileTypeID: s.type,
        labelSelector: s.selector,
        start: String(s.startMs),
        end: String(s.endMs),
        maxNodes: String(maxNodes),
      },
      signal,
    );
    return { value: levelsOf(value.flamegraph), partial };
  }

  /** v1's comparison of two flame graphs: the levels have seven numbers a bar, the baseline's first. */
  async diff(
    s: Selection,
    baseline: Selection,
    maxNodes: number,
    signal?: AbortSignal,
  ): Promise<ApiAnswer<LevelGraph & { total: number; baseTotal: number }>> {
    const side = (x: Selection): object => ({
      profileTypeID: x.type,
      labelSelector: x.selector,
      start: String(x.startMs),
      end: String(x.endMs),
      maxNodes: String(maxNodes),
    });
    const { value, partial } = await this.json<{
      flamegraph?: JsonLevels & { leftTicks?: string; rightTicks?: string };
    }>("querier.v1.QuerierService/Diff", { left: side(baseline), right: side(s) }, signal);
    const f = value.flamegraph;
    return {
      value: {
        ...levelsOf(f),
        total: Number(f?.rightTicks ?? 0),
        baseTotal: Number(f?.leftTicks ?? 0),
      },
      partial,
    };
  }
}

function selectionJson(s: Selection): object {
  return {
    profileTypeId: s.type,
    labelSelector: s.selector,
    start: String(s.startMs),
    end: String(s.endMs),
    stacks: s.stacks,
    profileIdSelector: s.profileIds,
  };
}
