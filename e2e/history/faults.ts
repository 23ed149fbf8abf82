import { rmSync } from "node:fs";
import { connect } from "node:net";
import { type FaultProxy, Random } from "@cinderblock/testkit";
import type { Component } from "../cluster.ts";
import { settle } from "../wait.ts";
import type { Deployment, Shape, Stores } from "./deployment.ts";

/** Parts that a fault acts on. */
export interface Scene {
  readonly deployment: Deployment;
  readonly stores: Stores;
  readonly random: Random;
  /** pauses or resumes the clients' pushes */
  readonly pause: (paused: boolean) => void;
  /** records that cumulative series get new owners */
  readonly moved: () => void;
}

/** One fault, which has ended when the promise resolves. */
export interface FaultPlan {
  readonly name: string;
  readonly happen: () => Promise<void>;
}

interface FaultKind {
  readonly shapes: readonly Shape[];
  readonly weight: number;
  /** draws all random values in advance, so that a seed gives the same faults independent of timing */
  readonly plan: (scene: Scene) => FaultPlan;
}

const EVERY: readonly Shape[] = ["single", "direct", "kafka"],
  PROCESSES: readonly Shape[] = ["direct", "kafka"];

const between = (random: Random, least: number, most: number): number => least + random.below(most - least);

function kill(scene: Scene, component: Component, i: number, signal: "SIGKILL" | "SIGTERM"): FaultPlan {
  const away = between(scene.random, 50, signal === "SIGKILL" ? 1500 : 600);
  return {
    name: `${signal} of ${component}-${i}, back after ${away} ms`,
    happen: () => scene.deployment.restart(component, i, signal, () => settle(away)),
  };
}

function pause(scene: Scene, component: Component, i: number): FaultPlan {
  const ms = between(scene.random, 300, 2800);
  return {
    name: `SIGSTOP of ${component}-${i} for ${ms} ms`,
    happen: () =>
      scene.deployment.alone(component, i, async ({ child }) => {
        child!.kill("SIGSTOP");
        await settle(ms);
        child!.kill("SIGCONT");
      }),
  };
}

const anyHolder = ({ deployment, random }: Scene): [Component, number] => [
  deployment.holder,
  random.below(deployment.holders),
];

/** Requests to the S3 server fail for some time, while heads are cut. */
function bucket(
  scene: Scene,
  name: string,
  decide: (n: number) => ReturnType<FaultProxy["decide"]>,
): FaultPlan {
  const ms = between(scene.random, 800, 2500);
  return {
    name: `${name} for ${ms} ms`,
    happen: async () => {
      const { proxy } = scene.stores;
      let n = 0;
      proxy.decide = () => decide(n++);
      await Promise.all([scene.deployment.flush(), settle(ms)]);
      proxy.decide = () => undefined;
    },
  };
}

/** One command of Redis's inline protocol. */
function redisCommand(port: number, command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(`${command}\r\n`));
    socket.setTimeout(2000, () => socket.destroy(new Error(`Redis did not answer ${command}`)));
    socket.once("data", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}

