import { CinderblockError, invalidError } from "@cinderblock/errors";
import { parseTime } from "@cinderblock/ingest";
import {
  LABEL_NAME,
  parseProfileType,
  parseSelector,
  type PatternBudget,
  type ProfileType,
  selectorText,
} from "@cinderblock/model";

/** Query parameters of the legacy routes, in v1's syntax. */
export class QueryParams {
  private readonly params: URLSearchParams;
  private readonly nowMs: number;
  private readonly patterns: PatternBudget;
  constructor(params: URLSearchParams, nowMs: number, patterns: PatternBudget) {
    this.params = params;
    this.nowMs = nowMs;
    this.patterns = patterns;
  }
  text(name: string): string {
    return this.params.get(name) ?? "";
  }
  all(name: string): string[] {
    return this.params.getAll(name);
  }
  time(name: string): number {
    return Math.floor(parseTime(this.text(name), this.nowMs));
  }
  maxNodes(): number {
    const raw = this.params.get("maxNodes") ?? this.params.get("max-nodes") ?? "";
    return /^[+-]?\d+$/.test(raw) ? Number(raw) : 0;
  }

  /** Parses `type{selector}`: the metric name is the profile type. */
  selection(name: string): { type: ProfileType; labelSelector: string } {
    const text = this.text(name);
    if (text === "") throw invalidError(`"${name}" is required`);
    let selector;
    try {
      selector = parseSelector(text, this.patterns);
    } catch (err) {
      throw err instanceof CinderblockError
        ? new CinderblockError("invalid", `failed to parse "${name}": ${err.message}`, { cause: err })
        : err;
    }
    const type = selector.find((m) => m.name === LABEL_NAME && m.op === "=");
    if (!type) throw invalidError(`"${name}" must contain a profile-type selection`);
    try {
      return {
        type: parseProfileType(type.value),
        labelSelector: selectorText(selector.filter((m) => m !== type)),
      };
    } catch (err) {
      throw new CinderblockError("invalid", `failed to parse "${name}"`, { cause: err });
    }
  }
}
