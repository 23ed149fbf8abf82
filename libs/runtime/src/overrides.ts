import { readFile } from "node:fs/promises";
import {
  type ForeignOption,
  formatValue,
  isDefault,
  nearestName,
  type Option,
  parseValue,
  parseYaml,
  type Schema,
  stringifyYaml,
} from "@cinderblock/config";
import { CinderblockError } from "@cinderblock/errors";
import { html, type Routes, sendPage, table, wantsJson } from "@cinderblock/rpc";
import { periodic, type Service } from "@cinderblock/service";
import type { Base } from "@cinderblock/telemetry";
import type { Limits, TenantLimits } from "@cinderblock/tenant";
import { type CommonConfig, commonSchema, limitsOf } from "./config.ts";
import { knownNames } from "./v1/known.ts";

/** YAML key below `limits` -> the option that it sets for all tenants. */
const LIMITS = new Map<string, { key: string; option: Option<unknown> }>(
  Object.entries(commonSchema as Schema).flatMap(([key, option]) =>
    option.yaml.startsWith("limits.") ? [[option.yaml.slice(7), { key, option }] as const] : [],
  ),
);
/** Limits of Pyroscope v1 that are not limits here, by YAML key below `limits`. */
const FOREIGN = new Map<string, ForeignOption>(
  knownNames.foreign.flatMap((option) =>
    option.yaml.startsWith("limits.") ? [[option.yaml.slice(7), option] as const] : [],
  ),
);
/** Sections below `limits`: their keys are limits with a dot. */
const SECTIONS = new Set(
  [...FOREIGN.keys()].flatMap((key) => (key.includes(".") ? [key.split(".")[0]!] : [])),
);

/** Overrides of the runtime files by tenant: option values by their configuration key. */
export interface ParsedOverrides {
  tenants: Map<string, Record<string, unknown>>;
  withoutEffect: string[];
}

/**
 * Parses the documents of the runtime files; later ones win.
 * @throws `invalid` for an unknown key or a wrong value: then no document applies
 */
export function parseOverrides(texts: readonly { name: string; text: string }[]): ParsedOverrides {
  const tenants = new Map<string, Record<string, unknown>>(),
    withoutEffect = new Set<string>();
  for (const { name, text } of texts) {
    const document = parseYaml(text, name);
    if (document === null || document === undefined) continue;
    const top = mapping(document, name);
    for (const key of Object.keys(top))
      if (key !== "overrides")
        throw new CinderblockError("invalid", `${name}: unknown key ${key}; put tenants below overrides`);
    for (const [tenant, entry] of Object.entries(mapping(top.overrides ?? {}, `${name}: overrides`))) {
      const values = tenants.get(tenant) ?? {};
      for (const [key, raw] of Object.entries(mapping(entry ?? {}, `${name}: overrides.${tenant}`))) {
        const where = `${name}: overrides.${tenant}.${key}`;
        if (SECTIONS.has(key))
          for (const [part, value] of Object.entries(mapping(raw ?? {}, where)))
            apply(values, `${key}.${part}`, value, `${where}.${part}`, withoutEffect);
        else apply(values, key, raw, where, withoutEffect);
      }
      tenants.set(tenant, values);
    }
  }
  return { tenants, withoutEffect: [...withoutEffect] };
}

/** Applies one limit to a tenant's values. @throws `invalid` for a limit that cannot be ignored or is unknown */
function apply(
  values: Record<string, unknown>,
  key: string,
  raw: unknown,
  where: string,
  withoutEffect: Set<string>,
): void {
  const known = LIMITS.get(key);
  if (known) {
    values[known.key] = parseValue(known.option, raw, where);
    if (known.option === commonSchema.writePath && values[known.key] !== "ingester")
      throw new CinderblockError("invalid", `${where}: Cinderblock supports only ingester`);
    return;
  }
  const foreign = FOREIGN.get(key);
  if (!foreign) {
    const near = nearestName(key, LIMITS.keys(), FOREIGN.keys());
    throw new CinderblockError(
      "invalid",
      `${where}: unknown limit${near === undefined ? "" : `; did you mean ${near}?`}`,
    );
  }
  if (isDefault(foreign, raw, where)) return;
  const { outcome } = foreign;
  if (outcome.is === "mapped" || outcome.is === "refused")
    throw new CinderblockError(
      "invalid",
      `${where} is not supported: ${outcome.is === "refused" ? outcome.why : `set -${outcome.to} for all tenants`}`,
    );
  withoutEffect.add(key);
}

function mapping(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new CinderblockError("invalid", `${where}: expected keys and values`);
  return value as Record<string, unknown>;
}

/** Tenants' limits from `-runtime-config.file`, reloaded periodically. An unusable file changes nothing. */
export class RuntimeOverrides implements Service {
  readonly name = "runtime-config";
  private readonly loop;
  private last = "";
  private values = new Map<string, Record<string, unknown>>();
  private readonly config: CommonConfig;
  private readonly limits: TenantLimits;
  private readonly base: Base;

  constructor(config: CommonConfig, limits: TenantLimits, base: Base) {
    this.config = config;
    this.limits = limits;
    this.base = base;
    this.loop = periodic(
      { name: "runtime-config", everyMs: Math.max(1000, config.runtimeReload), deadlineMs: 60_000 },
      () => this.reload(),
      base,
    );
  }

