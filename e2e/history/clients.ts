import { gzipSync } from "node:zlib";
import { Random, tinyPprof } from "@cinderblock/testkit";
import type { Server } from "../server.ts";
import { settle } from "../wait.ts";
import type { History, Kind, Push, Step } from "./history.ts";

export const TYPES: Record<Kind, string> = {
  cpu: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  heap: "memory:alloc_space:bytes:space:bytes",
};

export interface ClientOptions {
  readonly seed: number;
  /** number of clients of each kind */
  readonly cpu: number;
  readonly heap: number;
  /** time of the first profile */
  readonly startMs: number;
  /** number of one-hour windows of the profiles, the newest first */
  readonly windows: number;
  /** maximum pause between two pushes of a client, in milliseconds */
  readonly pauseMs: number;
}

/** Timeout of a push: after it, the client does not know whether the profile was stored. */
const PUSH_MS = 5000;
const HOUR_MS = 3600_000;

/** Clients that push profiles with unique stacks until they are stopped. */
export class Clients {
  /** while set, no push begins */
  paused = false;
  private stopped = false;
  private readonly loops: Promise<void>[];
  private readonly to: () => readonly Server[];
  private readonly history: History;
  private readonly options: ClientOptions;

  constructor(to: () => readonly Server[], history: History, options: ClientOptions) {
    this.to = to;
    this.history = history;
    this.options = options;
    this.loops = [
      ...Array.from({ length: options.cpu }, (_, c) => this.pushCpu(c)),
      ...Array.from({ length: options.heap }, (_, c) => this.pushHeap(c)),
    ];
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loops);
  }

  /**
   * Iterates over services, windows and values; half of the clients retry a push until it is acknowledged.
   */
  private async pushCpu(client: number): Promise<void> {
    const random = new Random(this.options.seed * 31 + client),
      again = client % 2 === 1;
    for (let n = 0; !this.stopped; n++) {
      const id = `cpu${client}-${n}`,
        service = `s${random.below(6)}`,
        value = 1 + random.below(1000);
      const at = this.options.startMs - (n % this.options.windows) * HOUR_MS + n * 8 + client;
      const body = encode([["cpu", "nanoseconds"]], ["cpu", "nanoseconds"], at, [
        { frames: ["main", `handler${n % 5}`, id], values: [value] },
      ]);
      const push = this.history.push(id, "cpu", service, value);
      for (let tries = 0; !(await this.send(push, "process_cpu", body, n + client + tries)); tries++) {
        if (!again || (this.stopped && tries > 3)) break;
        await settle(50 + random.below(100));
      }
      await this.rest(random.below(this.options.pauseMs));
    }
  }

  /**
   * A program that allocates: each profile has all stacks of its predecessor, a new stack, and the same
   * growing stack. Profiles of a series are sent in order; each is retried until it is acknowledged.
   */
  private async pushHeap(client: number): Promise<void> {
    const random = new Random(this.options.seed * 37 + client);
    const service = `heap${client}`,
      id = (k: number): string => `${service}-${k}`,
      growing = {
        id: `${service}-grows`,
        steps: [] as Step[],
      };
    this.history.growths.set(growing.id, growing);
    const stacks: { frames: string[]; values: number[] }[] = [];
    let grown = 0;
    for (let k = 0; !this.stopped; k++) {
      // The first profile is the baseline of its series: its values were allocated earlier.
      const value = 1 + random.below(1000),
        step: Step = {
          push: id(k),
          total: k === 0 ? 0 : (grown += 1 + random.below(1000)),
          acknowledgedMs: undefined,
        };
      stacks.push({ frames: ["main", "allocate", id(k)], values: [1, value] });
      growing.steps.push(step);
      const body = encode(
        [
          ["alloc_objects", "count"],
          ["alloc_space", "bytes"],
        ],
        ["space", "bytes"],
        this.options.startMs + 2 * k,
        // Its position in the profile is part of its line number: it stays first.
        [{ frames: ["main", "allocate", growing.id], values: [k + 1, 5000 + grown] }, ...stacks],
      );
      const push = this.history.push(id(k), "heap", service, k === 0 ? 0 : value);
      for (let tries = 0; !(await this.send(push, "memory", body, k + client + tries)); tries++) {
        if (this.stopped && tries > 3) break;
        await settle(50 + random.below(100));
      }
      step.acknowledgedMs = push.acknowledgedMs;
      await this.rest(20 + random.below(3 * this.options.pauseMs));
    }
  }

  private async rest(ms: number): Promise<void> {
    await settle(ms);
    while (this.paused && !this.stopped) await settle(20);
  }

  /** One attempt to push; returns whether it was acknowledged. */
  private async send(push: Push, name: string, body: string, turn: number): Promise<boolean> {
    const all = this.to(),
      server = all[turn % all.length];
    if (!server) return false;
    const from = Date.now();
    let outcome: string;
    try {
      const r = await fetch(`${server.url}/push.v1.PusherService/Push`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          series: [
            {
              labels: [
                { name: "__name__", value: name },
                { name: "service_name", value: push.service },
              ],
              samples: [{ rawProfile: body }],
            },
          ],
        }),
        signal: AbortSignal.timeout(PUSH_MS),
      });
      const text = await r.text();
      outcome = `${r.status}${r.status === 200 ? "" : ` ${text.slice(0, 120)}`}`;
      if (r.status === 200) push.acknowledgedMs = Date.now();
    } catch (err) {
      outcome = `no answer (${String((err as { cause?: { code?: string } }).cause?.code ?? (err as Error).name)})`;
    }
    push.attempts.push(`${this.history.time(from)} port ${server.port}: ${outcome}`);
    return push.acknowledgedMs !== undefined;
  }
}

function encode(
  types: [string, string][],
  period: [string, string],
  atMs: number,
  stacks: { frames: string[]; values: number[] }[],
): string {
  return gzipSync(tinyPprof({ types, period, stacks, timeNanos: BigInt(atMs) * 1_000_000n })).toString(
    "base64",
  );
}
