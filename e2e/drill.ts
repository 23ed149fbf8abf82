import { Random } from "@cinderblock/testkit";
import type { Cluster, Component } from "./cluster.ts";
import { checkAnswer, describeViolations, type Violation } from "./history/checker.ts";
import { Clients } from "./history/clients.ts";
import { History } from "./history/history.ts";
import { ask, Asker, defaultReads, type Range } from "./history/questions.ts";
import type { Server } from "./server.ts";
import { settle, until } from "./wait.ts";

/** One fault, which has ended when the promise resolves. */
export type Accident = [name: string, happen: () => Promise<void>];

export interface DrillOptions {
  seed: number;
  /**
   * whether Kafka is between distributors and ingesters: then only strong reads must include all acknowledged
   * profiles
   */
  kafka?: boolean;
  /** starts another process like the killed one */
  start?: (component: Component, i: number) => Promise<Server>;
}

const HOUR_MS = 3600_000;

/**
 * Pushes to a cluster and queries it throughout while faults happen, in an order derived from a seed. The
 * history checker compares every answer with the history; in the end every acknowledged profile must exist
 * exactly once.
 */
export class Drill {
  readonly random: Random;
  readonly history = new History();
  readonly asker: Asker;
  readonly range: Range;
  private readonly clients: Clients;
  private readonly cluster: Cluster;
  private readonly options: DrillOptions;

  constructor(cluster: Cluster, options: DrillOptions) {
    this.cluster = cluster;
    this.options = options;
    const seed = Number(process.env.CINDERBLOCK_SEED ?? options.seed);
    this.random = new Random(seed);
    process.stdout.write(`     seed ${seed} (CINDERBLOCK_SEED=${seed} repeats it)\n`);
    const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS / 2;
    this.range = { startMs: startMs - 2 * HOUR_MS, endMs: startMs + HOUR_MS / 2 };
    this.clients = new Clients(() => cluster.of("distributor"), this.history, {
      seed,
      cpu: 3,
      heap: 3,
      startMs,
      windows: 2,
      pauseMs: 60,
    });
    this.asker = new Asker(() => cluster.of("query-frontend"), this.history, {
      range: this.range,
      pauseMs: 100,
      defaults: defaultReads(options.kafka === true),
    });
  }

  get violations(): Violation[] {
    return this.asker.violations;
  }

  /** Names the current step, for violations found meanwhile. */
  note(what: string): void {
    this.history.note(what);
  }

  /** Random duration between two bounds, in milliseconds. */
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
      `SIGSTOP of ${component}-${i} for ${ms / 1000} s`,
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

  /** Two faults at once. */
  both(a: Accident, b: Accident): Accident {
    return [
      `${a[0]} and ${b[0]}`,
      async () => {
        await Promise.all([a[1](), b[1]()]);
      },
    ];
  }

  /** Runs the faults one after another, in an order derived from the seed, with pauses between them. */
  async run(accidents: readonly Accident[]): Promise<void> {
    // CINDERBLOCK_ACCIDENTS='bucket' runs only faults whose name matches.
    const only = new RegExp(process.env.CINDERBLOCK_ACCIDENTS ?? "");
    const order = accidents
      .filter(([name]) => only.test(name))
      .map((a) => ({ a, at: this.random.next() }))
      .sort((x, y) => x.at - y.at)
      .map((x) => x.a);
    for (const [name, happen] of order) {
      const started = Date.now(),
        before = this.history.acknowledged;
      await this.history.fault(name, happen);
      await until(
        `pushes are taken after ${name}`,
        () => Promise.resolve(this.history.acknowledged > before + 5),
        60_000,
      );
      process.stdout.write(
        `       ${name}: ${((Date.now() - started) / 1000).toFixed(1)} s, ${this.history.acknowledged - before} acknowledged meanwhile\n`,
      );
      await settle(this.between(500, 1500));
    }
  }

  /**
   * Ends pushes and queries.
   * @param lost cumulative profiles that may be missing: one per service for each move to an ingester without
   * replicas
   */
  async end(lost = 0): Promise<void> {
    await this.clients.stop();
    await this.asker.stop();
    await this.whole(lost);
  }

  /** Checks that each frontend answers with every acknowledged profile once. */
  async whole(lost = 0): Promise<void> {
    const found: Violation[] = [];
    for (const frontend of this.cluster.of("query-frontend"))
      for (const kind of ["cpu", "heap"] as const)
        await until(
          "a whole answer",
          async () => {
            const a = await ask(frontend, kind, true, this.range);
            if (a.status !== 200 || a.partial !== "") return false;
            found.push(...checkAnswer(this.history, a));
            return true;
          },
          60_000,
        );
    const { asked, failed, partial, slowestMs, reasons } = this.asker;
    process.stdout.write(
      `     ${this.history.acknowledged} acknowledged of ${this.history.pushes.size} sent; ${asked} queries, ${failed} failed, ${partial} partial, the slowest ${slowestMs} ms\n`,
    );
    process.stdout.write([...reasons].map(([r, n]) => `       ${n} x ${r}\n`).join(""));
    let wrong = [...this.violations, ...found];
    const missing = wrong.filter((v) => v.what === "lost" && v.answer.kind === "heap");
    if (new Set(missing.map((v) => v.id)).size <= lost) wrong = wrong.filter((v) => !missing.includes(v));
    if (wrong.length > 0) throw new Error(describeViolations(this.history, wrong));
  }
}
