import { CinderblockError, invalid } from "@cinderblock/errors";
import { httpError, type Routes } from "@cinderblock/rpc";
import { DebugFiles, inThread, type SymbolizerData } from "@cinderblock/symbolizer";
import type { Bucket } from "@cinderblock/objstore";
import { tenantForWrite } from "@cinderblock/tenant";

const BUILD_ID = /^[0-9A-Za-z_/-]{4,200}$/;

/** Uploads of debug files: POST, GET and DELETE /pyroscope/debug-files. Without `symbols` they are not configured. */
export function debugFilesApi(
  symbols: SymbolizerData | undefined,
  bucket: Bucket,
  multitenancy: boolean,
): Routes {
  const files = symbols && new DebugFiles(bucket, inThread(symbols.config.script)),
    limit = symbols?.config.maxFileBytes ?? 1 << 20;
  const configured = (): DebugFiles => {
    if (!files)
      throw new CinderblockError(
        "unimplemented",
        "debug files are not configured: start the components that read profiles, and this one, with -symbolizer.enabled",
      );
    return files;
  };
  const idOf = (text: string): string => {
    if (!BUILD_ID.test(text))
      throw invalid(
        `build id ${JSON.stringify(text)} is invalid: it may hold 4 to 200 letters, digits, _ / and -`,
      );
    return text;
  };
  return {
    http: (app) => {
      void app.register((scope, _options, done) => {
        // Bodies of any type, as they are; what is configured counts, not the limit of pushes.
        scope.removeAllContentTypeParsers();
        scope.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: limit }, (_request, body, end) => {
          end(null, body);
        });
        // A file takes memory of several times its size: one at a time, and the next one's body is not read before.
        let busy = false;
        scope.addHook("onRequest", async (request, reply) => {
          if (request.method !== "POST") return;
          if (busy)
            throw new CinderblockError(
              "limit",
              "another debug file is being read: send this one again in some seconds",
            );
          busy = true;
          reply.raw.once("close", () => {
            busy = false;
          });
          return Promise.resolve();
        });
        scope.setErrorHandler(async (err, _request, reply) => {
          const large = (err as { code?: string }).code === "FST_ERR_CTP_BODY_TOO_LARGE",
            { status, body } = httpError(
              large
                ? new CinderblockError(
                    "too-large",
                    `the file is larger than -symbolizer.max-file-bytes (${limit})`,
                  )
                : err,
            );
          await reply.code(status).type("application/json").send(body);
        });
        scope.post<{ Querystring: { "build-id"?: string } }>(
          "/pyroscope/debug-files",
          { bodyLimit: limit },
          async (request) => {
            const own = configured(),
              tenant = tenantForWrite(request.headers["x-scope-orgid"] as string | undefined, multitenancy),
              { body } = request,
              asked = request.query["build-id"] ?? "";
            if (!(body instanceof Uint8Array) || body.length === 0)
              throw invalid("the body is empty: send the ELF file itself");
            return own.upload(tenant, body, asked === "" ? "" : idOf(asked));
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
