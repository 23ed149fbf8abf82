import { constants, createGunzip } from "node:zlib";

/**
 * Interface of the engine of Node's synchronous zlib calls: one write of input into a given output, and the
 * rest of both.
 */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    at: number,
    length: number,
    output: Uint8Array,
    outAt: number,
    outLength: number,
  ): void;
  reset(): void;
  onerror: (message: string, errno: number, code: string) => void;
}
interface Engine {
  _handle: Handle;
  _writeState: Uint32Array;
}

/** Output memory at the start; larger profiles grow it, up to MOST_BYTES. */
const FIRST_BYTES = 128 << 10;
/**
 * Maximum size for the reused memory: larger profiles use the plain call, so that one large profile does not
 * occupy memory forever.
 */
const MOST_BYTES = 4 << 20;

/**
 * Inflates one gzip body after the other into the same memory. `gunzipSync` creates an engine and a buffer
 * per call. Buffers are external memory, and V8 collects the whole heap after some megabytes of them, which
 * took a sixth of a push's CPU. Node has no public call for this, so `create` checks the shape of Node's
 * engine; it returns undefined for another shape, and the plain call is used.
 */
export class ReusedGunzip {
  private readonly handle: Handle;
  /** [0] free bytes of the output, [1] bytes of the input not used */
  private readonly state: Uint32Array;
  private out = new Uint8Array(FIRST_BYTES);
  private failure: (Error & { code?: string }) | undefined;

  private constructor(engine: Engine) {
    this.handle = engine._handle;
    this.state = engine._writeState;
    this.handle.onerror = (message, _errno, code) => {
      this.failure = Object.assign(new Error(message), { code });
    };
  }

  /** Creates an engine, or returns undefined if this Node version's zlib has another shape. */
  static create(): ReusedGunzip | undefined {
    const engine = createGunzip() as unknown as Partial<Engine>;
    const usable =
      typeof engine._handle?.writeSync === "function" &&
      typeof engine._handle.reset === "function" &&
      ArrayBuffer.isView(engine._writeState) &&
      engine._writeState.length === 2;
    return usable ? new ReusedGunzip(engine as Engine) : undefined;
  }

  /**
   * Inflates a body; the result is a view that is valid until the next call. Returns undefined for bodies
   * that need the plain call: more than 4 MiB, more than `limit`, broken, truncated, or with bytes after the
   * stream. Several members form one stream.
   * @param hint size in bytes that the stream states
   * @param limit maximum size of the result in bytes
   */
  inflate(bytes: Uint8Array, hint: number, limit: number): Uint8Array | undefined {
    const most = Math.min(MOST_BYTES, limit);
    if (hint >= most) return undefined;
    if (hint >= this.out.length) this.out = new Uint8Array(Math.min(MOST_BYTES, hint * 2));
    this.handle.reset();
    this.failure = undefined;
    this.handle.writeSync(constants.Z_FINISH, bytes, 0, bytes.length, this.out, 0, this.out.length);
    const [free, unread] = this.state;
    const length = this.out.length - free!;
    // A full output may be complete or not: the plain call finds out.
    if (this.failure || unread !== 0 || free === 0 || length > most) return undefined;
    return this.out.subarray(0, length);
  }
}
