import { parentPort, workerData } from "node:worker_threads";
import { CinderblockError, toErrorRecord } from "@cinderblock/errors";
import { PROFILE, type WorkerStart } from "./client.ts";
import {
  functionsOf,
  type MethodsOf,
  type NoNotices,
  type WorkerHandlers,
  type WorkerNotices,
} from "./methods.ts";
import { type ProfileAsk, profileThisThread } from "./profile.ts";
import { type NodeTransferable, Transfer } from "./transfer.ts";

interface CallMessage {
  id: number;
  method: string;
  args: unknown;
}
type AnswerMessage = { id: number; value?: unknown; error?: unknown } | { notify: string; value: unknown };

/** Start data of this worker. */
export function startData<T>(): T {
  return (workerData as WorkerStart).data as T;
}

/**
 * Serves the methods of `M` to the thread that started this worker. Answers of one event-loop turn are sent
 * as one message.
 * @returns `notify`, whose functions send the notices of `N` to that thread
 */
export function serveWorker<M extends MethodsOf<M>, N = NoNotices>(
  handlers: WorkerHandlers<M>,
): { readonly notify: WorkerNotices<N> } {
  const port = parentPort;
  if (!port) throw new Error("serveWorker must run in a worker thread");
  let outbox: AnswerMessage[] = [];
  let moved: NodeTransferable[] = [];
  const send = (message: AnswerMessage, transfer: readonly NodeTransferable[] = []): void => {
    outbox.push(message);
    for (const t of transfer) moved.push(t);
    if (outbox.length > 1) return;
    queueMicrotask(() => {
      const batch = outbox,
        list = moved;
      outbox = [];
      moved = [];
      port.postMessage(batch, list);
    });
  };
  const methods = handlers as Readonly<Record<string, ((args: unknown) => unknown) | undefined>>;
  const handle = ({ id, method, args }: CallMessage): void => {
    const answer = (value: unknown): void => {
      if (value instanceof Transfer) send({ id, value: value.value }, value.list);
      else send({ id, value });
    };
    const fail = (err: unknown): void => send({ id, error: toErrorRecord(err) });
    try {
      const handler = method === PROFILE ? profile : methods[method];
      if (!handler) throw new CinderblockError("unimplemented", `this worker has no method ${method}`);
      const result = handler(args);
      if (result instanceof Promise) result.then(answer).catch(fail);
      else answer(result);
    } catch (err) {
      fail(err);
    }
  };
  const { taken } = workerData as WorkerStart;
  port.on("message", (calls: CallMessage[]) => {
    for (const c of calls) handle(c);
    Atomics.add(taken, 0, 1);
  });
  return { notify: functionsOf<WorkerNotices<N>>((name, value) => send({ notify: name, value })) };
}

const profile = (ask: unknown): unknown => profileThisThread(ask as ProfileAsk);
