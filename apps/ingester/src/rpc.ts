import { IngesterService } from "@cinderblock/api";
import type { Authorizer, Routes } from "@cinderblock/rpc";
import { checkAccess, tenantForWrite } from "@cinderblock/tenant";
import type { Ingester } from "./ingester.ts";

/**
 * ingester.v1.IngesterService: the methods for operators. `Flush` cuts the heads of every tenant only for a
 * caller with rights on all of them: an administrator's token for all tenants, or any caller without
 * multi-tenancy. Other callers cut the heads of the tenant that they name.
 */
export function ingesterRoutes(
  ingester: Pick<Ingester, "flush">,
  multitenancy: boolean,
  authorizer: Authorizer,
): Routes {
  return {
    connect: (router) =>
      router.service(IngesterService, {
        async flush(_request, { requestHeader }) {
          const tenant = tenantForWrite(requestHeader.get("x-scope-orgid") ?? undefined, multitenancy),
            access = authorizer.accessOf(requestHeader.get("authorization") ?? undefined);
          if (access) checkAccess(access, "admin", [tenant]);
          const everyTenant = !multitenancy || (access !== undefined && access.tenants === undefined);
          await ingester.flush(everyTenant ? undefined : tenant);
          return {};
        },
      }),
  };
}
