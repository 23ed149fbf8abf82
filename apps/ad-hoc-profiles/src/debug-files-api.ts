import { Semaphore } from "@cinderblock/async";
import { CinderblockError, invalidError, kindOf } from "@cinderblock/errors";
import { acceptRawBodies, BodyBudget, httpError, type Routes } from "@cinderblock/rpc";
import { DebugFiles, threadConverter, type SymbolizerData } from "@cinderblock/symbolizer";
import type { Bucket } from "@cinderblock/objstore";
import type { Base } from "@cinderblock/telemetry";
import { tenantForWrite } from "@cinderblock/tenant";

const BUILD_ID = /^[0-9A-Za-z_/-]{4,200}$/;

/** POST, GET and DELETE /pyroscope/debug-files. Without `symbols`, debug files are not configured. */
export function debugFilesApi(
  symbols: SymbolizerData | undefined,
  bucket: Bucket,
  multitenancy: boolean,
  base: Base,
): Routes {
  const files = symbols && new DebugFiles(bucket, threadConverter(symbols.config.script)),
    limit = symbols?.config.maxFileBytes ?? 1 << 20;
  const configured = (): DebugFiles => {
    if (!files)
      throw new CinderblockError(
        "unimplemented",
        "debug files are not enabled: set -symbolizer.enabled on this component and on all components that read profiles",
      );
    return files;
  };
  const idOf = (text: string): string => {
    if (!BUILD_ID.test(text))
      throw invalidError(
        `build ID ${JSON.stringify(text)} is invalid: expected 4 to 200 letters, digits, _ or -`,
      );
    return text;
  };
  return {
    http: (app) => {
      void app.register((scope, _options, done) => {
        // Accept any body type; the configured limit replaces the limit of pushes. A body reserves only its
        // received bytes, so that an endless upload does not block others.
        acceptRawBodies(scope, {
          limitBytes: limit,
          budget: new BodyBudget(limit, base.metrics, "debug-files", "-symbolizer.max-file-bytes"),
          asReceived: true,
        });
        scope.setErrorHandler(async (err, request, reply) => {
          const { status, body } = httpError(
            request.raw,
            kindOf(err) === "too-large"
              ? new CinderblockError(
                  "too-large",
                  `the debug file is larger than ${limit} bytes, the limit (-symbolizer.max-file-bytes)`,
                )
              : err,
          );
          await reply.code(status).type("application/json").send(body);
        });
        // Reading a file takes several times its size in memory: process one at a time.
        const one = new Semaphore(1);
        scope.post<{ Querystring: { "build-id"?: string } }>(
          "/pyroscope/debug-files",
          async (request, reply) => {
            const own = configured(),
              tenant = tenantForWrite(request.headers["x-scope-orgid"] as string | undefined, multitenancy),
              { body } = request,
              asked = request.query["build-id"] ?? "";
            if (!(body instanceof Uint8Array) || body.length === 0)
              throw invalidError("the body is empty: send the ELF file as the request body");
            const id = asked === "" ? "" : idOf(asked),
              gone = new AbortController();
            reply.raw.once("close", () => gone.abort());
            request.bodyTicket?.retain();
            try {
              return await one.run(() => own.upload(tenant, body, id), gone.signal);
            } finally {
              request.bodyTicket?.release();
            }
          },
        );
        scope.get("/pyroscope/debug-files", async (request) => ({
          buildIds: await configured().list(
            tenantForWrite(request.headers["x-scope-orgid"] as string | undefined, multitenancy),
          ),
        }));
        scope.delete<{ Params: { id: string } }>("/pyroscope/debug-files/:id", async (request, reply) => {
          await configured().remove(
            tenantForWrite(request.headers["x-scope-orgid"] as string | undefined, multitenancy),
            idOf(request.params.id),
          );
          await reply.status(204).send();
        });
        done();
      });
    },
  };
}
