import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type DetailValue, type ErrorDetail, ErrorDetailSchema } from "@cinderblock/api";
import {
  type CinderblockError,
  type ErrorKind,
  type ErrorRecord,
  fromErrorRecord,
  toErrorRecord,
} from "@cinderblock/errors";
import { codeName, ERROR_CODES } from "./error-codes.ts";

/** A Connect error as JSON. */
interface ConnectErrorBody {
  code?: string;
  message?: string;
  details?: { type?: string; value?: string }[];
}

/** Converts what decides about an error to its message. */
export function toErrorDetail({ kind, reason, detail = {} }: ErrorRecord): ErrorDetail {
  return create(ErrorDetailSchema, {
    kind,
    reason: reason ?? "",
    detail: Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, toDetailValue(value)])),
  });
}

function toDetailValue(value: string | number | boolean): Pick<DetailValue, "value"> {
  if (typeof value === "string") return { value: { case: "text", value } };
  return { value: typeof value === "number" ? { case: "number", value } : { case: "flag", value } };
}

/** Converts the message of an error back. Kinds of another release become `internal`. */
export function fromErrorDetail(message: string, { kind, reason, detail }: ErrorDetail): ErrorRecord {
  const facts = Object.entries(detail).flatMap(([name, { value }]) =>
    value.case === undefined ? [] : [[name, value.value] as const],
  );
  return {
    kind: kind as ErrorKind,
    message,
    ...(reason === "" ? {} : { reason: reason as NonNullable<ErrorRecord["reason"]> }),
    ...(facts.length === 0 ? {} : { detail: Object.fromEntries(facts) }),
  };
}

/** Status and body of a failed call between processes: code, message and detail, without the stack. */
export function internalError(err: unknown): { status: number; body: Buffer } {
  const record = toErrorRecord(err),
    { code, http } = ERROR_CODES[record.kind],
    value = Buffer.from(toBinary(ErrorDetailSchema, toErrorDetail(record))).toString("base64");
  const body: ConnectErrorBody = {
    code: codeName(code),
    message: record.message,
    details: [{ type: ErrorDetailSchema.typeName, value: value.replace(/=+$/, "") }],
  };
  return { status: http, body: Buffer.from(JSON.stringify(body)) };
}

/** First kind of each code; of `limit` and the others with its code, `limit`. */
const KINDS = new Map(
  (Object.keys(ERROR_CODES) as ErrorKind[])
    .reverse()
    .map((kind) => [codeName(ERROR_CODES[kind].code), kind] as const),
);

/** Converts the body of a failed call back to the error. */
export function errorOf(body: Buffer): CinderblockError {
  const { code = "", message = "", details = [] } = JSON.parse(body.toString()) as ConnectErrorBody;
  const detail = details.find(({ type }) => type === ErrorDetailSchema.typeName)?.value;
  return fromErrorRecord(
    detail === undefined
      ? { kind: KINDS.get(code) ?? "internal", message }
      : fromErrorDetail(message, fromBinary(ErrorDetailSchema, Buffer.from(detail, "base64"))),
  );
}
