import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  LabelRequestMessage,
  LabelRequestSchema,
  SelectMessage,
  SelectSchema,
  SourceQueryMessage,
  SourceQuerySchema,
  StackFilterMessage,
} from "@cinderblock/api";
import { assertNever, CinderblockError } from "@cinderblock/errors";
import type { ExemplarKind, LabelRequest, SelectRequest, SourceQuery, StackFilter } from "@cinderblock/query";

/** Error of a message without a field that every caller sets. */
export function missing(field: string): CinderblockError {
  return new CinderblockError("invalid", `expected ${field} in the message`);
}

export function toSelect(s: SelectRequest): MessageInitShape<typeof SelectSchema> {
  const { profileTypeId, labelSelector, startMs, endMs, profileIds = [], shard } = s;
  return { profileTypeId, labelSelector, startMs, endMs, profileIds, ...(shard ? { shard } : {}) };
}
/** @throws `invalid` without a selection */
export function fromSelect(s: SelectMessage | undefined): SelectRequest {
  if (!s) throw missing("a selection");
  const { profileTypeId, labelSelector, startMs, endMs, profileIds, shard } = s;
  return {
    profileTypeId,
    labelSelector,
    startMs,
    endMs,
    ...(profileIds.length > 0 ? { profileIds } : {}),
    ...(shard ? { shard: { index: shard.index, of: shard.of } } : {}),
  };
}

const toStacks = ({ callSite, only, without, hide }: StackFilter) => ({
  callSite: [...callSite],
  only: [...only],
  without: [...without],
  hide: [...hide],
});
const fromStacks = ({ callSite, only, without, hide }: StackFilterMessage): StackFilter => ({
  callSite,
  only,
  without,
  hide,
});

/** Converts a query to its message. */
export function toSourceQuery(q: SourceQuery): MessageInitShape<typeof SourceQuerySchema> {
  const select = toSelect(q.select);
  switch (q.kind) {
    case "tree":
      return {
        kind: {
          case: "tree",
          value: {
            select,
            samples: { spans: q.spans, traces: q.traces ?? [] },
            maxNodes: q.maxNodes,
            alone: q.alone === true,
          },
        },
      };
    case "profile":
      return {
        kind: {
          case: "profile",
          value: {
            select,
            samples: { spans: q.spans, traces: q.traces ?? [] },
            ...(q.stacks ? { stacks: q.stacks } : {}),
          },
        },
      };
    case "series":
      return {
        kind: {
          case: "series",
          value: {
            select,
            ...q.range,
            callSite: q.callSite ?? [],
            ...(q.stacks ? { stacks: toStacks(q.stacks) } : {}),
            exemplars: q.exemplars ?? "",
          },
        },
      };
    case "points":
      return { kind: { case: "points", value: { select, each: q.each ?? "", ids: q.ids === true } } };
    case "profile-points":
      return {
        kind: {
          case: "profilePoints",
          value: { select, ...(q.stacks ? { stacks: toStacks(q.stacks) } : {}) },
        },
      };
    case "samples":
      return {
        kind: {
          case: "samples",
          value: { select, samples: { spans: q.spans, traces: q.traces ?? [] } },
        },
      };
    case "profiles": {
      const { minValue, maxValue, limit } = q;
      return { kind: { case: "profiles", value: { select, minValue, maxValue, limit } } };
    }
    default:
      return assertNever(q);
  }
}

const exemplarKind = (text: string): ExemplarKind | undefined =>
  text === "profile" || text === "span" ? text : undefined;

function samplesOf(filter: { spans: string[]; traces: string[] } | undefined): {
  spans: string[];
  traces?: string[];
} {
  const { spans = [], traces = [] } = filter ?? {};
  return { spans, ...(traces.length > 0 ? { traces } : {}) };
}

/** Converts the message of a query back. @throws `invalid` for a kind of another release */
export function fromSourceQuery(message: SourceQueryMessage | undefined): SourceQuery {
  const kind = message?.kind;
  if (kind?.case === undefined) throw missing("a query of a known kind");
  const select = fromSelect(kind.value.select);
  switch (kind.case) {
    case "tree": {
      const { samples, maxNodes, alone } = kind.value;
      return { kind: "tree", select, ...samplesOf(samples), maxNodes, ...(alone ? { alone } : {}) };
    }
    case "profile": {
      const { samples, stacks } = kind.value;
      if (!stacks) return { kind: "profile", select, ...samplesOf(samples) };
      const { callSite, goPgo } = stacks;
      const go = goPgo && { keepLocations: goPgo.keepLocations, aggregateCallees: goPgo.aggregateCallees };
      return {
        kind: "profile",
        select,
        ...samplesOf(samples),
        stacks: { callSite, ...(go ? { goPgo: go } : {}) },
      };
    }
    case "series": {
      const { startMs, endMs, stepMs, groupBy, callSite, stacks } = kind.value,
        exemplars = exemplarKind(kind.value.exemplars);
      return {
        kind: "series",
        select,
        range: { startMs, endMs, stepMs, groupBy },
        ...(callSite.length > 0 ? { callSite } : {}),
        ...(stacks ? { stacks: fromStacks(stacks) } : {}),
        ...(exemplars ? { exemplars } : {}),
      };
    }
    case "points": {
      const each = exemplarKind(kind.value.each);
      return {
        kind: "points",
        select,
        ...(each ? { each } : {}),
        ...(kind.value.ids ? { ids: true } : {}),
      };
    }
    case "profilePoints": {
      const { stacks } = kind.value;
      return { kind: "profile-points", select, ...(stacks ? { stacks: fromStacks(stacks) } : {}) };
    }
    case "samples":
      return { kind: "samples", select, ...samplesOf(kind.value.samples) };
    case "profiles": {
      const { minValue, maxValue, limit } = kind.value;
      return { kind: "profiles", select, minValue, maxValue, limit };
    }
    default:
      return assertNever(kind);
  }
}

/** Converts a query about labels to its message. */
export function toLabelRequest(ask: LabelRequest): MessageInitShape<typeof LabelRequestSchema> {
  const { matchers, startMs, endMs } = ask.query,
    query = { matchers, startMs, endMs };
  switch (ask.kind) {
    case "names":
      return { ...query, kind: { case: "names", value: {} } };
    case "values":
      return { ...query, kind: { case: "values", value: { name: ask.name } } };
    case "series":
      return {
        ...query,
        kind: { case: "series", value: { names: ask.names, columns: ask.columns === true } },
      };
    default:
      return assertNever(ask);
  }
}

/** Converts the message of a query about labels back. @throws `invalid` for a kind of another release */
export function fromLabelRequest(message: LabelRequestMessage | undefined): LabelRequest {
  if (message?.kind.case === undefined) throw missing("a query about labels of a known kind");
  const { matchers, startMs, endMs, kind } = message,
    query = { matchers, startMs, endMs };
  switch (kind.case) {
    case "names":
      return { kind: "names", query };
    case "values":
      return { kind: "values", name: kind.value.name, query };
    case "series": {
      const { names, columns } = kind.value;
      return { kind: "series", names, query, ...(columns ? { columns } : {}) };
    }
    default:
      return assertNever(kind);
  }
}
