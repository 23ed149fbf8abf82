import { kindOf } from "@cinderblock/errors";
import { pprofName } from "./ingest-request.ts";
import { toPushAnswer, sumPushAnswers } from "./aggregate.ts";
import type { PushOutcome } from "./push.ts";
import { speedscopeRate } from "./speedscope.ts";
import { textType } from "./text.ts";

/** Property names of every JavaScript object. */
const PROPERTIES = [...Object.getOwnPropertyNames(Object.prototype), "prototype"];

describe("client names that equal properties of every object", () => {
  it.each(PROPERTIES)("%s is an ordinary sample type", (name) => {
    expect(pprofName([name], undefined)).toBe(name);
    expect(pprofName([name], new Map())).toBe(name);
    expect(pprofName([name], new Map([[name, { "display-name": "inuse_x" }]]))).toBe("memory");
  });

  it.each(PROPERTIES)("%s is not a text type", (name) => {
    let err: unknown;
    try {
      textType(`app.${name}`);
    } catch (e) {
      err = e;
    }
    expect(kindOf(err)).toBe("invalid");
    expect(speedscopeRate(name, 100)).toBeUndefined();
  });

  it("are ordinary usage groups, across threads, processes and parts of an aggregate", () => {
    const outcome: PushOutcome = {
      profiles: 1,
      compressedBytes: 1,
      decompressedBytes: 1,
      samples: 1,
      discarded: [],
      error: undefined,
      groups: new Map(PROPERTIES.map((name, i) => [name, i + 1])),
    };
    const answer = toPushAnswer(outcome);
    expect(answer.groupBytes).toEqual(PROPERTIES.map((name, i) => [name, i + 1]));
    expect(sumPushAnswers([answer, answer]).groupBytes).toEqual(
      PROPERTIES.map((name, i) => [name, 2 * (i + 1)]),
    );
  });
});
