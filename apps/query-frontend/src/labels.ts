import type { LabelSets } from "@cinderblock/block";
import { compareUtf8, sortUtf8 } from "@cinderblock/bytes";
import { invalidError } from "@cinderblock/errors";
import { isProfileType, LABEL_PROFILE_TYPE, parseProfileType, type ProfileType } from "@cinderblock/model";
import {
  countValues,
  distinctSets,
  joinLabelAnswers,
  type LabelAnswer,
  type LabelRequest,
} from "@cinderblock/query";
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
  async labelSets(
    caller: RequestContext,
    query: LabelQuery,
    names: string[],
    utf8: boolean,
  ): Promise<LabelSets> {
    const wanted = utf8 ? names : names.filter(isLegacyName),
      answer = await this.request(caller, query, (q) => ({ kind: "series", names: wanted, query: q }));
    return distinctSets(answer, utf8 ? undefined : isLegacyName);
  }

  /** Profile types in byte order of their IDs. */
  async profileTypes(caller: RequestContext, startMs: number, endMs: number): Promise<ProfileType[]> {
    const { names } = await this.request(caller, { matchers: [], startMs, endMs }, (q) => ({
      kind: "values",
      name: LABEL_PROFILE_TYPE,
      query: q,
    }));
    return sortedNames(names.filter(isProfileType)).map(parseProfileType);
  }

  /** Values of a label that start with `prefix`, those with the most series first. */
  async valueCounts(
    caller: RequestContext,
    query: LabelQuery,
    { name, prefix, limit }: { name: string; prefix: string; limit: number },
  ): Promise<{ values: { value: string; series: number }[]; cardinality: number }> {
    if (name === "") throw invalidError("name is required");
    const answer = await this.request(caller, query, (q) => ({ kind: "series", names: [], query: q }));
    const values = [...countValues(distinctSets(answer), name)]
      .filter(([value]) => value.startsWith(prefix))
      .map(([value, series]) => ({ value, series }))
      .sort((a, b) => b.series - a.series || compareUtf8(a.value, b.value));
    return { values: limit > 0 ? values.slice(0, limit) : values, cardinality: values.length };
  }

  private async request(
    caller: RequestContext,
    { matchers, startMs, endMs }: LabelQuery,
    toRequest: (query: LabelQuery) => LabelRequest,
  ): Promise<LabelAnswer> {
    const range = labelRange(startMs, endMs, this.runner.limits(caller), this.runner.now());
    if (!range) return { names: [], sets: [] };
    const results = await this.runner.resultsPerTenant(caller, {
      kind: "labels",
      ask: toRequest({ matchers, ...range }),
      columns: true,
    });
    return joinLabelAnswers(results.flatMap((r) => (r.kind === "labels" ? [r.answer] : [])));
  }
}

/** Distinct names in byte order. */
export function sortedNames(names: readonly string[]): string[] {
  return sortUtf8([...new Set(names)]);
}

function isLegacyName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
}
