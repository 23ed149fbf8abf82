import { encodeExport } from "@cinderblock/otlp";
import { PprofDecoder } from "@cinderblock/pprof";

/**
 * Converts a merged pprof to OTLP profiles: an ExportProfilesServiceRequest.
 * @param service service name of the resource; "": no name
 */
export function exportOtlp(pprof: Uint8Array, service: string): Uint8Array {
  return encodeExport(new PprofDecoder().decode(pprof), service === "" ? [] : [["service.name", service]]);
}
