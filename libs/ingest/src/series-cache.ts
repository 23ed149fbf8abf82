import { ByteWriter } from "@cinderblock/bytes";
import {
  type Label,
  type Labels,
  LABEL_ORDER,
  LABEL_SPY,
  labelsKey,
  labelValue,
  sortLabels,
} from "@cinderblock/model";
import type { IngestLimits } from "@cinderblock/tenant";
import { applyRelabelRules, validateLabels, withServiceName } from "./series-labels.ts";
import type { Membership } from "./usage-groups.ts";

/** Cached state of a label set as sent; `language` is set once a profile identifies it. */
export interface SeriesContext {
  sent: Label[];
  spy: string;
  language: string;
  bytes: Uint8Array;
  /** usage groups, with the limits that they were computed for */
  memberships?: { of: IngestLimits["usageGroups"]; list: Membership[] };
}

/** Final labels of a group: equal sets share one object, so that heads may use object identity as key. */
export interface FinalLabels {
  labels: Labels;
  bytes: Uint8Array;
}

/**
 * Characters of a label set that may be cached, and bytes of all cached ones (docs/correctness.md, "Every
 * input has a budget").
 */
const MAX_CACHED_LABELS = 64 << 10,
  MAX_CACHE_BYTES = 16 << 20;
/** Copies of a label set in the cache: key, labels and bytes. */
const COPIES = 3;

/** Final labels of a series that a relabel rule drops. */
export const DROPPED: FinalLabels = { labels: [], bytes: new Uint8Array(0) };

/** Label sets of series, as sent and as stored. One per thread. */
export class SeriesCache {
  private readonly contexts = new Map<string, SeriesContext>();
  private readonly finals = new Map<string, FinalLabels>();
  private contextBytes = 0;
  private finalBytes = 0;
  private finalLimits: IngestLimits | undefined;

  /** Approximate memory of the cached label sets. */
  get byteLength(): number {
    return this.contextBytes + this.finalBytes;
  }

  /** State of a label set as sent. */
  context(sent: readonly Label[]): SeriesContext {
    const key = labelsKey(sent);
    let context = this.contexts.get(key);
    if (!context) {
      const labels = withServiceName(sent);
      context = { sent: labels, spy: labelValue(sent, LABEL_SPY), language: "", bytes: labelBytes(labels) };
      // Labels precede all limit checks: long ones will be refused and must not stay in the cache.
      if (key.length > MAX_CACHED_LABELS) return context;
      if (this.contexts.size > 20_000 || this.contextBytes > MAX_CACHE_BYTES) {
        this.contexts.clear();
        this.contextBytes = 0;
      }
      this.contextBytes += COPIES * key.length;
      this.contexts.set(key, context);
    }
    return context;
  }

  /** Final labels of a group; DROPPED if a rule drops the series. */
  finalLabels(labels: Label[], limits: IngestLimits): FinalLabels {
    if (this.finalLimits !== limits || this.finals.size > 50_000 || this.finalBytes > MAX_CACHE_BYTES) {
      this.finals.clear();
      this.finalBytes = 0;
      this.finalLimits = limits;
    }
    const key = labelsKey(labels);
    let known = this.finals.get(key);
    if (!known) {
      const relabelled = applyRelabelRules(labels, limits);
      if (!relabelled) {
        if (key.length <= MAX_CACHED_LABELS) {
          this.finalBytes += COPIES * key.length;
          this.finals.set(key, DROPPED);
        }
        return DROPPED;
      }
      const valid = validateLabels(relabelled, limits);
      const ordered = limits.enforceLabelsOrder
        ? sortLabels([
            ...valid.filter((l) => l.name !== LABEL_ORDER),
            { name: LABEL_ORDER, value: "enforced" },
          ])
        : valid;
      // Rules may turn two label sets into equal ones, which must share one object too.
      const finalKey = `=${labelsKey(ordered)}`;
      known = this.finals.get(finalKey) ?? { labels: ordered, bytes: labelBytes(ordered) };
      // Equal sets share one object whatever their size, because heads compare them by identity.
      this.finalBytes += COPIES * (finalKey.length + key.length);
      this.finals.set(finalKey, known);
      this.finals.set(key, known);
    }
    return known;
  }
}

function labelBytes(labels: Labels): Uint8Array {
  const out = new ByteWriter(256);
  for (const l of labels) {
    out.str(l.name);
    out.str(l.value);
  }
  return out.copy();
}
