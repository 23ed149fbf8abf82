import { encodeExport } from "@cinderblock/otlp";
import { PprofDecoder } from "@cinderblock/pprof";

/**
 * Converts a merged pprof to OTLP profiles: an ExportProfilesServiceRequest with one resource and one
 * profile.
 * @param pprof uncompressed, as the query merges it: IDs are positions + 1
 * @param service service name of the resource; "": no name
 * @throws PprofSyntaxError for other bytes
 */
export function exportOtlp(pprof: Uint8Array, service: string): Uint8Array {
  return encodeExport(new PprofDecoder().decode(pprof), service === "" ? [] : [["service.name", service]]);
}
