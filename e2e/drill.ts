import { gzipSync } from "node:zlib";
import { Random, tinyPprof } from "@cinderblock/testkit";
import type { Cluster, Component } from "./cluster.ts";
import { Pusher, settle, total, until } from "./pusher.ts";
import type { Server } from "./server.ts";

const HEAP = "memory:alloc_space:bytes:space:bytes";

/** Pushes cumulative heap profiles, one after the other for each of its services, each again until it is acknowledged. */
export class HeapPusher {
  /** service -> value of its first and of its last acknowledged profile */
  readonly seen = new Map<string, { first: number; last: number }>();
  private stopped = false;
  private readonly loops: Promise<void>[];

  constructor(to: () => Server[], services: number, start: number) {
    this.loops = Array.from({ length: services }, async (_, s) => {
      const service = `heap${s}`;
      for (let k = 1; !this.stopped; k++) {
        // What a program has allocated since it began: it only grows.
        const value = k * (s + 1);
        const body = gzipSync(
          tinyPprof({
            types: [
              ["alloc_objects", "count"],
              ["alloc_space", "bytes"],
            ],
            period: ["space", "bytes"],
            stacks: [{ frames: ["main", "alloc"], values: [k, value] }],
            timeNanos: BigInt(start + k) * 1_000_000n,
          }),
        ).toString("base64");
        for (let tries = 0; ; tries++) {
          const all = to();
          const r = await fetch(`${all[(k + s + tries) % all.length]!.url}/push.v1.PusherService/Push`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({
              series: [
                {
                  labels: [
                    { name: "__name__", value: "memory" },
                    { name: "service_name", value: service },
                  ],
                  samples: [{ rawProfile: body }],
                },
              ],
            }),
          }).catch(() => undefined);
          if (r?.status === 200) break;
          await settle(100);
        }
        const known = this.seen.get(service);
        this.seen.set(service, { first: known?.first ?? value, last: value });
        await settle(40);
      }
    });
  }

  /** What all profiles together allocated after the first of each service, which is only a baseline. */
  get expected(): number {
    return [...this.seen.values()].reduce((n, v) => n + v.last - v.first, 0);
  }
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.loops);
  }
}

/** One thing that goes wrong, and is over when it resolves. */
export type Accident = [name: string, happen: () => Promise<void>];

export interface DrillOptions {
  seed: number;
  headers?: Record<string, string>;
  /** start another process like the one that was killed */
  start?: (component: Component, i: number) => Promise<Server>;
}

/**
 * Pushes and queries throughout while accidents happen, in an order that a seed gives. Every answer that is whole is held
 * against what was acknowledged before the question and what was sent by the time of the answer; in the end every
 * acknowledged profile must be there exactly once, and the cumulative ones must add up.
 */
export class Drill {
  readonly random: Random;
  readonly pusher: Pusher;
  readonly heap: HeapPusher;
  readonly wrong: { when: string; over: boolean; what: string }[] = [];
  asked = 0;
  failed = 0;
  partial = 0;
  slowest = { ms: 0, when: "" };
  readonly reasons = new Map<string, number>();
  private asking = true;
  private readonly asker: Promise<void>;
  private readonly cluster: Cluster;
  private readonly options: DrillOptions;
  private now = "quiet";

  constructor(cluster: Cluster, options: DrillOptions) {
    this.cluster = cluster;
    this.options = options;
    const seed = Number(process.env.CINDERBLOCK_SEED ?? options.seed);
    this.random = new Random(seed);
    process.stdout.write(`     seed ${seed} (CINDERBLOCK_SEED=${seed} repeats it)\n`);
    this.pusher = new Pusher(() => cluster.of("distributor"), 3);
    this.heap = new HeapPusher(() => cluster.of("distributor"), 3, this.pusher.start);
    this.asker = this.ask();
  }

  private async ask(): Promise<void> {
    while (this.asking) {
      const when = this.now;
      const frontends = this.cluster.of("query-frontend"),
        before = this.pusher.acknowledged.size,
        from = Date.now();
      // As a load balancer does: one that takes no connection is passed over.
      let t: Awaited<ReturnType<typeof total>> | undefined;
      for (let i = 0; i < frontends.length && !t; i++)
        t = await total(
          frontends[(this.asked + i) % frontends.length]!,
          this.pusher,
          this.options.headers,
        ).catch(() => undefined);
      this.asked++;
      const ms = Date.now() - from;
      if (ms > this.slowest.ms) this.slowest = { ms, when: this.now };
      if (!t || t.status !== 200) {
        this.failed++;
        this.count(t ? `${t.status} ${t.text.slice(0, 200)}` : "no connection");
        await settle(50);
        continue;
      }
      if (t.partial !== "") {
        this.partial++;
        this.count(t.partial);
        continue;
      }
      if (t.sum < before || t.sum > this.pusher.begun)
        this.wrong.push({
          when: `${new Date(from).toISOString().slice(14, 23)} ${when} to ${this.now}`,
          over: t.sum > this.pusher.begun,
          what: `${t.sum}, acknowledged ${before}, sent ${this.pusher.begun}`,
        });
    }
  }
  /** Names what is being done, for what is found meanwhile. */
  note(what: string): void {
    this.now = what;
  }
  private count(reason: string): void {
    const key = `${this.now}: ${reason}`;
    this.reasons.set(key, (this.reasons.get(key) ?? 0) + 1);
  }

