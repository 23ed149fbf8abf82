import { SettingsService } from "@cinderblock/api";
import { invalidError } from "@cinderblock/errors";
import type { HandlerContext, Routes } from "@cinderblock/rpc";
import { tenantForWrite } from "@cinderblock/tenant";
import type { TenantSettings } from "./settings.ts";

/** Routes of the Connect service settings.v1.SettingsService. */
export function settingsRpc(settings: TenantSettings, multitenancy: boolean): Routes {
  const tenant = (context: HandlerContext): string =>
    tenantForWrite(context.requestHeader.get("x-scope-orgid") ?? undefined, multitenancy);
  return {
    connect: (router) => {
      router.service(SettingsService, {
        async get(_r, context) {
          return {
            settings: (await settings.list(tenant(context))).map((s) => ({
              ...s,
              modifiedAt: BigInt(s.modifiedAt),
            })),
          };
        },
        async set(r, context) {
          if (!r.setting) throw invalidError("no setting values provided");
          const s = await settings.set(tenant(context), {
            name: r.setting.name,
            value: r.setting.value,
            modifiedAt: Number(r.setting.modifiedAt),
          });
          return { setting: { ...s, modifiedAt: BigInt(s.modifiedAt) } };
        },
        async delete(r, context) {
          if (r.name === "") throw invalidError("no setting name provided");
          await settings.delete(tenant(context), r.name);
          return {};
        },
      });
    },
  };
}
