import type { ChildProcess } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, part, startProcess } from "@cinderblock/testkit";
import { folder, Server } from "./server.ts";

/**
 * A real Pyroscope with v1 storage, all modules in one process, on loopback: for suites with the part
 * `pyroscope`. Has the folders of a `Server`, so that each can start over the other's data.
 */
export class V1Server {
  child: ChildProcess | undefined;
  port = 0;
  readonly dir: string;
  constructor(dir = folder()) {
    this.dir = dir;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  log(): string {
    return readFileSync(join(this.dir, "v1-log"), "utf8");
  }

  async start(...flags: string[]): Promise<void> {
    this.port ||= await freePort();
    const grpc = await freePort(),
      gossip = await freePort(),
      loopback = [
        "server.http-listen-address",
        "server.grpc-listen-address",
        "memberlist.bind-addr",
        "memberlist.advertise-addr",
        "ingester.lifecycler.addr",
        "distributor.ring.instance-addr",
        "compactor.ring.instance-addr",
        "query-scheduler.ring.instance-addr",
        "overrides-exporter.ring.instance-addr",
        "store-gateway.sharding-ring.instance-addr",
        "query-frontend.instance-addr",
      ].map((name) => `-${name}=127.0.0.1`),
      out = openSync(join(this.dir, "v1-log"), "a");
    this.child = startProcess(
      part("pyroscope"),
      [
        "-target=all",
        "-architecture.storage=v1",
        "-write-path=ingester",
        "-config.show_banner=false",
        "-log.level=error",
        ...loopback,
        `-server.http-listen-port=${this.port}`,
        `-server.grpc-listen-port=${grpc}`,
        `-memberlist.bind-port=${gossip}`,
        `-memberlist.advertise-port=${gossip}`,
        "-ingester.min-ready-duration=0s",
        "-self-profiling.disable-push=true",
        "-self-profiling.mutex-profile-fraction=0",
        "-self-profiling.block-profile-rate=0",
        "-usage-stats.enabled=false",
        "-tracing.enabled=false",
        "-storage.backend=filesystem",
        `-storage.filesystem.dir=${this.dir}/bucket`,
        `-pyroscopedb.data-path=${this.dir}/db`,
        "-pyroscopedb.retention-policy-disable=true",
        `-compactor.data-dir=${this.dir}/compactor`,
        `-blocks-storage.bucket-store.sync-dir=${this.dir}/sync`,
        "-distributor.ingestion-rate-limit-mb=100000",
        "-distributor.ingestion-burst-size-mb=100000",
        "-ingester.max-global-series-per-tenant=0",
        "-validation.reject-older-than=0",
        ...flags,
      ],
      { stdio: ["ignore", out, out], env: { ...process.env } },
    );
    for (let i = 0; i < 600; i++) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`Pyroscope ended: ${this.log().slice(-2000)}`);
      const ready = await fetch(`${this.url}/ready`).catch(() => undefined);
      if (ready?.status === 200) return;
      await new Promise((go) => {
        setTimeout(go, 100);
      });
    }
    throw new Error(`Pyroscope is not ready: ${this.log().slice(-2000)}`);
  }

  async flush(): Promise<void> {
    const answer = await fetch(`${this.url}/ingester.v1.IngesterService/Flush`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    if (!answer.ok) throw new Error(`Pyroscope refused a flush: ${await answer.text()}`);
  }

  /** A clean stop uploads the blocks of the ingester. */
  stop(): Promise<number | null> {
    return Server.prototype.stop.call(this);
  }
}