  /** The first load must succeed, so that configured limits are never silently missing. */
  async start(): Promise<void> {
    if (this.config.runtimeFile === "") return;
    await this.load();
    this.loop.start();
  }
  stop(): Promise<void> {
    return this.loop.stop(0).then(() => undefined);
  }

  private async reload(): Promise<void> {
    try {
      await this.load();
    } catch (err) {
      this.good().set(0);
      this.base.log.error({ err }, "runtime configuration is invalid, keeping the previous one");
    }
  }

  private good(): { set(value: number): void } {
    return this.base.metrics.gauge(
      "pyroscope_runtime_config_last_reload_successful",
      "1 if the last reload of the runtime configuration succeeded.",
    );
  }

  private async load(): Promise<void> {
    const texts = await Promise.all(
      this.config.runtimeFile
        .split(",")
        .map((f) => f.trim())
        .filter((f) => f !== "")
        .map(async (name) => ({ name, text: await this.text(name) })),
    );
    const all = JSON.stringify(texts);
    if (all === this.last) {
      this.good().set(1);
      return;
    }
    const { tenants, withoutEffect } = parseOverrides(texts);
    this.values = tenants;
    this.limits.replace(
      new Map(
        [...tenants].map(([tenant, values]): [string, Limits] => [
          tenant,
          limitsOf({ ...this.config, ...values }),
        ]),
      ),
    );
    this.good().set(1);
    if (this.last !== "" || tenants.size > 0)
      this.base.log.info({ tenants: tenants.size }, "runtime configuration loaded");
    for (const key of withoutEffect)
      this.base.log.warn({ key }, "limit of Pyroscope v1 in the runtime configuration has no effect");
    this.last = all;
  }

  private async text(name: string): Promise<string> {
    if (!/^https?:\/\//.test(name)) return readFile(name, "utf8");
    const r = await fetch(name, { signal: AbortSignal.timeout(30_000) });
    if (!r.ok) throw new CinderblockError("unavailable", `${name}: status ${r.status}`);
    return r.text();
  }

  /** Limits of a tenant by YAML key, named as in v1's overrides-exporter. */
  private rendered(values: Record<string, unknown>, onlyChanged: boolean): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    for (const [yaml, { key, option }] of LIMITS) {
      const initial = this.config[key as keyof CommonConfig],
        value = key in values ? values[key] : initial;
      if (onlyChanged && value === initial) continue;
      out[yaml] = option.kind === "duration" ? formatValue(option, value) : value;
    }
    return out;
  }

  /** Numeric limits: the defaults, and the tenants' overrides; durations in nanoseconds. */
  numericLimits(): { defaults: Map<string, number>; tenants: Map<string, Map<string, number>> } {
    const of = (values: Record<string, unknown>): Map<string, number> =>
      new Map(
        [...LIMITS].flatMap(([yaml, { key, option }]) => {
          const value = key in values ? values[key] : this.config[key as keyof CommonConfig];
          return typeof value === "number" ? [[yaml, option.kind === "duration" ? value * 1e6 : value]] : [];
        }),
      );
    return { defaults: of({}), tenants: new Map([...this.values].map(([t, v]) => [t, of(v)])) };
  }

  /** `/tenant-limits` for people; `/runtime_config` as in v1, if there is a file. */
  routes(): Routes {
    return {
      http: (app) => {
        app.get("/tenant-limits", async (request, reply) => {
          const tenants = [...this.values].map(([tenant, v]) => ({ tenant, limits: this.rendered(v, true) }));
          if (wantsJson(request)) {
            await reply
              .type("application/json")
              .send(JSON.stringify({ defaults: this.rendered({}, false), tenants }));
            return;
          }
          const defaults = this.rendered({}, false),
            shown = (value: unknown): string =>
              typeof value === "object" ? JSON.stringify(value) : String(value);
          const differing = tenants.flatMap(({ tenant, limits }) =>
            Object.entries(limits).map(([key, value], i) => [
              i === 0 ? tenant : "",
              key,
              shown(value),
              shown(defaults[key]),
            ]),
          );
          await sendPage(
            request,
            reply,
            "Tenants and limits",
            html`${this.config.runtimeFile === "<p>No tenant has overrides: <code>-runtime-config.file</code> is not set.</p>" ? html`<p>No tenant has limits of its own: no file of them is set (<code>-runtime-config.file</code>).</p>` : differing.length === 0 ? html`<p>No tenant's limits differ from the defaults. They come from <code>${this.config.runtimeFile}</code>.</p>` : table(["Tenant", "Limit", "Value", "Instead of"], differing)}<h2>Defaults</h2>${table(
              ["Limit", "Value"],
              Object.entries(defaults).map(([k, v]) => [k, shown(v)]),
            )}`,
          );
        });
        if (this.config.runtimeFile === "") return;
        app.get("/runtime_config", async (request, reply) => {
          const changed = (request.query as Record<string, string>).mode === "diff";
          const overrides = Object.fromEntries(
            [...this.values].map(([tenant, v]) => [tenant, this.rendered(v, changed)]),
          );
          await reply.type("text/plain; charset=utf-8").send(stringifyYaml({ overrides }));
        });
      },
    };
  }
}
