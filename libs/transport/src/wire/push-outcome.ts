import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PushOutcome, PushOutcomeSchema } from "@cinderblock/api";
import type { DiscardReason } from "@cinderblock/errors";
import type { PushAnswer } from "@cinderblock/ingest";
import { fromFailure, toFailure } from "./failure.ts";

/** Converts the answer to a push to its message. */
export function toPushOutcome(answer: PushAnswer): MessageInitShape<typeof PushOutcomeSchema> {
  const { groupBytes, parts } = answer;
  return {
    profiles: answer.profiles,
    compressedBytes: BigInt(answer.compressedBytes),
    decompressedBytes: BigInt(answer.decompressedBytes),
    samples: BigInt(answer.samples),
    discarded: answer.discarded.map(({ reason, profiles, bytes, groups }) => ({
      reason,
      profiles,
      bytes: BigInt(bytes),
      ...(groups ? { groups: { names: groups } } : {}),
    })),
    trickled: answer.trickled === true,
    ...(answer.error ? { error: toFailure(answer.error) } : {}),
    ...(groupBytes
      ? {
          groupBytes: {
            groups: groupBytes.map(([group]) => group),
            bytes: groupBytes.map(([, n]) => BigInt(n)),
          },
        }
      : {}),
    ...(parts ? { aggregate: { parts: parts.map(toPushOutcome) } } : {}),
  };
}

/** Converts the message of an answer to a push back. */
export function fromPushOutcome(outcome: PushOutcome): PushAnswer {
  const { groupBytes, aggregate } = outcome;
  return {
    profiles: outcome.profiles,
    compressedBytes: Number(outcome.compressedBytes),
    decompressedBytes: Number(outcome.decompressedBytes),
    samples: Number(outcome.samples),
    discarded: outcome.discarded.map(({ reason, profiles, bytes, groups }) => ({
      reason: reason as DiscardReason,
      profiles,
      bytes: Number(bytes),
      ...(groups ? { groups: groups.names } : {}),
    })),
    error: outcome.error && fromFailure(outcome.error),
    ...(outcome.trickled ? { trickled: true } : {}),
    ...(groupBytes
      ? { groupBytes: groupBytes.groups.map((group, i) => [group, Number(groupBytes.bytes[i])]) }
      : {}),
    ...(aggregate ? { parts: aggregate.parts.map(fromPushOutcome) } : {}),
  };
}
