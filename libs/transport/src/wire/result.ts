import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  LabelAnswerMessage,
  LabelAnswerSchema,
  PartialResultMessage,
  PartialResultSchema,
  PartialSeriesMessage,
  PartialSeriesSchema,
  PartialTreeMessage,
  PartialTreeSchema,
  PointsMessage,
  PointsSchema,
} from "@cinderblock/api";
import { assertNever } from "@cinderblock/errors";
import type { Annotations, Label } from "@cinderblock/model";
import type { LabelAnswer, PartialResult, PartialSeries, PartialTree, Points } from "@cinderblock/query";
import { bytesOf, columnOf, copyOf } from "./columns.ts";
import { missing } from "./query.ts";

const toLabels = (labels: readonly Label[]): { name: string; value: string }[] =>
  labels.map(({ name, value }) => ({ name, value }));
const fromLabels = toLabels;
const toNotes = (list: Annotations) => ({ annotations: list.map(({ key, value }) => ({ key, value })) });
const fromNotes = ({
  annotations,
}: {
  annotations: readonly { key: string; value: string }[];
}): Annotations => annotations.map(({ key, value }) => ({ key, value }));

function toTree(t: PartialTree): MessageInitShape<typeof PartialTreeSchema> {
  return {
    nameBytes: t.nameBytes,
    nameOffset: bytesOf(t.nameOffset),
    parent: bytesOf(t.parent),
    name: bytesOf(t.name),
    self: bytesOf(t.self),
    ...(t.folded ? { folded: bytesOf(t.folded) } : {}),
  };
}
function fromTree(t: PartialTreeMessage | undefined): PartialTree {
  if (!t) throw missing("a call tree");
  return {
    nameBytes: copyOf(t.nameBytes),
    nameOffset: columnOf(Uint32Array, t.nameOffset),
    parent: columnOf(Int32Array, t.parent),
    name: columnOf(Uint32Array, t.name),
    self: columnOf(BigInt64Array, t.self),
    ...(t.folded ? { folded: columnOf(BigInt64Array, t.folded) } : {}),
  };
}

function toSeries(s: PartialSeries): MessageInitShape<typeof PartialSeriesSchema> {
  return {
    labels: toLabels(s.labels),
    bucket: s.bucket,
    sum: s.sum,
    count: s.count,
    ...(s.exemplar
      ? {
          exemplars: {
            slots: s.exemplar.map((e) => (e ? { exemplar: { ...e, labels: toLabels(e.labels) } } : {})),
          },
        }
      : {}),
    ...(s.annotations
      ? { annotations: { slots: s.annotations.map((list) => (list ? { list: toNotes(list) } : {})) } }
      : {}),
  };
}
function fromSeries(s: PartialSeriesMessage): PartialSeries {
  return {
    labels: fromLabels(s.labels),
    bucket: s.bucket,
    sum: s.sum,
    count: s.count,
    ...(s.exemplars
      ? {
          exemplar: s.exemplars.slots.map(({ exemplar: e }) =>
            e
              ? {
                  timeMs: e.timeMs,
                  id: e.id,
                  span: e.span,
                  ...(e.trace === undefined ? {} : { trace: e.trace }),
                  value: e.value,
                  labels: fromLabels(e.labels),
                }
              : null,
          ),
        }
      : {}),
    ...(s.annotations
      ? { annotations: s.annotations.slots.map(({ list }) => (list ? fromNotes(list) : null)) }
      : {}),
  };
}

function toPoints(p: Points): MessageInitShape<typeof PointsSchema> {
  return {
    timeMs: bytesOf(p.timeMs),
    value: bytesOf(p.value),
    series: (p.series ?? []).map((labels) => ({ labels: toLabels(labels) })),
    ...(p.of ? { of: bytesOf(p.of) } : {}),
    notes: (p.notes ?? []).map(toNotes),
    ...(p.noteOf ? { noteOf: bytesOf(p.noteOf) } : {}),
    ...(p.id ? { id: p.id } : {}),
    ...(p.span ? { span: bytesOf(p.span) } : {}),
    ...(p.trace ? { trace: bytesOf(p.trace) } : {}),
  };
}
function fromPoints(p: PointsMessage): Points {
  return {
    timeMs: columnOf(Float64Array, p.timeMs),
    value: columnOf(Float64Array, p.value),
    ...(p.of
      ? { series: p.series.map(({ labels }) => fromLabels(labels)), of: columnOf(Uint32Array, p.of) }
      : {}),
    ...(p.noteOf ? { notes: p.notes.map(fromNotes), noteOf: columnOf(Uint32Array, p.noteOf) } : {}),
    ...(p.id ? { id: copyOf(p.id) } : {}),
    ...(p.span ? { span: columnOf(Uint32Array, p.span) } : {}),
    ...(p.trace ? { trace: columnOf(Uint32Array, p.trace) } : {}),
  };
}