const KINDS: readonly FaultKind[] = [
  { shapes: EVERY, weight: 4, plan: (s) => kill(s, ...anyHolder(s), "SIGKILL") },
  { shapes: EVERY, weight: 3, plan: (s) => kill(s, ...anyHolder(s), "SIGTERM") },
  { shapes: EVERY, weight: 2, plan: (s) => pause(s, ...anyHolder(s)) },
  {
    shapes: EVERY,
    weight: 3,
    plan: (s) => {
      const [component, i] = anyHolder(s),
        after = s.random.below(120),
        { name, happen } = kill(s, component, i, "SIGKILL");
      return {
        name: `${name}, ${after} ms into a flush`,
        happen: async () => {
          void s.deployment.flush();
          await settle(after);
          await happen();
        },
      };
    },
  },
  {
    shapes: EVERY,
    weight: 3,
    plan: (s) => {
      const [component, i] = anyHolder(s),
        step = s.random.below(6),
        { name, happen } = kill(s, component, i, "SIGKILL");
      return {
        name: `${name}, at write ${step} to the bucket`,
        happen: async () => {
          const { proxy } = s.stores;
          let writes = 0;
          const hit = new Promise<void>((done) => {
            proxy.decide = ({ method }) => {
              if (method !== "PUT" || writes++ !== step) return undefined;
              s.deployment.get(component, i).child!.kill("SIGKILL");
              done();
              return { delayMs: 30 };
            };
          });
          void s.deployment.flush();
          await Promise.race([hit, settle(1500)]);
          proxy.decide = () => undefined;
          await happen();
        },
      };
    },
  },
  {
    shapes: EVERY,
    weight: 2,
    plan: (s) => {
      const [component, i] = anyHolder(s),
        workers = 1 + s.random.below(3),
        { name, happen } = kill(s, component, i, s.random.below(2) === 0 ? "SIGKILL" : "SIGTERM");
      return {
        name: `${name} with ${workers} ingest threads`,
        happen: async () => {
          s.deployment.setWorkers(component, i, workers);
          await happen();
        },
      };
    },
  },
  {
    shapes: EVERY,
    weight: 2,
    plan: (s) => ({
      name: "flush of every ingester",
      happen: async () => {
        await s.deployment.flush();
        await settle(600);
      },
    }),
  },
  {
    shapes: EVERY,
    weight: 3,
    plan: (s) => {
      const [component, i] = anyHolder(s),
        { name, happen } = kill(s, component, i, s.random.below(2) === 0 ? "SIGKILL" : "SIGTERM");
      return {
        name: `flush of every ingester while no push comes, ${name}`,
        happen: async () => {
          // Without heads the ingester reclaims the log, which then holds only baselines.
          s.pause(true);
          await settle(200);
          await s.deployment.flush();
          await settle(300);
          await happen();
          s.pause(false);
        },
      };
    },
  },
  { shapes: EVERY, weight: 1, plan: (s) => bucket(s, "the bucket is slow", () => ({ delayMs: 300 })) },
  {
    shapes: EVERY,
    weight: 2,
    plan: (s) =>
      bucket(s, "the bucket answers 500 to every second request", (n) =>
        n % 2 === 0 ? { status: 500 } : undefined,
      ),
  },
  {
    shapes: EVERY,
    weight: 1,
    plan: (s) => bucket(s, "the bucket takes no connection", () => ({ cutAfterBytes: 0 })),
  },
  { shapes: EVERY, weight: 2, plan: (s) => bucket(s, "the bucket is silent", () => ({ silentMs: 2500 })) },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => kill(s, "compactor", 0, s.random.below(2) === 0 ? "SIGKILL" : "SIGTERM"),
  },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => kill(s, "store-gateway", 0, s.random.below(2) === 0 ? "SIGKILL" : "SIGTERM"),
  },
  { shapes: PROCESSES, weight: 1, plan: (s) => pause(s, "store-gateway", 0) },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => kill(s, "distributor", s.random.below(2), s.random.below(2) === 0 ? "SIGKILL" : "SIGTERM"),
  },
  { shapes: PROCESSES, weight: 1, plan: (s) => pause(s, "distributor", s.random.below(2)) },
  { shapes: PROCESSES, weight: 1, plan: (s) => kill(s, "query-frontend", 0, "SIGKILL") },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => ({
      name: "FLUSHALL of Redis",
      happen: async () => {
        await redisCommand(s.stores.redis.port, "FLUSHALL");
        await settle(500);
      },
    }),
  },
  {
    shapes: PROCESSES,
    weight: 1,
    plan: (s) => {
      const ms = between(s.random, 200, 2800);
      return {
        name: `Redis is killed, back without its data after ${ms} ms`,
        happen: async () => {
          await s.stores.redis.kill();
          await settle(ms);
          await s.stores.redis.start();
        },
      };
    },
  },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => {
      const i = s.random.below(s.deployment.holders);
      return {
        name: `FLUSHALL of Redis while ingester-${i} is dead`,
        happen: () =>
          s.deployment.restart("ingester", i, "SIGKILL", async () => {
            await redisCommand(s.stores.redis.port, "FLUSHALL");
            await settle(2600);
          }),
      };
    },
  },
  {
    shapes: PROCESSES,
    weight: 2,
    plan: (s) => {
      const i = s.random.below(s.deployment.holders);
      return {
        name: `SIGTERM of ingester-${i}, its disk is lost if it handed everything over`,
        happen: () =>
          s.deployment.restart("ingester", i, "SIGTERM", () => {
            if (!s.deployment.roster().includes(`ingester-${i}`))
              rmSync(s.deployment.dataOf(i), { recursive: true, force: true });
          }),
      };
    },
  },
  {
    shapes: PROCESSES,
    weight: 1,
    plan: (s) => ({
      name: "SIGKILL of every ingester at once",
      happen: async () => {
        const gone = settle(100);
        await Promise.all(
          Array.from({ length: s.deployment.holders }, (_, i) =>
            s.deployment.restart("ingester", i, "SIGKILL", () => gone),
          ),
        );
      },
    }),
  },
  {
    shapes: ["kafka"],
    weight: 2,
    plan: (s) => {
      const i = s.random.below(s.deployment.holders);
      return {
        name: `SIGKILL of ingester-${i}, its disk is lost`,
        happen: () =>
          s.deployment.restart("ingester", i, "SIGKILL", () =>
            rmSync(s.deployment.dataOf(i), { recursive: true, force: true }),
          ),
      };
    },
  },
  {
    shapes: ["kafka"],
    weight: 2,
    plan: (s) => {
      const ms = between(s.random, 300, 2500);
      return {
        name: `SIGSTOP of Kafka for ${ms} ms`,
        happen: async () => {
          s.stores.kafka.pause();
          await settle(ms);
          s.stores.kafka.resume();
        },
      };
    },
  },
  {
    shapes: ["kafka"],
    weight: 2,
    plan: (s) => {
      const i = s.random.below(2);
      return {
        name: `partitions are added, distributor-${i} is restarted`,
        happen: async () => {
          s.moved();
          await s.deployment.addPartitions(1);
          await s.deployment.restart("distributor", i, "SIGTERM");
        },
      };
    },
  },
];

