import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Failure, FailureSchema } from "@cinderblock/api";
import type { ErrorRecord } from "@cinderblock/errors";
import { fromErrorDetail, toErrorDetail } from "@cinderblock/rpc";

/** Error as a value of a message. */
export function toFailure(record: ErrorRecord): MessageInitShape<typeof FailureSchema> {
  return { message: record.message, detail: toErrorDetail(record), stack: record.stack ?? "" };
}

/** Error from a value of a message. Kinds of another release become `internal` where the error is thrown. */
export function fromFailure({ message, detail, stack }: Failure): ErrorRecord {
  return {
    ...(detail ? fromErrorDetail(message, detail) : { kind: "internal" as const, message }),
    ...(stack === "" ? {} : { stack }),
  };
}
