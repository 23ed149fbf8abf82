/**
 * Decision about the cumulative growth up to a profile in the Kafka partition that has the profile:
 * - `counts`: the growth counts, and the profile becomes the baseline
 * - `leaves`: the growth counts for the last time, because another partition has the profile as its baseline
 * - `ignored`: the growth counts in another partition, or in a later profile
 */
export type Growth = "counts" | "leaves" | "ignored";

/** Kafka partition of a push (docs/correctness.md, "One partition counts growth"). */
export interface PushOrigin {
  kafkaPartition: number;
  growth: Growth;
}
