import type { Hasher } from "@cinderblock/bytes";
import type { IngestLimits } from "@cinderblock/tenant";
import { inflateBody } from "./envelope.ts";
import { jfrProfiles } from "./formats/jfr.ts";
import { FrameBudget } from "./frame-budget.ts";
import { otlpProfiles } from "./formats/otlp.ts";
import { pprofFormProfiles } from "./formats/pprof-form.ts";
import { pushProfiles } from "./formats/push.ts";
import { speedscopeProfiles } from "./formats/speedscope.ts";
import { textProfiles } from "./formats/text.ts";
import type { IngestRequest } from "./ingest-request.ts";
import { ProfilePipeline } from "./profile-pipeline.ts";
import type { ProfileSink } from "./profile-sink.ts";
import { addRefusal, emptyOutcome, type PushOutcome, type SentPush } from "./push.ts";
import type { IngestFormat, PushContext, PushedProfile } from "./push-context.ts";
import type { RateGate } from "./rate-gate.ts";
import { TableLoader } from "./table-loader.ts";

const INGEST_FORMATS: ReadonlyMap<IngestRequest["format"], IngestFormat> = new Map([
  ["pprof", pprofFormProfiles],
  ["multipart", pprofFormProfiles],
  ["groups", textProfiles],
  ["lines", textProfiles],
  ["trie", textProfiles],
  ["tree", textProfiles],
  ["speedscope", speedscopeProfiles],
  ["jfr", jfrProfiles],
]);

/**
 * Processes pushes from bytes to series profiles: each format finds and decodes the profiles of a body, and one
 * pipeline takes them to the sink. One per ingest thread.
 */
export class PushProcessor {
  private readonly hasher: Hasher;
  private readonly sink: ProfileSink;
  private readonly loader = new TableLoader();
  private readonly pipeline: ProfilePipeline;

  constructor(hasher: Hasher, sink: ProfileSink) {
    this.hasher = hasher;
    this.sink = sink;
    this.pipeline = new ProfilePipeline(hasher, sink);
  }

  /**
   * Processes every profile of a push; a refused profile does not stop the others. Bad input is part of the
   * outcome.
   * @throws errors that do not refuse the push permanently, such as `no-room`: some of its profiles may be in
   * the sink by then, and a retry brings them again with the same IDs
   */
  process(tenant: string, push: SentPush, limits: IngestLimits, gate: RateGate, nowMs: number): PushOutcome {
    const out: PushOutcome = emptyOutcome(),
      ctx: PushContext = {
        tenant,
        limits,
        gate,
        nowMs,
        out,
        trickle: push.trickle ?? false,
        cumulativeOnly: limits.relabelRules.length === 0 && this.sink.cumulativeOnly?.() === true,
        loader: this.loader,
        hasher: this.hasher,
        frames: new FrameBudget(limits.ingestionBodyLimitBytes),
      };
    // Profiles from other endpoints never become cumulative.
    if (ctx.cumulativeOnly && push.kind !== "push") return out;
    try {
      for (const profile of profilesOf(push, ctx)) this.pipeline.run(profile, ctx);
    } catch (err) {
      addRefusal(out, err, push.body.length, undefined);
    } finally {
      this.loader.stacks.release();
    }
    return out;
  }

  /** Approximate memory of the cached label sets. */
  get cachedLabelBytes(): number {
    return this.pipeline.cachedLabelBytes;
  }
}

function profilesOf(push: SentPush, ctx: PushContext): Iterable<PushedProfile> {
  if (push.kind === "ingest")
    return (INGEST_FORMATS.get(push.request.format) ?? pprofFormProfiles)(push.body, push.request, ctx);
  const body = push.gzip ? inflateBody(push.body, ctx.limits.ingestionBodyLimitBytes) : push.body;
  return push.kind === "otlp" ? otlpProfiles(body, push.codec, ctx) : pushProfiles(body, push.codec, ctx);
}
