import { averageOf, type Figures, isGauge, rateOf } from "@cinderblock/flame";
import type { Timeline } from "../api/types.ts";
import { namedTypes } from "./type-names.ts";

/** Figures of a service in a window, and the change of its rate (its average for gauges). */
export interface ServiceRow extends Figures {
  name: string;
  /** undefined without profiles in the previous window, or without that window */
  change: number | undefined;
  /** values over time, for a small chart */
  line: number[];
  /** profile types in the window */
  types: readonly string[];
}

/**
 * Rows of the services, from time lines of this window and the previous one, grouped by service. Services
 * without profiles of the type, but of other types in the window, have rows without values.
 */
export function serviceRows(
  type: string,
  now: Timeline,
  before: Timeline | undefined,
  points: number,
  types: ReadonlyMap<string, readonly string[]> = new Map(),
): ServiceRow[] {
  const byName = (t: Timeline | undefined): Map<string, Timeline["series"][number]> =>
    new Map((t?.series ?? []).map((s) => [s.labels.service_name ?? "", s]));
  const pace = (x: Figures): number =>
    isGauge(type) ? averageOf(x.total, x) : rateOf(x.total, x.coveredMs / 1000);
  const current = byName(now),
    old = byName(before);
  return [...new Set([...current.keys(), ...old.keys(), ...types.keys()])]
    .map((name): ServiceRow => {
      const s = current.get(name),
        was = old.get(name),
        line = new Array<number>(points).fill(0);
      for (const p of s?.points ?? []) {
        const k = Math.ceil((p.ms - now.startMs) / now.stepMs - 0.05) - 1;
        line[Math.min(points - 1, Math.max(0, k))]! += p.value;
      }
      const figures = {
          total: s?.total ?? 0,
          coveredMs: s?.coveredMs ?? 0,
          intervalMs: s?.intervalMs ?? 0,
        },
        earlier = was ? pace(was) : 0;
      return {
        name,
        ...figures,
        change: earlier > 0 ? pace(figures) / earlier - 1 : undefined,
        line,
        types: types.get(name) ?? [],
      };
    })
    .filter((x) => x.total > 0 || old.has(x.name) || x.types.length > 0);
}

/** Figures of one more family of types: the rows by service. */
export interface ServiceFamily {
  family: string;
  /** heading of its column */
  name: string;
  type: string;
  /** whether the previous period is known */
  compared: boolean;
  rows: ReadonlyMap<string, ServiceRow>;
}

/** Families with a column, and the sample types that stand for them, best first. */
const COLUMNS: readonly (readonly [family: string, samples: readonly string[], name: string])[] = [
  ["CPU", ["cpu"], "CPU"],
  ["Allocations", ["alloc_space", "alloc_in_new_tlab_bytes"], "Allocations"],
  ["Heap", ["inuse_space"], "Heap in use"],
  ["Locks", ["delay"], "Lock wait"],
];

/**
 * The types that stand for the families other than the family of `shown`: of each, the type of most services.
 * A family without services has none.
 */
export function familyTypes(
  types: ReadonlyMap<string, readonly string[]>,
  shown: string,
): { family: string; name: string; type: string }[] {
  const count = new Map<string, number>();
  for (const own of types.values()) for (const t of own) count.set(t, (count.get(t) ?? 0) + 1);
  const own = namedTypes([shown])[0]?.family;
  return COLUMNS.flatMap(([family, samples, name]) => {
    if (family === own) return [];
    const type = [...count.keys()]
      .filter((id) => samples.includes(id.split(":")[1] ?? "") && namedTypes([id])[0]!.family === family)
      .sort((a, b) => count.get(b)! - count.get(a)! || a.localeCompare(b))[0];
    return type === undefined ? [] : [{ family, name, type }];
  });
}

/** Order of the services: "name", "value", "change", or the name of a family. */
export interface ServiceSort {
  key: string;
  ascending: boolean;
}

/** Services in order, pinned ones first. */
export function sortedServices(
  rows: readonly ServiceRow[],
  families: readonly ServiceFamily[],
  { key, ascending }: ServiceSort,
  pins: readonly string[],
): ServiceRow[] {
  const pinned = new Set(pins),
    family = families.find((f) => f.family === key),
    pace = (x: ServiceRow | undefined): number =>
      !x || !family ? 0 : isGauge(family.type) ? averageOf(x.total, x) : rateOf(x.total, x.coveredMs / 1000);
  const figure = (x: ServiceRow): number =>
    family ? pace(family.rows.get(x.name)) : key === "change" ? Math.abs(x.change ?? 0) : x.total;
  return [...rows].sort(
    (a, b) =>
      Number(pinned.has(b.name)) - Number(pinned.has(a.name)) ||
      (ascending ? 1 : -1) * (key === "name" ? a.name.localeCompare(b.name) : figure(a) - figure(b)) ||
      a.name.localeCompare(b.name),
  );
}
