import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { part, partState, sharedTestdata } from "@cinderblock/testkit";
import { folder, type Server } from "./server.ts";

/**
 * Program that sends queries and compares answers with recorded ones of Pyroscope v1; for suites with the
 * part `oracle`.
 */
export class Oracle {
  readonly data = sharedTestdata();
  readonly work = folder();
  /** whether program and recorded answers are available */
  readonly ready = partState("oracle").here;
  private readonly disagrees: ReadonlySet<string>;

  constructor() {
    this.disagrees = new Set(
      this.data
        ? readFileSync(join(this.data, "answers/v1-disagrees-with-itself.txt"), "utf8").trim().split("\n")
        : [],
    );
  }

  /**
   * Runs the program; resolves with its output, also when it failed. The event loop goes on meanwhile, so that
   * idle connections of this process close when the servers announced it.
   */
  run(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      // Comparing 13 MB of answers takes a third less CPU with fewer garbage collections.
      const child = spawn(part("oracle"), args, {
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, GOGC: "400" },
        }),
        parts: Buffer[] = [];
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (b: Buffer) => parts.push(b));
      child.once("error", reject);
      child.once("close", () => resolve(Buffer.concat(parts).toString()));
    });
  }

  get load(): string {
    return join(this.data!, "load");
  }

  /** Pushes the shared load; resolves with the program's output. */
  push(server: Server, base: number, ...more: string[]): Promise<string> {
    return this.run("push", "-load", this.load, "-url", server.url, "-base", String(base), ...more);
  }

  /** Sends the suite's valid queries; returns the folder of the answers. */
  async ask(server: Pick<Server, "url">, base: number, name: string, ...more: string[]): Promise<string> {
    const out = join(this.work, name);
    await this.run(
      "query",
      "-load",
      this.load,
      "-url",
      server.url,
      "-base",
      String(base),
      "-suite",
      "good",
      "-k",
      "1",
      "-out",
      out,
      ...more,
    );
    return out;
  }

  /** Names of the answers that differ. */
  async compare(
    expected: string,
    got: string,
    ...flags: string[]
  ): Promise<{ equal: number; differ: string[] }> {
    const out = await this.run("diff", "-no-trunc", "-lines", "0", ...flags, expected, got);
    return {
      equal: Number(/(\d+) equal/.exec(out)?.[1] ?? 0),
      differ: [...out.matchAll(/^different ([^\s]+):/gm)].map((m) => m[1]!).sort(),
    };
  }

  /** The differing questions of two folders of answers, each with its differences as the program names them. */
  async explain(expected: string, got: string): Promise<Map<string, string[]>> {
    const out = await this.run("diff", "-no-trunc", "-lines", "100000", expected, got),
      found = new Map<string, string[]>();
    let last: string[] = [];
    for (const line of out.split("\n")) {
      const head = /^different ([^\s]+): (.*)$/.exec(line);
      if (head) found.set(head[1]!, (last = head[2]!.endsWith(" differences") ? [] : [head[2]!]));
      else if (line.startsWith("    ")) last.push(line.trim());
    }
    return found;
  }

  /** Removes queries to which v1 gives varying answers, and queries that v1 does not support. */
  surprising(differ: readonly string[]): string[] {
    return differ.filter((d) => !this.disagrees.has(d) && !BEYOND_V1.has(d));
  }

  /** Expects v1's recorded answers of v1's buckets, which must hold after any compaction. */
  async expectBucketAnswers(server: Server, name: string): Promise<void> {
    const { equal, differ } = await this.compare(
      join(this.data!, "answers/compacted"),
      await this.ask(server, BUCKET_BASE, name),
    );
    expect(this.surprising(differ)).toEqual([]);
    expect(equal).toBeGreaterThanOrEqual(351);
  }
}

/** Queries that v1 refuses or ignores, and Cinderblock answers: docs/differences.md, e2e/beyond-v1. */
export const BEYOND_V1: ReadonlySet<string> = new Set([
  "heatmap.HEATMAP_QUERY_TYPE_INDIVIDUAL",
  "heatmap.HEATMAP_QUERY_TYPE_SPAN",
  "merge_dot.svc",
  "flamegraph_callsite.svc",
  "select_series_exemplars.EXEMPLAR_TYPE_INDIVIDUAL",
  "select_series_exemplars.EXEMPLAR_TYPE_SPAN",
]);

/** Base time of the load in the recorded buckets. */
export const BUCKET_BASE = 1795132800000;
