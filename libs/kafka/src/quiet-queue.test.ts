import { createRequire } from "node:module";
import { sleep } from "@cinderblock/async";
import { timerlessQueue, type RequestQueue } from "./quiet-queue.ts";

interface Request {
  entry: {
    correlationId: number;
    apiName: string;
    apiKey: number;
    apiVersion: number;
    resolve: (x: unknown) => void;
    reject: (err: Error) => void;
  };
  expectResponse: boolean;
  requestTimeout: number;
  sendRequest: () => void;
}
interface Queue extends RequestQueue {
  push(r: Request): void;
  fulfillRequest(r: { correlationId: number; payload: object; size: number }): void;
  maybeThrottle(ms: number): void;
  checkPendingRequests(): void;
  destroy(): void;
}
const Theirs = createRequire(import.meta.url)("kafkajs/src/network/requestQueue/index.js") as new (
  options: object,
) => Queue;

function queue(Class: new (options: object) => RequestQueue): { q: Queue; looks: () => number } {
  const log = {
    debug: () => undefined,
    error: () => undefined,
    warn: () => undefined,
    info: () => undefined,
  };
  const q = new Class({
    instrumentationEmitter: null,
    maxInFlightRequests: 1,
    requestTimeout: 10_000,
    enforceRequestTimeout: false,
    clientId: "c",
    broker: "b",
    logger: { ...log, namespace: () => log },
    isConnected: () => true,
  }) as Queue;
  const look = q.checkPendingRequests.bind(q);
  let looks = 0;
  q.checkPendingRequests = () => {
    looks++;
    look();
  };
  return { q, looks: () => looks };
}

describe("the queue of a connection's requests", () => {
  const sent: number[] = [];
  beforeEach(() => {
    sent.length = 0;
  });
  const request = (correlationId: number): Request => ({
    entry: {
      correlationId,
      apiName: "Fetch",
      apiKey: 1,
      apiVersion: 1,
      resolve: () => undefined,
      reject: () => undefined,
    },
    expectResponse: true,
    requestTimeout: 10_000,
    sendRequest: () => {
      sent.push(correlationId);
    },
  });
  const answer = (q: Queue, correlationId: number): void => {
    q.fulfillRequest({ correlationId, payload: {}, size: 1 });
  };

  it("is idle while no request waits, unlike that of kafkajs", async () => {
    const rested = (Class: new (options: object) => RequestQueue) => {
      const { q, looks } = queue(Class);
      q.push(request(1));
      answer(q, 1);
      const before = looks();
      return { q, looks: () => looks() - before };
    };
    const theirs = rested(Theirs),
      ours = rested(timerlessQueue(Theirs));
    // kafkajs looks at its queue every few milliseconds, however slow the machine is.
    while (theirs.looks() <= 10) await sleep(10);
    expect(ours.looks()).toBe(0);
    theirs.q.destroy();
    ours.q.destroy();
  });

  it("sends waiting requests when capacity is free, and after the broker's throttling", async () => {
    const { q, looks } = queue(timerlessQueue(Theirs));
    for (const id of [1, 2, 3]) q.push(request(id));
    expect(sent).toEqual([1]);
    answer(q, 1);
    expect(sent).toEqual([1, 2]);
    answer(q, 2);
    answer(q, 3);
    q.maybeThrottle(150);
    q.push(request(4));
    await sleep(60);
    expect(sent).toEqual([1, 2, 3]);
    await sleep(200);
    expect(sent).toEqual([1, 2, 3, 4]);
    const before = looks();
    answer(q, 4);
    await sleep(50);
    expect(looks() - before).toBe(1);
    q.destroy();
  });
});
