import type { ChildProcess } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { freePort, startProcess, temporaryFolder } from "@cinderblock/testkit";

export const folder = temporaryFolder;

/** PATH on which programs find the Node of this project, whatever Node the machine has. */
const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;

/** A built program in a process of its own, which ends with the test file: the single binary, or the one of a component. */
export class Server {
  child: ChildProcess | undefined;
  port = 0;
  readonly dir: string;
  private readonly program: string;
  /** the release that is started: this one, or the folder of another */
  root = ".";
  /** what its environment has more */
  env: Record<string, string> = {};
  constructor(dir = folder(), program = "cinderblock") {
    this.dir = dir;
    this.program = program;
  }

  /** Whether it answers a path with 200; one that speaks TLS is asked otherwise. */
  answers = async (path: string): Promise<boolean> => (await fetch(`${this.url}${path}`)).status === 200;

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  log(): string {
    return readFileSync(join(this.dir, "log"), "utf8");
  }

  async start(...flags: string[]): Promise<void> {
    this.port ||= await freePort();
    const out = openSync(join(this.dir, "log"), "a");
    this.child = startProcess(
      resolve(this.root, `apps/${this.program}/bin/${this.program}`),
      [
        "-server.http-listen-address=127.0.0.1",
        `-server.http-listen-port=${this.port}`,
        `-storage.filesystem.dir=${this.dir}/bucket`,
        `-pyroscopedb.data-path=${this.dir}/db`,
        `-compactor.data-dir=${this.dir}/compactor`,
        `-blocks-storage.bucket-store.sync-dir=${this.dir}/sync`,
        "-distributor.ingestion-rate-limit-mb=100000",
        "-distributor.ingestion-burst-size-mb=100000",
        "-ingester.max-global-series-per-tenant=0",
        "-validation.reject-older-than=0",
        "-querier.max-query-lookback=0",
        "-querier.max-query-length=0",
        ...flags,
      ],
      { stdio: ["ignore", out, out], env: { ...process.env, PATH, ...this.env } },
    );
    for (let i = 0; i < 600; i++) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`the server ended: ${this.log().slice(-2000)}`);
      try {
        if (await this.answers("/ready")) return;
      } catch {
        /* not listening yet */
      }
      await new Promise((r) => {
        setTimeout(r, 50);
      });
    }
    throw new Error(`not ready: ${this.log().slice(-2000)}`);
  }

  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(null);
    return new Promise((done) => {
      child.once("exit", (code) => done(code));
      child.kill(signal);
    });
  }

  async json(
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    // A command that blocked this process may have outlasted idle connections: see their ends before one is used.
    await new Promise((seen) => {
      setImmediate(seen);
    });
    const r = await fetch(`${this.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    const text = await r.text();
    return { status: r.status, body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  flush(): Promise<unknown> {
    return this.json("/ingester.v1.IngesterService/Flush", {});
  }

  /** Sum of each series' points, by the labels asked for. */
  async sums(groupBy: string[], type: string, startMs: number, endMs: number): Promise<Map<string, number>> {
    const { body, status } = await this.json("/querier.v1.QuerierService/SelectSeries", {
      profileTypeID: type,
      labelSelector: "{}",
      start: String(startMs),
      end: String(endMs),
      step: 15,
      groupBy,
    });
    if (status !== 200) throw new Error(JSON.stringify(body));
    return new Map(
      ((body.series ?? []) as { labels?: { value: string }[]; points: { value: number }[] }[]).map((s) => [
        (s.labels ?? []).map((l) => l.value).join("/"),
        s.points.reduce((n, p) => n + Number(p.value), 0),
      ]),
    );
  }

  async functions(type: string, startMs: number, endMs: number, selector = "{}"): Promise<string[]> {
    const { body } = await this.json("/querier.v1.QuerierService/SelectMergeStacktraces", {
      profileTypeID: type,
      labelSelector: selector,
      start: String(startMs),
      end: String(endMs),
    });
    return (body.flamegraph as { names: string[] }).names;
  }
}

export const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
