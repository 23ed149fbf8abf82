import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CinderblockError, CONDITIONS, DISCARD_REASONS, ERROR_KINDS } from "@cinderblock/errors";
import { codeName, ERROR_CODES, httpError, toConnectError } from "./error-codes.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/reference/errors.md"), "utf8");
/** First cells of the table below a heading. */
function rowsBelow(heading: string): string[][] {
  const part = page.slice(page.indexOf(heading)).split(/\n(?=## )/)[0]!;
  return [...part.matchAll(/^\| `([^|]*)` \|(.*)\|$/gm)].map((m) => [
    m[1]!,
    ...m[2]!.split("|").map((c) => c.trim()),
  ]);
}

describe("the reference page of errors", () => {
  it("lists every kind with its code and status", () => {
    const documented = rowsBelow("# Errors").map(([kind, code, http]) => [
      kind,
      code!.replace(/`/g, ""),
      Number(http),
    ]);
    const actual = ERROR_KINDS.map((kind) => [
      kind,
      codeName(ERROR_CODES[kind].code),
      ERROR_CODES[kind].http,
    ]);
    expect(documented.sort()).toEqual(actual.sort());
  });

  it("lists every condition", () => {
    expect(
      rowsBelow("## Conditions")
        .map(([condition]) => condition)
        .sort(),
    ).toEqual([...CONDITIONS].sort());
  });

  it("lists every discard reason", () => {
    expect(
      rowsBelow("## Discard reasons")
        .map(([reason]) => reason)
        .sort(),
    ).toEqual([...DISCARD_REASONS].sort());
  });
});

describe("an error of a Connect call", () => {
  it("names the condition that the client can correct in a header, and no other detail", () => {
    const detail = { condition: "no-tenant", limit: 3 };
    expect([...toConnectError(new CinderblockError("unauthenticated", "m", { detail })).metadata]).toEqual([
      ["x-cinderblock-condition", "no-tenant"],
    ]);
    for (const err of [
      new CinderblockError("limit", "no-tenant", { detail: { limit: 3 } }),
      new CinderblockError("limit", "m", { detail: { condition: "of another release" } }),
      new Error("no-tenant"),
    ])
      expect([...toConnectError(err).metadata]).toEqual([]);
  });
});

describe("an error of a plain HTTP route", () => {
  it("carries the code and the message, and is 413 when a body is too large", () => {
    expect(httpError({}, new CinderblockError("limit", "too many"))).toEqual({
      status: 429,
      body: '{"code":"resource_exhausted","message":"too many"}\n',
    });
    expect(
      httpError({}, new CinderblockError("invalid", "body", { reason: "body_size_limit_exceeded" })).status,
    ).toBe(413);
    expect(httpError({}, new CinderblockError("unknown", "bad profile"), { unknown: 422 }).status).toBe(422);
  });
});