  /** A time between two of milliseconds. */
  between(least: number, most: number): number {
    return least + this.random.below(most - least);
  }

  kill(
    component: Component,
    i: number,
    awayMs: [number, number] = [300, 2000],
    meanwhile = (): void => undefined,
  ): Accident {
    return [
      `kill -9 of ${component}-${i}`,
      async () => {
        await this.cluster.get(component, i).stop("SIGKILL");
        meanwhile();
        await settle(this.between(...awayMs));
        await this.restart(component, i);
      },
    ];
  }
  pause(component: Component, i: number, ms: number): Accident {
    return [
      `${component}-${i} stands still for ${ms / 1000} s`,
      async () => {
        const { child } = this.cluster.get(component, i);
        child!.kill("SIGSTOP");
        await settle(ms);
        child!.kill("SIGCONT");
      },
    ];
  }
  restart(component: Component, i: number): Promise<Server> {
    return this.options.start?.(component, i) ?? this.cluster.startOne(component, i);
  }

  /** Two of them at once. */
  both(a: Accident, b: Accident): Accident {
    return [
      `${a[0]} and ${b[0]}`,
      async () => {
        await Promise.all([a[1](), b[1]()]);
      },
    ];
  }

  /** Lets the accidents happen one after the other, in an order that the seed gives, with some quiet between. */
  async run(accidents: readonly Accident[]): Promise<void> {
    // CINDERBLOCK_ACCIDENTS='bucket' has those alone happen whose name matches.
    const only = new RegExp(process.env.CINDERBLOCK_ACCIDENTS ?? "");
    const order = accidents
      .filter(([name]) => only.test(name))
      .map((a) => ({ a, at: this.random.next() }))
      .sort((x, y) => x.at - y.at)
      .map((x) => x.a);
    for (const [name, happen] of order) {
      const started = Date.now(),
        before = this.pusher.acknowledged.size;
      this.now = name;
      await happen();
      await until(
        `pushes are taken after ${name}`,
        () => Promise.resolve(this.pusher.acknowledged.size > before + 5),
        60_000,
      );
      process.stdout.write(
        `       ${name}: ${((Date.now() - started) / 1000).toFixed(1)} s, ${this.pusher.acknowledged.size - before} acknowledged meanwhile\n`,
      );
      await settle(this.between(500, 1500));
    }
    this.now = "quiet";
  }

  /** Ends pushes and questions. @param lost deltas of cumulative profiles that may be missing: one of a service for each move to an ingester alone */
  async end(lost = 0): Promise<void> {
    await this.heap.stop();
    await this.pusher.stop();
    this.asking = false;
    await this.asker;
    await this.whole(lost);
  }

  /** Every acknowledged profile once. */
  async whole(lost = 0): Promise<void> {
    const {
      pusher,
      heap,
      options: { headers },
    } = this;
    let end = { sum: 0, partial: "", status: 0, text: "" };
    for (const frontend of this.cluster.of("query-frontend")) {
      await until(
        "a whole answer",
        async () => {
          end = await total(frontend, pusher, headers);
          return end.status === 200 && end.partial === "";
        },
        60_000,
      );
      if (end.sum < pusher.acknowledged.size || end.sum > pusher.begun) {
        // Whether it stays so tells a loss from an answer that was too early.
        await settle(5000);
        const later = await total(frontend, pusher, headers);
        throw new Error(
          `${end.sum} found, ${pusher.acknowledged.size} acknowledged of ${pusher.begun} sent; five seconds later ${later.sum}, status ${later.status}, partial "${later.partial}"; before: ${JSON.stringify(this.wrong)}`,
        );
      }
    }
    const heapSum = await total(this.cluster.of("query-frontend")[0]!, pusher, headers, HEAP);
    process.stdout.write(
      `     ${pusher.acknowledged.size} acknowledged of ${pusher.begun} sent, ${end.sum} found; heap ${heapSum.sum} of ${heap.expected}; ${this.asked} queries, ${this.failed} failed, ${this.partial} partial, the slowest ${this.slowest.ms} ms (${this.slowest.when})\n`,
    );
    if (this.failed + this.partial > 0)
      process.stdout.write([...this.reasons].map(([r, n]) => `       ${n} x ${r}\n`).join(""));
    expect(this.wrong).toEqual([]);
    expect(heapSum.sum).toBeLessThanOrEqual(heap.expected);
    expect(heapSum.sum).toBeGreaterThanOrEqual(heap.expected - lost);
  }
}