/** Converts a partial result to its message; columns are views. */
export function toPartialResult(r: PartialResult): MessageInitShape<typeof PartialResultSchema> {
  switch (r.kind) {
    case "tree":
      return { kind: { case: "tree", value: toTree(r.tree) } };
    case "profile": {
      const p = r.profile;
      return {
        kind: {
          case: "profile",
          value: {
            stringBytes: p.stringBytes,
            stringOffset: bytesOf(p.stringOffset),
            functionWords: bytesOf(p.functionWords),
            mappingWords: bytesOf(p.mappingWords),
            locationWords: bytesOf(p.locationWords),
            locationOffset: bytesOf(p.locationOffset),
            stackParent: bytesOf(p.stackParent),
            stackLocation: bytesOf(p.stackLocation),
            value: bytesOf(p.value),
          },
        },
      };
    }
    case "series":
      return { kind: { case: "series", value: { series: r.series.map(toSeries) } } };
    case "samples": {
      const s = r.samples;
      return {
        kind: {
          case: "samples",
          value: {
            series: s.series.map((labels) => ({ labels: toLabels(labels) })),
            rowSeries: bytesOf(s.rowSeries),
            rowTime: bytesOf(s.rowTime),
            rowId: s.rowId,
            row: bytesOf(s.row),
            stack: bytesOf(s.stack),
            value: bytesOf(s.value),
            span: bytesOf(s.span),
            tree: toTree(s.tree),
          },
        },
      };
    }
    case "points":
      return { kind: { case: "points", value: toPoints(r.points) } };
    case "profiles": {
      const { profiles, count, total } = r.list;
      return { kind: { case: "profiles", value: { profiles, count, total, limit: r.limit } } };
    }
    default:
      return assertNever(r);
  }
}

/** Converts the message of a partial result back. @throws `invalid` for a kind of another release */
export function fromPartialResult({ kind }: PartialResultMessage): PartialResult {
  switch (kind.case) {
    case "tree":
      return { kind: "tree", tree: fromTree(kind.value) };
    case "profile": {
      const p = kind.value;
      return {
        kind: "profile",
        profile: {
          stringBytes: copyOf(p.stringBytes),
          stringOffset: columnOf(Uint32Array, p.stringOffset),
          functionWords: columnOf(Uint32Array, p.functionWords),
          mappingWords: columnOf(Uint32Array, p.mappingWords),
          locationWords: columnOf(Uint32Array, p.locationWords),
          locationOffset: columnOf(Uint32Array, p.locationOffset),
          stackParent: columnOf(Int32Array, p.stackParent),
          stackLocation: columnOf(Uint32Array, p.stackLocation),
          value: columnOf(BigInt64Array, p.value),
        },
      };
    }
    case "series":
      return { kind: "series", series: kind.value.series.map(fromSeries) };
    case "samples": {
      const s = kind.value;
      return {
        kind: "samples",
        samples: {
          series: s.series.map(({ labels }) => fromLabels(labels)),
          rowSeries: columnOf(Uint32Array, s.rowSeries),
          rowTime: columnOf(BigInt64Array, s.rowTime),
          rowId: copyOf(s.rowId),
          row: columnOf(Uint32Array, s.row),
          stack: columnOf(Uint32Array, s.stack),
          value: columnOf(BigInt64Array, s.value),
          span: columnOf(Uint32Array, s.span),
          tree: fromTree(s.tree),
        },
      };
    }
    case "points":
      return { kind: "points", points: fromPoints(kind.value) };
    case "profiles": {
      const { profiles, count, total, limit } = kind.value;
      return {
        kind: "profiles",
        list: {
          profiles: profiles.map(({ id, timeMs, value, labels }) => ({ id, timeMs, value, labels })),
          count,
          total,
        },
        limit,
      };
    }
    default:
      throw missing("a partial result of a known kind");
  }
}

/** Converts an answer about labels to its message. */
export function toLabelAnswer({
  names,
  sets,
  tables,
}: LabelAnswer): MessageInitShape<typeof LabelAnswerSchema> {
  return {
    names,
    sets: sets.map((labels) => ({ labels: toLabels(labels) })),
    hasTables: tables !== undefined,
    tables: (tables ?? []).map((t) => ({
      names: [...t.names],
      nameOf: bytesOf(t.nameOf),
      values: [...t.values],
      pairs: bytesOf(t.pairs),
      ends: bytesOf(t.ends),
    })),
  };
}

/** Converts the message of an answer about labels back. */
export function fromLabelAnswer(message: LabelAnswerMessage | undefined): LabelAnswer {
  if (!message) throw missing("an answer about labels");
  const { names, sets, tables, hasTables } = message;
  return {
    names,
    sets: sets.map(({ labels }) => fromLabels(labels)),
    ...(hasTables
      ? {
          tables: tables.map((t) => ({
            names: t.names,
            nameOf: columnOf(Uint32Array, t.nameOf),
            values: t.values,
            pairs: columnOf(Uint32Array, t.pairs),
            ends: columnOf(Uint32Array, t.ends),
          })),
        }
      : {}),
  };
}
