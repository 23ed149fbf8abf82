import type { Transfer } from "./transfer.ts";

/** A method of a worker: takes one value or none. */
type Method = (call: never) => unknown;

/** Constraint of an interface of methods: its members are functions of one value or none. */
export type MethodsOf<M> = { [K in keyof M]: Method };

type Result<F> = F extends (...args: never) => infer R ? Awaited<R> : never;
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never;
type Transferred<A> = { [I in keyof A]: A[I] | Transfer<A[I]> };

/** Calls of a worker's methods from another thread. An argument may be a `Transfer`. */
export type WorkerCalls<M> = {
  readonly [K in keyof M]: (...args: Transferred<Arguments<M[K]>>) => Promise<Result<M[K]>>;
};

/** Implementation of a worker's methods. A result may be a `Transfer`. */
export type WorkerHandlers<M> = {
  readonly [K in keyof M]: (
    ...args: Arguments<M[K]>
  ) => Result<M[K]> | Transfer<Result<M[K]>> | Promise<Result<M[K]> | Transfer<Result<M[K]>>>;
};

/** Messages of a worker without an answer: each member receives one message. */
export type WorkerNotices<N> = { readonly [K in keyof N]: (...args: Arguments<N[K]>) => void };

/** Notices of a worker that sends none. */
export type NoNotices = Record<never, never>;

/**
 * Object with one function per member of `T`, which passes the member's name and argument to `send`. The
 * compiler checks names, arguments and results against `T`; the name exists at run time only.
 */
export function functionsOf<T extends object>(send: (name: string, value: unknown) => unknown): T {
  const made: Record<string, (value: unknown) => unknown> = {};
  return new Proxy(made, {
    get(_, name) {
      // An `await` of the object itself must not count as a call.
      if (typeof name !== "string" || name === "then") return undefined;
      return (made[name] ??= (value) => send(name, value));
    },
  }) as T;
}
