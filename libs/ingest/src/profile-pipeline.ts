import { ByteWriter, hash128, type Hasher, utf8Length } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { type Label, LABEL_SAMPLED, sortLabels } from "@cinderblock/model";
import { detectLanguage, fixGoGenerics } from "./go-fix.ts";
import { repairTruncatedStacks } from "./go-truncated.ts";
import { isSampledOut, marksOf, type ProfileMarks } from "./group-sampling.ts";
import { normalizeProfile, type NormalizedProfile, NormalizeScratch } from "./normalize.ts";
import type { ProfileGroup, ProfileSink } from "./profile-sink.ts";
import { addRefusal } from "./push.ts";
import type { DecodedProfile, PushContext, PushedProfile } from "./push-context.ts";
import { DROPPED, type FinalLabels, SeriesCache, type SeriesContext } from "./series-cache.ts";
import { limitSessions } from "./series-labels.ts";
import { mergeGroups, type SampleGroup, type SampleIds, splitByLabels } from "./split.ts";
import { dropSampleTypes, injectMappingVersions } from "./table-edits.ts";
import { validateProfile } from "./validate.ts";

const NO_ID = new Uint8Array(0);
const NO_IDS: SampleIds = { spans: undefined, traces: undefined };

/**
 * Steps from a profile of any format to the sink: limit, sample, validate, normalize, split, label, identify,
 * append. One per thread.
 */
export class ProfilePipeline {
  private readonly hasher: Hasher;
  private readonly sink: ProfileSink;
  private readonly series = new SeriesCache();
  private readonly key = new ByteWriter(512);
  private readonly scratch = new NormalizeScratch();

  constructor(hasher: Hasher, sink: ProfileSink) {
    this.hasher = hasher;
    this.sink = sink;
  }

  /** Approximate memory of the cached label sets. */
  get cachedLabelBytes(): number {
    return this.series.byteLength;
  }

  /**
   * Processes one profile; a refusal is part of the push's outcome.
   * @throws errors that do not refuse the profile permanently
   */
  run(pushed: PushedProfile, ctx: PushContext): void {
    const marks = marksOf(ctx);
    try {
      this.append(pushed.decode(), marks, ctx);
    } catch (err) {
      addRefusal(ctx.out, err, pushed.bytes, marks.groups);
    }
  }

  private append(decoded: DecodedProfile, marks: ProfileMarks, ctx: PushContext): void {
    const { limits, out } = ctx,
      { checksOnly } = this.sink,
      context = this.series.context(decoded.labels);
    consumeRate(decoded.size, context.sent, ctx);
    let stripped = false;
    if (limits.usageGroups?.length > 0 && isSampledOut(decoded, context, marks, ctx)) {
      if (!limits.keepStripped) return;
      stripped = true;
    }
    validateProfile(decoded.tables, context.sent, limits, ctx.nowMs, decoded.size);
    out.samples += decoded.tables.samples;
    const profile = this.normalize(decoded, context, ctx);
    const lost = lostSamples(profile);
    if (lost > 0) out.discarded.push({ reason: "malformed_profile", profiles: lost, bytes: 0 });
    out.profiles++;
    if (profile.kept === 0) return;
    const { groups, ids } = splitByLabels(profile, seriesOf(context, stripped, limits.maxSessionsPerSeries)),
      bySet = this.label(groups, decoded.size, ctx);
    if (bySet.size === 0) return;
    this.sink.append(ctx.tenant, {
      profile,
      ids: stripped ? NO_IDS : ids,
      annotations: marks.annotations,
      ...(stripped ? { stripped } : {}),
      groups: this.identify(bySet, profile.timeNanos, context, {
        tenant: ctx.tenant,
        // All samples of a profile share the hash of its content: 64 bits of content, and 128 bits of identity
        // together with the labels.
        content: checksOnly ? undefined : decoded.contentHash(),
      }),
    });
  }

