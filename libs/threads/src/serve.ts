import { parentPort } from "node:worker_threads";
import { toErrorRecord } from "@cinderblock/errors";
import { Transfer } from "./transfer.ts";

/** Methods that a worker answers; a result may be a Transfer. */
export type WorkerHandlers = Record<string, (args: never) => unknown>;

/** Answers calls from the thread that started this worker. */
export function serveWorker(handlers: WorkerHandlers): { notify: (name: string, value: unknown) => void } {
  const port = parentPort;
  if (!port) throw new Error("serveWorker must run in a worker thread");
  port.on("message", ({ id, method, args }: { id: number; method: string; args: never }) => {
    const answer = (value: unknown): void => {
      if (value instanceof Transfer) port.postMessage({ id, value: value.value }, value.list);
      else port.postMessage({ id, value });
    };
    const fail = (err: unknown): void => port.postMessage({ id, error: toErrorRecord(err) });
    try {
      const handler = handlers[method];
      if (!handler) throw new Error(`this worker has no method ${method}`);
      const result = handler(args);
      if (result instanceof Promise) result.then(answer).catch(fail); else answer(result);
    } catch (err) { fail(err); }
  });
  return { notify: (name, value) => port.postMessage({ notify: name, value }) };
}
