import { parseDuration } from "@cinderblock/config";
import { invalidError } from "@cinderblock/errors";
import { parseSelector } from "@cinderblock/model";

/** Retention of the profiles that a selector matches: they are kept for `periodMs`. */
export interface RetentionRule {
  selector: string;
  periodMs: number;
}

/**
 * Parses rules in configuration form: a list of `selector` and `period`.
 * @param where name of the rules in errors
 * @throws `invalid`
 */
export function parseRetentionRules(value: unknown, where: string): RetentionRule[] {
  if (value === null || value === undefined || value === "") return [];
  if (!Array.isArray(value)) throw invalidError(`${where}: expected a list of rules`);
  return value.map((raw: unknown, i) => {
    const at = `${where}: rule ${i + 1}`;
    if (typeof raw !== "object" || raw === null || Array.isArray(raw))
      throw invalidError(`${at}: expected selector and period`);
    const { selector, period, ...others } = raw as Record<string, unknown>;
    for (const key of Object.keys(others)) throw invalidError(`${at}: unknown key ${key}`);
    if (typeof selector !== "string" || typeof period !== "string")
      throw invalidError(`${at}: expected selector and period as strings`);
    const periodMs = parseDuration(period);
    if (parseSelector(selector).length === 0)
      throw invalidError(
        `${at}: the selector needs a matcher; for all series, use compactor_blocks_retention_period`,
      );
    if (!(periodMs > 0)) throw invalidError(`${at}: expected a period above 0`);
    return { selector, periodMs };
  });
}
