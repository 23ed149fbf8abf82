import type { MessageInitShape } from "@bufbuild/protobuf";
import type { JobResultMessage, JobResultSchema, QueryJobMessage, QueryJobSchema } from "@cinderblock/api";
import { assertNever } from "@cinderblock/errors";
import type { JobResult, QueryJob } from "@cinderblock/query";
import { fromLabelRequest, fromSourceQuery, missing, toLabelRequest, toSourceQuery } from "./query.ts";
import { fromLabelAnswer, fromPartialResult, toLabelAnswer, toPartialResult } from "./result.ts";
import { fromBlockInfo, toBlockInfo } from "./rows.ts";

type JobInit = MessageInitShape<typeof QueryJobSchema>;
type ResultInit = MessageInitShape<typeof JobResultSchema>;

function kindOf(job: QueryJob): NonNullable<JobInit["kind"]> {
  switch (job.kind) {
    case "select":
      return { case: "select", value: { query: toSourceQuery(job.query) } };
    case "labels":
      return { case: "labels", value: { ask: toLabelRequest(job.ask), columns: job.columns === true } };
    case "blocks":
      return { case: "blocks", value: { startMs: job.startMs, endMs: job.endMs } };
    case "digests":
      return { case: "digests", value: { ranges: job.ranges } };
    default:
      return assertNever(job);
  }
}

/** Converts a query of the queue to its message. */
export function toQueryJob(job: QueryJob): JobInit {
  const { of, ends, topicId = "" } = job;
  return {
    kind: kindOf(job),
    ...(of ? { of } : {}),
    ...(ends ? { ends: { ends: ends.map(BigInt), topicId } } : {}),
  };
}

/** Converts the message of a query of the queue back. @throws `invalid` for a kind of another release */
export function fromQueryJob(message: QueryJobMessage | undefined): QueryJob {
  if (message?.kind.case === undefined) throw missing("a query of a known kind");
  const { kind, of, ends } = message;
  const more = {
    ...(of ? { of: { query: of.query, part: of.part } } : {}),
    ...(ends
      ? { ends: ends.ends.map(Number), ...(ends.topicId === "" ? {} : { topicId: ends.topicId }) }
      : {}),
  };
  switch (kind.case) {
    case "select":
      return { kind: "select", query: fromSourceQuery(kind.value.query), ...more };
    case "labels": {
      const { ask, columns } = kind.value;
      return { kind: "labels", ask: fromLabelRequest(ask), ...(columns ? { columns } : {}), ...more };
    }
    case "blocks":
      return { kind: "blocks", startMs: kind.value.startMs, endMs: kind.value.endMs, ...more };
    case "digests":
      return {
        kind: "digests",
        ranges: kind.value.ranges.map(({ startMs, endMs }) => ({ startMs, endMs })),
        ...more,
      };
    default:
      return assertNever(kind);
  }
}

/** Converts the result of a query to its message. */
export function toJobResult(r: JobResult): ResultInit {
  const { warnings } = r;
  switch (r.kind) {
    case "select":
      return {
        warnings,
        kind: { case: "select", value: { parts: r.parts.map(toPartialResult), digest: r.digest } },
      };
    case "digests":
      return { warnings, kind: { case: "digests", value: { digests: r.digests } } };
    case "labels":
      return { warnings, kind: { case: "labels", value: { answer: toLabelAnswer(r.answer) } } };
    case "blocks":
      return {
        warnings,
        kind: {
          case: "blocks",
          value: {
            recent: r.recent.map(toBlockInfo),
            stored: r.stored.map(toBlockInfo),
            chosen: r.chosen ?? [],
          },
        },
      };
    default:
      return assertNever(r);
  }
}

/** Converts the message of a result back. @throws `invalid` for a kind of another release */
export function fromJobResult(message: JobResultMessage | undefined): JobResult {
  if (message?.kind.case === undefined) throw missing("a result of a known kind");
  const { kind, warnings } = message;
  switch (kind.case) {
    case "select": {
      const { parts, digest } = kind.value;
      return { kind: "select", parts: parts.map(fromPartialResult), digest, warnings };
    }
    case "digests":
      return { kind: "digests", digests: kind.value.digests, warnings };
    case "labels":
      return { kind: "labels", answer: fromLabelAnswer(kind.value.answer), warnings };
    case "blocks": {
      const { recent, stored, chosen } = kind.value;
      return {
        kind: "blocks",
        recent: recent.map(fromBlockInfo),
        stored: stored.map(fromBlockInfo),
        chosen,
        warnings,
      };
    }
    default:
      return assertNever(kind);
  }
}
