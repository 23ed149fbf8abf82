import { CinderblockError } from "@cinderblock/errors";
import type { AssignedJob } from "@cinderblock/query";
import type { Tracer } from "@cinderblock/telemetry";
import type { Querier } from "./querier.ts";

/** The scheduler as a querier's loops see it. */
export interface JobSource {
  /** the next job, or undefined when the source closed */
  next(querierId: string): Promise<AssignedJob | undefined>;
}

/** Pulls jobs and runs up to `concurrency` of them at once. */
export class QuerierLoop {
  readonly name = "querier";
  private loops: Promise<void>[] = [];
  private readonly querier: Querier;
  private readonly source: JobSource;
  private readonly concurrency: number;
  private readonly id: string;
  private readonly tracer: Tracer;
  constructor(querier: Querier, source: JobSource, concurrency: number, id: string, tracer: Tracer) {
    this.tracer = tracer;
    this.querier = querier;
    this.source = source;
    this.concurrency = concurrency;
    this.id = id;
  }

  start(): Promise<void> {
    for (let i = 0; i < this.concurrency; i++) this.loops.push(this.loop());
    return Promise.resolve();
  }

  private async loop(): Promise<void> {
    for (;;) {
      const next = await this.source.next(this.id);
      if (!next) return;
      const { tenant, job, trace } = next;
      await this.tracer
        .resume(`querier.${job.kind}`, { tenant }, trace, () => this.run(next))
        .catch(() => undefined); // `run` has reported it
    }
  }

  private async run({ tenant, job, deadlineMs, signal, done, fail }: AssignedJob): Promise<void> {
    try {
      const left = deadlineMs - Date.now();
      if (left <= 0) throw new CinderblockError("deadline", "context deadline exceeded");
      done(await withDeadline(left, signal, (until) => this.querier.run(tenant, job, deadlineMs, until)));
    } catch (err) {
      fail(err);
      throw err;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.loops);
  }
}

/** Runs `work` until its deadline, or until the caller gives up; then the signal stops the sources. */
async function withDeadline<T>(
  ms: number,
  wanted: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    const leave = (err: CinderblockError): void => {
      reject(err);
      stop.abort();
    };
    timer = setTimeout(
      () => {
        leave(new CinderblockError("deadline", "context deadline exceeded"));
      },
      Math.min(ms, 0x7fffffff),
    );
    if (wanted.aborted) leave(new CinderblockError("canceled", "context canceled"));
    wanted.addEventListener(
      "abort",
      () => {
        leave(new CinderblockError("canceled", "context canceled"));
      },
      { once: true, signal: stop.signal },
    );
  });
  try {
    return await Promise.race([work(stop.signal), end]);
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}
