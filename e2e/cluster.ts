import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type RedisServer, type S3Server } from "@cinderblock/testkit";
import { folder, Server } from "./server.ts";

export type Component =
  | "ingester"
  | "distributor"
  | "query-frontend"
  | "query-scheduler"
  | "querier"
  | "store-gateway"
  | "compactor"
  /** the single binary with every component */
  | "all";

/** Every component as separate processes, with a real Redis and a real S3 server. */
export class Cluster {
  readonly dir = folder();
  readonly members = new Map<string, Server>();
  private readonly flags: readonly string[];
  /** release of the processes that start from now on: this one, or the folder of another release */
  release = ".";
  /** whether `start` waits until a process is ready, or only until its server answers */
  waitsUntilReady = true;
  /** additional environment of every process */
  env: Record<string, string> = {};
  /** additional environment of single processes, by name */
  readonly envOf = new Map<string, Record<string, string>>();
  /** components that run in one process with others: component -> its -target */
  readonly combined = new Map<Component, string>();

  constructor(redis: RedisServer, s3: S3Server, bucket: string, ...flags: string[]) {
    this.flags = [
      "-ring.store=redis",
      `-redis.address=127.0.0.1:${redis.port}`,
      `-redis.key-prefix=${bucket}/ring/`,
      "-ingester.heartbeat-period=500ms",
      "-ring.heartbeat-timeout=3s",
      "-querier.query-timeout=20s",
      "-storage.backend=s3",
      `-storage.s3.endpoint=${s3.endpoint}`,
      "-storage.s3.insecure=true",
      `-storage.s3.bucket-name=${bucket}`,
      `-storage.s3.access-key-id=${s3.accessKeyId}`,
      `-storage.s3.secret-access-key=${s3.secretAccessKey}`,
      ...flags,
    ];
  }

  /** Starts `n` processes of a component; all are ready when this resolves. */
  async start(component: Component, n: number, ...flags: string[]): Promise<void> {
    await Promise.all(Array.from({ length: n }, (_, i) => this.startOne(component, i, ...flags)));
  }

  async startOne(component: Component, i: number, ...flags: string[]): Promise<Server> {
    const name = `${component}-${i}`;
    // Half of the processes are the component's program, half the single binary with -target: both must be
    // equivalent.
    const target = this.combined.get(component) ?? component,
      own = i % 2 === 1 && target === component;
    let server = this.members.get(name);
    if (!server) {
      const dir = join(this.dir, name);
      mkdirSync(dir, { recursive: true });
      this.members.set(name, (server = new Server(dir, own ? component : "cinderblock")));
    }
    server.root = this.release;
    server.env = { ...this.env, ...this.envOf.get(name) };
    if (!this.waitsUntilReady)
      server.answers = async (path) => (await fetch(`${server.url}${path}`)).status > 0;
    await server.start(
      ...(own ? [] : [`-target=${target}`]),
      `-ring.instance-id=${name}`,
      ...this.flags,
      ...flags,
    );
    return server;
  }

  get(component: Component, i = 0): Server {
    return this.members.get(`${component}-${i}`)!;
  }
  of(component: Component): Server[] {
    return [...this.members].filter(([n]) => n.startsWith(`${component}-`)).map(([, s]) => s);
  }

  async flush(): Promise<void> {
    await Promise.all(this.of("ingester").map((s) => s.flush()));
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await Promise.all([...this.members.values()].map((s) => s.stop(signal)));
  }

  /** Members of a ring by state, as a process sees them. */
  async ring(server: Server, path = "/ring"): Promise<Record<string, string>> {
    const r = await fetch(`${server.url}${path}`, { headers: { accept: "application/json" } });
    // Release 0.1.0 names them `members`.
    const { shards, members } = (await r.json()) as Record<
      "shards" | "members",
      { id: string; state: string; read_only?: boolean }[] | undefined
    >;
    return Object.fromEntries(
      (shards ?? members ?? []).map((m) => [m.id, `${m.state}${m.read_only ? " (read-only)" : ""}`]),
    );
  }
}
