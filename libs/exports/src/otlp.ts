import { encodeExport } from "@cinderblock/otlp";
import { PprofDecoder } from "@cinderblock/pprof";

/** A merged pprof as OTLP profiles: an ExportProfilesServiceRequest. @param service name of the resource's service; "" names none */
export function exportOtlp(pprof: Uint8Array, service: string): Uint8Array {
  return encodeExport(new PprofDecoder().decode(pprof), service === "" ? [] : [["service.name", service]]);
}
