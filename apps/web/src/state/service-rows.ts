import { averageOf, type Figures, isGauge, rateOf } from "@cinderblock/flame";
import type { Timeline } from "../api/types.ts";

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
