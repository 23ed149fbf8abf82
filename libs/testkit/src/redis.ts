import type { ChildProcess } from "node:child_process";
import { killed, startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { freePort, listens } from "./ports.ts";

/** A running Redis on this machine; `pause` and `resume` stop and continue its process. */
export interface RedisServer {
  port: number;
  /** kills the server like a crash; its data is lost */
  kill(): Promise<void>;
  start(): Promise<void>;
  pause(): void;
  resume(): void;
}

/**
 * Starts a real Redis in a separate process, without persistence.
 * @param options of redis-server
 * @param at its port; absent: a free one
 */
export async function startRedis(options: readonly string[] = [], at?: number): Promise<RedisServer> {
  const program = part("redis"),
    port = at ?? (await freePort()),
    directory = temporaryFolder();
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    child = startProcess(
      program,
      [
        ...["--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no"],
        ...["--dir", directory, ...options],
      ],
      { stdio: "ignore" },
    );
    for (let i = 0; i < 200; i++) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
      if (await listens(port)) return;
      await new Promise((r) => {
        setTimeout(r, 50);
      });
    }
    throw new Error("redis-server did not start");
  };
  await start();
  return {
    port,
    start,
    kill: () => killed(child),
    pause: () => {
      child.kill("SIGSTOP");
    },
    resume: () => {
      child.kill("SIGCONT");
    },
  };
}
