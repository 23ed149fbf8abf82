import { Readable } from "node:stream";
import { CinderblockError, invalidError } from "@cinderblock/errors";
import {
  EXPORT_FORMATS,
  type ExportFormat,
  type SampleRows,
  serviceOfSelector,
} from "@cinderblock/exports/formats";
import type { ProfileType } from "@cinderblock/model";
import type { FastifyReply } from "@cinderblock/rpc";
import type { QueryFrontend } from "./frontend.ts";
import type { QueryParams } from "./query-params.ts";
import type { MergeRequest, RequestContext } from "./request.ts";

const FORMATS = Object.keys(EXPORT_FORMATS) as ExportFormat[];

/**
 * GET /pyroscope/export: an answer in another program's file format. Parameters are those of render or
 * render-diff, and `format`.
 */
export async function exportFile(
  frontend: QueryFrontend,
  q: QueryParams,
  caller: RequestContext,
  reply: FastifyReply,
): Promise<void> {
  const format = q.text("format") as ExportFormat,
    known = Object.hasOwn(EXPORT_FORMATS, format) ? EXPORT_FORMATS[format] : undefined;
  if (!known)
    throw invalidError(`format ${JSON.stringify(format)} is unknown; expected one of ${FORMATS.join(", ")}`);
  const rows = (q.text("rows") || "samples") as SampleRows;
  if (!["samples", "profiles"].includes(rows))
    throw invalidError(`rows ${JSON.stringify(rows)} is unknown; expected samples or profiles`);
  const compared = q.text("leftQuery") !== "" || q.text("rightQuery") !== "";
  if (compared && !known.diff)
    throw invalidError(
      `format ${format} does not support comparisons; expected one of ${FORMATS.filter((f) => EXPORT_FORMATS[f].diff).join(", ")}`,
    );
  const side = (name: string, from: string, until: string): { type: ProfileType; request: MergeRequest } => {
    const { type, labelSelector } = q.selection(name);
    return {
      type,
      request: {
        profileTypeId: type.id,
        labelSelector,
        startMs: q.time(from),
        endMs: q.time(until),
        maxNodes: 0,
        spans: q.all("span"),
        traces: q.all("trace"),
        stacks: undefined,
      },
    };
  };
  const { type, request } = compared
    ? side("rightQuery", "rightFrom", "rightUntil")
    : side("query", "from", "until");
  const left = compared ? side("leftQuery", "leftFrom", "leftUntil") : undefined;
  if (left && left.type.storedId !== type.storedId) throw invalidError("profile types must match");
  const service = serviceOfSelector(request.labelSelector);
  const name =
    `${service || type.name}-${type.sampleType}-${new Date(request.endMs).toISOString().slice(0, 19).replace(/[:T]/g, "")}`.replace(
      /[^\w.-]+/g,
      "_",
    );
  const send = async (body: Uint8Array | Readable): Promise<void> => {
    await reply
      .headers({
        "content-type": known.type,
        "content-disposition": `attachment; filename="${name}.${known.extension}"`,
        "x-content-type-options": "nosniff",
        ...(format === "html" || format === "svg"
          ? {
              "content-security-policy":
                "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'",
            }
          : {}),
      })
      .send(body);
  };
  switch (format) {
    case "pprof":
      await send((await frontend.profiles.pprof(caller, request)) ?? new Uint8Array(0));
      return;
    case "otlp":
      await send((await frontend.exports.otlp(caller, request, service)) ?? new Uint8Array(0));
      return;
    case "parquet":
      await send(await frontend.exports.parquet(caller, request, rows));
      return;
    case "arrow": {
      // Wait for the first piece before the status, so that the status reports errors of the query. Data
      // found missing later cannot be reported: the stream then stops without its end marker, which every
      // reader takes for damage.
      let begun = false,
        partial = false;
      const warn = (reason: string): void => {
        if (!begun) {
          partial = true;
          caller.warn(reason);
        } else if (!partial) throw new CinderblockError("unavailable", `the export is incomplete: ${reason}`);
      };
      const pieces = frontend.exports.samples({ ...caller, warn }, request, rows),
        first = await pieces.next();
      begun = true;
      await send(
        Readable.from(
          (async function* () {
            if (first.done !== true) yield first.value;
            yield* pieces;
          })(),
        ),
      );
      return;
    }
    default:
      await send(await frontend.exports.tree(caller, request, left?.request, format, name));
  }
}
