import type { Annotations, Labels } from "@cinderblock/model";
import type { NormalizedProfile } from "./normalize.ts";
import type { SampleIds } from "./split.ts";

/**
 * Samples of a profile for one series, ready for a head. `labels` are shared between calls: equal sets are
 * the same object.
 */
export interface ProfileGroup {
  labels: Labels;
  samples: Uint32Array;
  /** 128 bits of the duplicate key (docs/correctness.md, "Profile identity") */
  id: Uint8Array;
}

/** One profile after validation, normalization and splitting, in one group per series. */
export interface ProcessedProfile {
  profile: NormalizedProfile;
  groups: ProfileGroup[];
  ids: SampleIds;
  annotations: Annotations;
  /** only its totals are stored: its stacks count as empty */
  stripped?: boolean;
}

/** Destination of processed profiles; must not use a profile after `append` returns. */
export interface ProfileSink {
  /**
   * the sink stores nothing and reads only labels and sample types: IDs are empty, and steps that change only
   * stacks are skipped
   */
  readonly checksOnly?: boolean;
  /**
   * Whether the sink currently accepts only profiles that may be cumulative: others are not even inflated.
   * Ignored for a tenant with relabel rules, which may rename series.
   */
  cumulativeOnly?(): boolean;
  append(tenant: string, processed: ProcessedProfile): void;
}