/** A random fault of a shape, by the weight of its kind. */
function any(scene: Scene, kinds: readonly FaultKind[]): FaultPlan {
  let at = scene.random.below(kinds.reduce((n, k) => n + k.weight, 0));
  return kinds.find((k) => (at -= k.weight) < 0)!.plan(scene);
}

/** The kinds of a shape in the order of one round; the order differs between rounds. */
function round(kinds: readonly FaultKind[], number: number): FaultKind[] {
  const random = new Random(number);
  return kinds
    .map((kind) => ({ kind, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ kind }) => kind);
}

/**
 * The faults of a schedule, one after another. The schedules of a shape divide the kinds among them, so that
 * a few schedules cover every kind; some faults happen at the same time as a second fault, drawn by weight.
 * @param turn number of the schedule among those of its shape
 */
export function planFaults(scene: Scene, turn: number, n: number): FaultPlan[] {
  const kinds = KINDS.filter((k) => k.shapes.includes(scene.deployment.shape));
  return Array.from({ length: n }, (_, i) => {
    const at = turn * n + i,
      a = round(kinds, Math.floor(at / kinds.length))[at % kinds.length]!.plan(scene);
    if (scene.random.below(4) !== 0) return a;
    const b = any(scene, kinds);
    return {
      name: `${a.name}; at once ${b.name}`,
      happen: async () => {
        await Promise.all([a.happen(), b.happen()]);
      },
    };
  });
}
