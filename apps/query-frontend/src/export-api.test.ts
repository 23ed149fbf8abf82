import type { Readable } from "node:stream";
import { PatternBudget } from "@cinderblock/model";
import type { FastifyReply } from "@cinderblock/rpc";
import { exportFile } from "./export-api.ts";
import type { QueryFrontend } from "./frontend.ts";
import { QueryParams } from "./query-params.ts";
import type { RequestContext } from "./request.ts";

describe("a long export", () => {
  const q = new QueryParams(
    new URLSearchParams({
      format: "arrow",
      query: "process_cpu:cpu:nanoseconds:cpu:nanoseconds{}",
      from: "1",
      until: "2",
    }),
    0,
    new PatternBudget(),
  );
  /** The body that is sent, and the warnings in its headers. */
  async function exported(
    steps: readonly string[],
  ): Promise<{ text: string; broken: string; told: string[] }> {
    const told: string[] = [];
    const caller = {
      tenants: ["t"],
      deadlineMs: 0,
      signal: undefined,
      warn: (reason: string) => {
        told.push(reason);
      },
    } satisfies RequestContext;
    const frontend = {
      exports: {
        async *samples(c: RequestContext) {
          for (const s of steps) {
            if (s.startsWith("!")) c.warn(s.slice(1));
            await Promise.resolve();
            yield Buffer.from(s);
          }
        },
      },
    } as unknown as QueryFrontend;
    let body: Readable | undefined,
      text = "",
      broken = "";
    const reply = {
      headers: () => reply,
      send: (b: Readable) => {
        body = b;
        return Promise.resolve();
      },
    };
    await exportFile(frontend, q, caller, reply as unknown as FastifyReply);
    try {
      for await (const piece of body!) text += String(piece);
    } catch (err) {
      broken = (err as Error).message;
    }
    return { text, broken, told };
  }

  it("reports missing data of the first step in its headers, and aborts if a later step lacks data", async () => {
    expect(await exported(["a", "b", "c"])).toEqual({ text: "abc", broken: "", told: [] });
    expect(await exported(["!x", "b", "!y"])).toEqual({ text: "!xb!y", broken: "", told: ["x"] });
    expect(await exported(["a", "!ingester-1 did not respond", "c"])).toEqual({
      text: "a",
      broken: "the export is incomplete: ingester-1 did not respond",
      told: [],
    });
  });
});

it.each(["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "xls"])(
  "no export has the format %s",
  async (format) => {
    const q = new QueryParams(new URLSearchParams({ format, query: "a:b:c:d:e{}" }), 0, new PatternBudget());
    await expect(
      exportFile({} as QueryFrontend, q, {} as RequestContext, {} as FastifyReply),
    ).rejects.toThrow(format);
  },
);
