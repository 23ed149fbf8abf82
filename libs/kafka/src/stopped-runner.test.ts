import { createRequire } from "node:module";
import { Deferred } from "@cinderblock/async";
import { endStoppedLoops, type KafkajsRunner } from "./stopped-runner.ts";

interface StartedRunner extends KafkajsRunner {
  start(): Promise<void>;
  stop(): Promise<void>;
}
const Theirs = createRequire(import.meta.url)("kafkajs/src/consumer/runner.js") as new (
  options: object,
) => StartedRunner;

const LOOKS = 1000;
const turn = (): Promise<void> =>
  new Promise((r) => {
    setImmediate(r);
  });

/** A consumer that is stopped while its two loops end because a broker has left. */
async function stoppedDuringChange(
  Class: new (options: object) => StartedRunner,
): Promise<{ looks: number; left: boolean }> {
  let nodes = [1, 2],
    looks = 0,
    left = false;
  const pending = new Map<number, Deferred<unknown[]>>(),
    log = { debug: () => undefined, info: () => undefined, namespace: (): object => log };
  const runner = new Class({
    logger: log,
    consumerGroup: {
      connect: () => Promise.resolve(),
      joinAndSync: () => Promise.resolve(),
      heartbeat: () => Promise.resolve(),
      leave: () => {
        left = true;
        return Promise.resolve();
      },
      // Each loop asks before each fetch. A loop that never ends would freeze the test: it fails here.
      getNodeIds: () => {
        if (++looks > LOOKS) throw new Error("the loop does not end");
        return nodes;
      },
      fetch: (node: number) => {
        const answer = new Deferred<unknown[]>();
        pending.set(node, answer);
        return answer.promise;
      },
    },
    instrumentationEmitter: { emit: () => undefined },
    concurrency: 1,
    onCrash: () => undefined,
    retry: { retries: 0 },
  });
  await runner.start();
  await turn();
  nodes = [1];
  pending.get(1)!.resolve([]); // this loop sees the change and ends, then waits for the other one
  await turn();
  const stopped = runner.stop();
  pending.get(2)!.resolve([]);
  await stopped;
  return { looks, left };
}

describe("a consumer that is stopped while the brokers change", () => {
  it("never ends its loops in kafkajs", async () => {
    expect((await stoppedDuringChange(Theirs)).looks).toBeGreaterThan(LOOKS);
  });

  it("ends its loops and leaves its group", async () => {
    const Ours = class extends Theirs {};
    endStoppedLoops(Ours);
    const { looks, left } = await stoppedDuringChange(Ours);
    expect(looks).toBeLessThan(10);
    expect(left).toBe(true);
  });
});
