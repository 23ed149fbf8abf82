import { IngesterService } from "@cinderblock/api";
import type { Routes } from "@cinderblock/rpc";
import { tenantForWrite } from "@cinderblock/tenant";
import type { Ingester } from "./ingester.ts";

/** ingester.v1.IngesterService: what operators call. */
export function ingesterRoutes(ingester: Ingester, multitenancy: boolean): Routes {
  return {
    connect: (router) =>
      router.service(IngesterService, {
        async flush(_request, context) {
          tenantForWrite(context.requestHeader.get("x-scope-orgid") ?? undefined, multitenancy);
          await ingester.flush();
          return {};
        },
      }),
  };
}
