import type { Hasher } from "@cinderblock/bytes";
import type { Label } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import type { IngestLimits } from "@cinderblock/tenant";
import type { FrameBudget } from "./frame-budget.ts";
import type { IngestRequest } from "./ingest-request.ts";
import type { PushOutcome } from "./push.ts";
import type { RateGate } from "./rate-gate.ts";
import type { TableLoader } from "./table-loader.ts";

/** One push on its way from a body to a sink, and the parts of its thread that decode it. */
export interface PushContext {
  readonly tenant: string;
  readonly limits: IngestLimits;
  readonly gate: RateGate;
  /** the distributor's clock */
  readonly nowMs: number;
  readonly out: PushOutcome;
  /** the push was accepted although a limit is reached */
  readonly trickle: boolean;
  /** only profiles that may be cumulative are wanted */
  readonly cumulativeOnly: boolean;
  readonly loader: TableLoader;
  readonly hasher: Hasher;
  /** for the stacks of formats other than pprof */
  readonly frames: FrameBudget;
}

/** A decoded profile, before validation. Its tables are valid until the next profile is decoded. */
export interface DecodedProfile {
  /** labels of the series as sent */
  labels: readonly Label[];
  tables: PprofTables;
  /** size as an uncompressed pprof */
  size: number;
  /** 64 bits of the profile's content as sent */
  contentHash(): bigint;
}

/** A profile of a push. An error of `decode` refuses this profile alone. */
export interface PushedProfile {
  /** bytes that count as discarded if the profile is refused */
  readonly bytes: number;
  decode(): DecodedProfile;
}

/**
 * A format of /ingest: finds the profiles of a body. Profiles are decoded one at a time, in order.
 * @throws when the whole body is refused
 */
export type IngestFormat = (
  body: Uint8Array,
  request: IngestRequest,
  ctx: PushContext,
) => Iterable<PushedProfile>;
