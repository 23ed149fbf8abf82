import { CinderblockError } from "@cinderblock/errors";
import { SelfProfiler } from "@cinderblock/self-profiling";
import type { Service } from "@cinderblock/service";
import { DEFAULT_TENANT } from "@cinderblock/tenant";
import type { CommonConfig } from "./config.ts";
import type { Resources } from "./resources.ts";

/** Accepts a push.v1.PushRequest in JSON for a tenant. */
export type ProfilePush = (tenant: string, body: Uint8Array) => Promise<void>;

/**
 * Pushes this process's own profiles if that is enabled.
 * @param into accepts pushes in this process; absent: the process accepts none, and as in v1 pushes only to a
 * configured URL
 */
export function selfProfiling(
  config: CommonConfig,
  resources: Resources,
  component: string,
  instance: string,
  into?: ProfilePush,
): Service[] {
  if (config.selfDisablePush) return [];
  const { selfUrl, selfTenant, selfToken } = config;
  if (selfUrl === "" && !into) {
    resources.base.log.warn(
      "-self-profiling.disable-push=false has no effect without a destination: set -self-profiling.url to a distributor or a gateway",
    );
    return [];
  }
  const send =
    selfUrl === ""
      ? (body: Uint8Array) => into!(selfTenant === "" ? DEFAULT_TENANT : selfTenant, body)
      : async (body: Uint8Array) => {
          const r = await fetch(`${selfUrl.replace(/\/+$/, "")}/push.v1.PusherService/Push`, {
            method: "POST",
            body,
            signal: AbortSignal.timeout(10_000),
            headers: {
              "content-type": "application/json",
              ...(selfTenant === "" ? {} : { "x-scope-orgid": selfTenant }),
              ...(selfToken === "" ? {} : { authorization: `Bearer ${selfToken}` }),
            },
          });
          const text = await r.text();
          if (!r.ok)
            throw new CinderblockError(
              "unavailable",
              `${selfUrl} (-self-profiling.url) refused the profiles: status ${r.status} ${text.slice(0, 200)}`,
            );
        };
  return [
    new SelfProfiler(
      {
        intervalMs: config.selfInterval,
        labels: { service_name: "cinderblock", component, instance, version: resources.build.version },
        send,
      },
      resources.base,
    ),
  ];
}
