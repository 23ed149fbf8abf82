import { type Label, LABEL_DELTA, LABEL_SERVICE_NAME, LABEL_SPY } from "@cinderblock/model";
import { isGzip } from "@cinderblock/pprof";
import type { IngestLimits } from "@cinderblock/tenant";
import { inflateBody } from "../envelope.ts";
import type { IngestRequest } from "../ingest-request.ts";
import type { PushContext } from "../push-context.ts";
import type { StackBounds } from "../stack-builder.ts";

/** Whether a request has a tag with this name. */
export const hasTag = (request: IngestRequest, name: string): boolean =>
  request.tags.some((t) => t.name === name);

/** Labels of every series of /ingest. */
export function commonLabels(request: IngestRequest): Label[] {
  return [
    { name: LABEL_DELTA, value: "false" },
    { name: LABEL_SPY, value: request.spyName },
  ];
}

/**
 * Labels from the application's name, without the type of a text. A tag `service_name` names the service, also
 * an empty one, which is refused; the application is then the label `app_name`, unless a tag has this name.
 */
export function serviceLabels(request: IngestRequest, service: string): Label[] {
  if (!hasTag(request, LABEL_SERVICE_NAME)) return [{ name: LABEL_SERVICE_NAME, value: service }];
  return hasTag(request, "app_name") ? [] : [{ name: "app_name", value: service }];
}

/** Body of a text format: no text begins as gzip does, so a gzipped one is inflated whether it is declared or not. */
export function plainText(body: Uint8Array, limits: IngestLimits): Uint8Array {
  return isGzip(body) ? inflateBody(body, limits.ingestionBodyLimitBytes) : body;
}

/** Bounds of a profile that is built from text. */
export function boundsOf({ limits, frames }: PushContext): StackBounds {
  return {
    maxSamples: limits.maxProfileStacktraceSamples,
    maxBytes: limits.maxProfileSizeBytes,
    frames,
  };
}