  /** Corrects a profile as v1 does, and resolves its references. */
  private normalize(
    { tables }: DecodedProfile,
    context: SeriesContext,
    { limits, loader, nowMs }: PushContext,
  ): NormalizedProfile {
    let go = false,
      merged = false;
    if (!this.sink.checksOnly) {
      if (context.language === "" || context.language === "unknown")
        context.language = detectLanguage(tables, context.spy);
      go = context.language === "go";
      if (go) merged = fixGoGenerics(tables);
      injectMappingVersions(tables, context.sent);
    }
    if (limits.sampleTypeRelabelRules.length > 0)
      dropSampleTypes(tables, context.sent, limits.sampleTypeRelabelRules);
    const profile = normalizeProfile(
      loader.kernel,
      tables,
      limits.maxProfileStacktraceDepth,
      BigInt(nowMs) * 1_000_000n,
      this.scratch,
    );
    if (go) repairTruncatedStacks(profile, merged);
    return profile;
  }

  /** Groups by final labels, without the groups that a rule drops. */
  private label(groups: SampleGroup[], size: number, ctx: PushContext): Map<FinalLabels, SampleGroup[]> {
    const bySet = new Map<FinalLabels, SampleGroup[]>();
    for (const g of groups) {
      const final = this.series.finalLabels(g.labels, ctx.limits);
      if (final === DROPPED) {
        ctx.out.discarded.push({ reason: "dropped_by_relabel_rules", profiles: 1, bytes: size });
        continue;
      }
      const same = bySet.get(final);
      if (same) same.push(g);
      else bySet.set(final, [g]);
    }
    return bySet;
  }

  /** Groups with their IDs; IDs are empty without a hash of the content. */
  private identify(
    bySet: ReadonlyMap<FinalLabels, SampleGroup[]>,
    timeNanos: bigint,
    { bytes: sent }: SeriesContext,
    { tenant, content }: { tenant: string; content: bigint | undefined },
  ): ProfileGroup[] {
    return [...bySet].map(([final, same]) => ({
      labels: final.labels,
      samples: mergeGroups(same.map((g) => ({ ...g, labels: final.labels as Label[] })))[0]!.samples,
      id:
        content === undefined
          ? NO_ID
          : this.profileId({ content, timeNanos, tenant, sent, final: final.bytes }),
    }));
  }

  /**
   * 128 bits over tenant, labels as sent, time, content and final labels: a retry gets the same ID
   * (docs/correctness.md, "Profile identity").
   */
  private profileId(of: {
    content: bigint;
    timeNanos: bigint;
    tenant: string;
    sent: Uint8Array;
    final: Uint8Array;
  }): Uint8Array {
    const k = this.key;
    k.reset();
    k.u64le(of.content);
    k.u64le(of.timeNanos);
    k.str(of.tenant);
    k.bytes(of.sent);
    k.u8(255);
    k.bytes(of.final);
    return hash128(this.hasher, k.finish());
  }
}

/**
 * Takes a profile's bytes from the tenant's rate.
 * @throws `limit`
 */
function consumeRate(size: number, sent: readonly Label[], { limits, gate, nowMs }: PushContext): void {
  const { ingestionRateBytes: rate, ingestionBurstBytes: burst } = limits;
  let cost = size;
  for (const l of sent) cost += utf8Length(l.name) + utf8Length(l.value);
  if (gate.tryConsume(cost, rate, burst, BigInt(nowMs) * 1_000_000n)) return;
  throw new CinderblockError(
    "limit",
    `push rate limit (${mib(rate)}) exceeded while adding ${cost} bytes; the burst is ${mib(burst)}`,
    { reason: "rate_limited", detail: { bytes: cost, limit: rate, burst } },
  );
}

/** Labels of a profile's series; `stripped`: only its totals are stored. */
function seriesOf({ sent }: SeriesContext, stripped: boolean, maxSessions: number): Label[] {
  const series = limitSessions([...sent], maxSessions);
  if (!stripped) return series;
  return sortLabels([
    ...series.filter((l) => l.name !== LABEL_SAMPLED),
    { name: LABEL_SAMPLED, value: "true" },
  ]);
}

/** Number of samples with a value that are not stored: a value is negative, or a location unknown. */
function lostSamples({ tables, keep, kept }: NormalizedProfile): number {
  if (kept === tables.samples) return 0;
  const first = tables.sampleValues.data,
    { words } = tables.value;
  let lost = 0;
  for (let i = 0; i < tables.samples; i++) {
    if (keep[i] === 1) continue;
    let any = 0;
    for (let k = 2 * first[i]!; k < 2 * first[i + 1]!; k++) any |= words[k]!;
    if (any !== 0) lost++;
  }
  return lost;
}

function mib(bytes: number): string {
  return `${(bytes / 1048576).toFixed(1)} MiB`;
}
