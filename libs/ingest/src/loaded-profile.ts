import { ByteWriter, type Hasher } from "@cinderblock/bytes";
import type { Label } from "@cinderblock/model";
import { type PprofHeader, type PprofSource, pprofSize } from "@cinderblock/pprof";
import type { DecodedProfile } from "./push-context.ts";
import type { TableLoader } from "./table-loader.ts";

/**
 * Identity of the profiles of a body that is no pprof: a hash of the uncompressed body, of the request's settings
 * that change its values, and of the profile's place in it.
 */
export class BodyIdentity {
  private readonly hasher: Hasher;
  private readonly parts: readonly Uint8Array[];
  private readonly settings: string;
  private body: bigint | undefined;

  constructor(hasher: Hasher, parts: readonly Uint8Array[], settings = "") {
    this.hasher = hasher;
    this.parts = parts;
    this.settings = settings;
  }

  /** 64 bits of the profile at `place`, counted from 0. */
  at(place: number): bigint {
    const key = new ByteWriter(64);
    this.body ??= this.parts.reduce((hash, part) => this.hasher.h64(part, hash), 0n);
    key.u64le(this.body);
    key.u64le(BigInt(place));
    key.utf8(this.settings);
    return this.hasher.h64(key.finish());
  }
}

/** A profile from a body that is no pprof, in the layout of one. */
export interface LoadedProfile {
  labels: readonly Label[];
  header: PprofHeader;
  source: PprofSource;
  identity: BodyIdentity;
  /** place of the profile in the body, from 0 */
  place: number;
}

/** Size of a profile as a pprof, and the profile itself, whose columns are loaded when it is decoded. */
export function loadedProfile(
  loader: TableLoader,
  { labels, header, source, identity, place }: LoadedProfile,
): { size: number; decode: () => DecodedProfile } {
  const size = pprofSize(header, source);
  return {
    size,
    decode: () => ({
      labels,
      tables: loader.load(header, source),
      size,
      contentHash: () => identity.at(place),
    }),
  };
}
