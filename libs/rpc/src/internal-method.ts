import { CinderblockError } from "@cinderblock/errors";

/** Checks an argument from another process and returns it with its type. @throws `invalid` */
export type ArgumentCheck<T> = (value: unknown) => T;
type Checked<A extends readonly ArgumentCheck<unknown>[]> = {
  [K in keyof A]: A[K] extends ArgumentCheck<infer T> ? T : never;
};

/**
 * A method for other processes of the cluster. Only `internalMethod` creates instances, so every argument is
 * checked.
 */
export class InternalMethod {
  private readonly checks: readonly ArgumentCheck<unknown>[];
  private readonly work: (args: readonly unknown[], signal: AbortSignal) => Promise<unknown>;

  constructor(
    checks: readonly ArgumentCheck<unknown>[],
    work: (args: readonly unknown[], signal: AbortSignal) => Promise<unknown>,
  ) {
    this.checks = checks;
    this.work = work;
  }

  /**
   * Checks the arguments, then runs the method. `signal` aborts when the caller has left or its deadline has
   * passed.
   */
  async run(args: unknown, signal: AbortSignal): Promise<unknown> {
    if (!Array.isArray(args)) throw refused("a list of arguments", args);
    const checked = this.checks.map((check, i) => {
      try {
        return check((args as unknown[])[i]);
      } catch (err) {
        throw new CinderblockError("invalid", `argument ${i + 1}: ${(err as Error).message}`, { cause: err });
      }
    });
    return this.work(checked, signal);
  }
}
/** Internal methods of a component by name. */
export type InternalMethods = Record<string, InternalMethod>;

/** Creates an internal method from one check per argument, and the work on the checked arguments. */
export function internalMethod<const A extends readonly ArgumentCheck<unknown>[]>(
  checks: A,
  work: (args: Checked<A>, signal: AbortSignal) => Promise<unknown>,
): InternalMethod {
  return new InternalMethod(checks, (args, signal) => work(args as Checked<A>, signal));
}

function refused(expected: string, found: unknown): CinderblockError {
  const what = found === null ? "null" : Array.isArray(found) ? "a list" : `a value of type ${typeof found}`;
  return new CinderblockError("invalid", `expected ${expected}, found ${what}`);
}

/** Checks for a string. @throws `invalid` */
export const text: ArgumentCheck<string> = (v) => {
  if (typeof v !== "string") throw refused("text", v);
  return v;
};
/** Checks for a number. @throws `invalid` */
export const number: ArgumentCheck<number> = (v) => {
  if (typeof v !== "number" || Number.isNaN(v)) throw refused("a number", v);
  return v;
};
/** Checks for an object; the method checks the object's fields itself. @throws `invalid` */
export function record<T extends object>(): ArgumentCheck<T> {
  return (v) => {
    if (typeof v !== "object" || v === null || Array.isArray(v) || ArrayBuffer.isView(v))
      throw refused("fields", v);
    return v as T;
  };
}
/** Checks for a list whose items pass `check`. @throws `invalid` */
export function listOf<T>(check: ArgumentCheck<T>): ArgumentCheck<T[]> {
  return (v) => {
    if (!Array.isArray(v)) throw refused("a list", v);
    return v.map((x) => check(x));
  };
}
/** Check of an optional argument. */
export function optional<T>(check: ArgumentCheck<T>): ArgumentCheck<T | undefined> {
  return (v) => (v === undefined || v === null ? undefined : check(v));
}
