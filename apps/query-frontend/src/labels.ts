import { compareUtf8 } from "@cinderblock/bytes";
import { invalidError } from "@cinderblock/errors";
import {
  type Label,
  LABEL_PROFILE_TYPE,
  labelsKey,
  parseProfileType,
  type ProfileType,
} from "@cinderblock/model";
import type { LabelRequest } from "@cinderblock/query";
import { labelRange } from "./limits.ts";
import type { QueryRunner } from "./query-runner.ts";
import type { LabelQuery, RequestContext } from "./request.ts";

/** Names, values and sets of the labels of stored series. */
export class Labels {
  private readonly runner: QueryRunner;

  constructor(runner: QueryRunner) {
    this.runner = runner;
  }

  /** Label names in byte order. @param utf8 false: only names of letters, digits and underscores */
  async names(caller: RequestContext, query: LabelQuery, utf8: boolean): Promise<string[]> {
    const { names } = await this.request(caller, query, (q) => ({ kind: "names", query: q }));
    return sortedNames(utf8 ? names : names.filter(isLegacyName));
  }

  /** Values of a label in byte order. */
  async values(caller: RequestContext, name: string, query: LabelQuery): Promise<string[]> {
    if (name === "") throw invalidError("name is required");
    return sortedNames(
      (await this.request(caller, query, (q) => ({ kind: "values", name, query: q }))).names,
    );
  }

  /** Distinct label sets of series. @param names labels of the sets; empty: all */
  async sets(caller: RequestContext, query: LabelQuery, names: string[], utf8: boolean): Promise<Label[][]> {
    const wanted = utf8 ? names : names.filter(isLegacyName);
    const { sets } = await this.request(caller, query, (q) => ({ kind: "series", names: wanted, query: q }));
    const out = new Map<string, Label[]>();
    for (const s of sets) {
      const shown = utf8 ? s : s.filter((l) => isLegacyName(l.name));
      if (shown.length > 0) out.set(labelsKey(shown), shown);
    }
    return [...out.values()];
  }

  /** Profile types in byte order of their IDs. */
  async profileTypes(caller: RequestContext, startMs: number, endMs: number): Promise<ProfileType[]> {
    const { names } = await this.request(caller, { matchers: [], startMs, endMs }, (q) => ({
      kind: "values",
      name: LABEL_PROFILE_TYPE,
      query: q,
    }));
    return sortedNames(names).map(parseProfileType);
  }

  /** Values of a label that start with `prefix`, those with the most series first. */
  async counts(
    caller: RequestContext,
    query: LabelQuery,
    { name, prefix, limit }: { name: string; prefix: string; limit: number },
  ): Promise<{ values: { value: string; series: number }[]; cardinality: number }> {
    if (name === "") throw invalidError("name is required");
    const { sets } = await this.request(caller, query, (q) => ({ kind: "series", names: [], query: q }));
    const counts = new Map<string, number>();
    for (const labels of new Map(sets.map((s) => [labelsKey(s), s])).values()) {
      const value = labels.find((l) => l.name === name)?.value;
      if (value !== undefined && value.startsWith(prefix)) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
    const values = [...counts]
      .map(([value, series]) => ({ value, series }))
      .sort((a, b) => b.series - a.series || compareUtf8(a.value, b.value));
    return { values: limit > 0 ? values.slice(0, limit) : values, cardinality: values.length };
  }

  private async request(
    caller: RequestContext,
    { matchers, startMs, endMs }: LabelQuery,
    toRequest: (query: LabelQuery) => LabelRequest,
  ): Promise<{ names: string[]; sets: Label[][] }> {
    const range = labelRange(startMs, endMs, this.runner.limits(caller), this.runner.now());
    if (!range) return { names: [], sets: [] };
    const results = await this.runner.results(caller, {
      kind: "labels",
      ask: toRequest({ matchers, ...range }),
    });
    return {
      names: results.flatMap((r) => (r.kind === "labels" ? r.answer.names : [])),
      sets: results.flatMap((r) => (r.kind === "labels" ? r.answer.sets : [])),
    };
  }
}

/** Distinct names in byte order. */
export function sortedNames(names: readonly string[]): string[] {
  return [...new Set(names)].sort(compareUtf8);
}

function isLegacyName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}
