import {
  encodePprof,
  inflateProfile,
  PprofDecoder,
  type PprofHeader,
  type PprofSource,
  type PprofTables,
  ReusedGunzip,
} from "@cinderblock/pprof";
import { ProfileKernel } from "@cinderblock/profile-kernel";
import { OtlpReader } from "./otlp.ts";
import { StackBuilders } from "./stack-builder.ts";

/** Loads profiles into tables, which are valid until the next profile. One per thread. */
export class TableLoader {
  readonly kernel = new ProfileKernel();
  readonly otlp = new OtlpReader();
  /** builders of the push that is processed */
  readonly stacks = new StackBuilders();
  private readonly decoder = new PprofDecoder();
  private readonly gunzip = ReusedGunzip.create();

  /** Plain bytes of a pprof that may be gzipped; `maxBytes` 0: no limit. */
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
    return inflateProfile(bytes, maxBytes, this.gunzip);
  }

  /** Tables of an uncompressed pprof. */
  decode(plain: Uint8Array): PprofTables {
    return this.kernel.decode(plain) ?? this.decoder.decode(plain);
  }

  /** Tables of a profile from another format, without a pprof unless the profile is too large for the kernel. */
  load(header: PprofHeader, source: PprofSource): PprofTables {
    return this.kernel.load(header, source) ?? this.decoder.decode(encodePprof(header, source));
  }
}
