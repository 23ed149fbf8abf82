import type { Annotation, Label } from "@cinderblock/model";
import type { Exemplar, SeriesResult } from "@cinderblock/query";

/** Encodes series as types.v1.Series. */
export function encodeSeriesMessage(series: readonly SeriesResult[]): {
  labels: Label[];
  points: {
    timestamp: bigint;
    value: number;
    exemplars?: ReturnType<typeof exemplar>[];
    annotations?: Annotation[];
  }[];
}[] {
  return series.map((s) => ({
    labels: s.labels,
    points: s.points.map((p) => ({
      timestamp: BigInt(Math.round(p.timestampMs)),
      value: p.value,
      ...(p.exemplar ? { exemplars: [exemplar(p.exemplar)] } : {}),
      ...(p.annotations ? { annotations: [...p.annotations] } : {}),
    })),
  }));
}

function exemplar(e: Exemplar): {
  timestamp: bigint;
  profileId: string;
  spanId: string;
  traceId: string;
  value: bigint;
  labels: Label[];
} {
  return {
    timestamp: BigInt(e.timeMs),
    profileId: e.id,
    spanId: e.span,
    traceId: e.trace ?? "",
    value: e.value,
    labels: e.labels,
  };
}
