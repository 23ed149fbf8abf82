import { CinderblockError } from "@cinderblock/errors";

/** Checks an argument from another process and returns it with its type. @throws `invalid` */
export type Check<T> = (value: unknown) => T;
type Checked<A extends readonly Check<unknown>[]> = {
  [K in keyof A]: A[K] extends Check<infer T> ? T : never;
};

/** A method that other processes of the cluster may call. Made by `internalMethod` alone, so no argument is unchecked. */
export class InternalMethod {
  private readonly checks: readonly Check<unknown>[];
  private readonly work: (args: never, signal: AbortSignal) => Promise<unknown>;

  constructor(
    checks: readonly Check<unknown>[],
    work: (args: never, signal: AbortSignal) => Promise<unknown>,
  ) {
    this.checks = checks;
    this.work = work;
  }

  /** Checks the arguments, then runs the method. `signal` aborts when the caller went away or its time is over. */
  async run(args: unknown, signal: AbortSignal): Promise<unknown> {
    if (!Array.isArray(args)) throw refused("a list of arguments", args);
    const checked = this.checks.map((check, i) => {
      try {
        return check((args as unknown[])[i]);
      } catch (err) {
        throw new CinderblockError("invalid", `argument ${i + 1}: ${(err as Error).message}`, { cause: err });
      }
    });
    return this.work(checked as never, signal);
  }
}
export type InternalMethods = Record<string, InternalMethod>;

/** A method for other processes: one check for each argument, then what runs with the checked arguments. */
export function internalMethod<const A extends readonly Check<unknown>[]>(
  checks: A,
  work: (args: Checked<A>, signal: AbortSignal) => Promise<unknown>,
): InternalMethod {
  return new InternalMethod(checks, work);
}

function refused(expected: string, found: unknown): CinderblockError {
  const what = found === null ? "null" : Array.isArray(found) ? "a list" : `a value of type ${typeof found}`;
  return new CinderblockError("invalid", `expected ${expected}, found ${what}`);
}

export const text: Check<string> = (v) => {
  if (typeof v !== "string") throw refused("text", v);
  return v;
};
export const number: Check<number> = (v) => {
  if (typeof v !== "number" || Number.isNaN(v)) throw refused("a number", v);
  return v;
};
/** An object with fields; the method checks the fields themselves. */
export function record<T extends object>(): Check<T> {
  return (v) => {
    if (typeof v !== "object" || v === null || Array.isArray(v) || ArrayBuffer.isView(v))
      throw refused("fields", v);
    return v as T;
  };
}
export function listOf<T>(check: Check<T>): Check<T[]> {
  return (v) => {
    if (!Array.isArray(v)) throw refused("a list", v);
    return v.map((x) => check(x));
  };
}
/** An argument that may be absent. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (v) => (v === undefined || v === null ? undefined : check(v));
}
