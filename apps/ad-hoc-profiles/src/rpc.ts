import { AdHocProfileService } from "@cinderblock/api";
import type { FilesAnswer } from "@cinderblock/query-worker";
import type { HandlerContext, Routes } from "@cinderblock/rpc";
import { tenantForWrite } from "@cinderblock/tenant";
import type { AdHocFiles, FileInfo } from "./files.ts";

/** Maximum size of a message with a file, in base64. */
const FILE_MESSAGE_BYTES = 64 << 20;

/** Routes of the Connect service adhocprofiles.v1.AdHocProfileService. */
export function adHocRpc(files: AdHocFiles, multitenancy: boolean): Routes {
  const tenant = (context: HandlerContext): string =>
    tenantForWrite(context.requestHeader.get("x-scope-orgid") ?? undefined, multitenancy);
  const answer = ({ info, drawn }: { info: FileInfo; drawn: FilesAnswer }): object => ({
    id: info.id,
    name: info.name,
    uploadedAt: BigInt(info.uploadedAtMs),
    profileType: drawn.type,
    profileTypes: drawn.types,
    flamebearerProfile: drawn.flamebearer,
  });
  return {
    connect: (router) => {
      router.service(
        AdHocProfileService,
        {
          async upload(r, context) {
            return answer(await files.upload(tenant(context), r.name, r.profile, Number(r.maxNodes ?? 0n)));
          },
          async get(r, context) {
            return answer(await files.get(tenant(context), r.id, r.profileType, Number(r.maxNodes ?? 0n)));
          },
          async list(_r, context) {
            return {
              profiles: (await files.list(tenant(context))).map((f) => ({
                id: f.id,
                name: f.name,
                uploadedAt: BigInt(f.uploadedAtMs),
              })),
            };
          },
          async diff(r, context) {
            const d = await files.diff(
              tenant(context),
              r.leftId,
              r.rightId,
              r.profileType,
              Number(r.maxNodes ?? 0n),
            );
            return { profileTypes: d.types, flamebearerProfile: d.flamebearer };
          },
        },
        { readMaxBytes: FILE_MESSAGE_BYTES },
      );
    },
  };
}
