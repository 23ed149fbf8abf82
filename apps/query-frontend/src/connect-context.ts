import type { HandlerContext } from "@cinderblock/rpc";
import type { SourceCode } from "@cinderblock/source-code";
import { tenantsForRead } from "@cinderblock/tenant";
import type { RequestContext } from "./request.ts";

/** Settings of the read API's Connect services. */
export interface ReadRpcConfig {
  multitenancy: boolean;
  queryTimeoutMs: number;
  version: string;
  /** the source-code integration; undefined: not configured */
  sources: SourceCode | undefined;
}

/** The caller of a query, from the headers of its call. */
export function requestContextOf(context: HandlerContext, config: ReadRpcConfig): RequestContext {
  const left = context.timeoutMs();
  return {
    tenants: tenantsForRead(context.requestHeader.get("x-scope-orgid") ?? undefined, config.multitenancy),
    deadlineMs: Date.now() + Math.min(left ?? config.queryTimeoutMs, config.queryTimeoutMs),
    signal: context.signal,
    strong: context.requestHeader.get("x-read-consistency") === "strong",
    warn: (reason) => {
      context.responseHeader.append("x-cinderblock-partial", reason);
    },
  };
}

/** Whether a call asks for JSON. */
export function isJson(context: HandlerContext): boolean {
  return (context.requestHeader.get("content-type") ?? "").includes("json");
}
