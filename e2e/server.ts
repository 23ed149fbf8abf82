import type { ChildProcess } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { freePort, startProcess, temporaryFolder } from "@cinderblock/testkit";

export const folder = temporaryFolder;

/** PATH with the Node of this project in front of the machine's Node. */
const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`;

/**
 * A built program in a separate process that ends with the test file: the single binary, or one component.
 */
export class Server {
  child: ChildProcess | undefined;
  port = 0;
  readonly dir: string;
  private readonly program: string;
  /** the release to start: this one, or the folder of another release */
  root = ".";
  /** additional environment variables */
  env: Record<string, string> = {};
  constructor(dir = folder(), program = "cinderblock") {
    this.dir = dir;
    this.program = program;
  }

  /** Whether a path answers with 200; TLS tests replace this method. */
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
    // Idle connections may have closed while a command blocked this process: handle their ends before the
    // next request.
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

  /** Sum of each series' points, by the requested labels. */
  async sums(
    groupBy: string[],
    type: string,
    startMs: number,
    endMs: number,
    headers: Record<string, string> = {},
  ): Promise<Map<string, number>> {
    const { body, status } = await this.json(
      "/querier.v1.QuerierService/SelectSeries",
      {
        profileTypeID: type,
        labelSelector: "{}",
        start: String(startMs),
        end: String(endMs),
        step: 15,
        groupBy,
      },
      headers,
    );
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
