import { kindOf } from "@cinderblock/errors";
import { pprofName } from "./ingest-request.ts";
import { toPushAnswer, sumPushAnswers } from "./aggregate.ts";
import type { PushOutcome } from "./processor.ts";
import { speedscopeRate } from "./speedscope.ts";
import { textType } from "./text.ts";

/** Property names of every JavaScript object. */
const PROPERTIES = [...Object.getOwnPropertyNames(Object.prototype), "prototype"];

describe("names that clients choose and that every object has as properties", () => {
  it.each(PROPERTIES)("%s is a sample type like others", (name) => {
    expect(pprofName([name], undefined)).toBe(name);
    expect(pprofName([name], new Map())).toBe(name);
    expect(pprofName([name], new Map([[name, { "display-name": "inuse_x" }]]))).toBe("memory");
  });

  it.each(PROPERTIES)("%s is no type of a text", (name) => {
    let err: unknown;
    try {
      textType(`app.${name}`);
    } catch (e) {
      err = e;
    }
    expect(kindOf(err)).toBe("invalid");
    expect(speedscopeRate(name, 100)).toBeUndefined();
  });

  it("are usage groups like others, over threads, processes and parts of an aggregate", () => {
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
