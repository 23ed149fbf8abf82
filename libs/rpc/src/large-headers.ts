import type { AnyRequest } from "./connections.ts";

/** Header bytes of a request that count in no budget: the limit of connections bounds them. */
export const UNCOUNTED_HEADER_BYTES = 64 << 10;

/** Bytes of a request beyond UNCOUNTED_HEADER_BYTES. */
const beyondFree = (bytes: number): number => Math.max(0, bytes - UNCOUNTED_HEADER_BYTES);

/** Bytes of a request's target and header fields, as the process holds them. */
function headerBytes({ url = "", rawHeaders }: AnyRequest): number {
  let bytes = url.length;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** A connection on which large headers arrive. */
export interface ArrivingHeaders<C> {
  readonly connection: C;
  /** bytes since the connection's last request */
  readonly bytes: number;
}

/**
 * Budget for the memory of large headers of all connections of a port: those of requests in progress, and
 * incomplete ones (docs/correctness.md, "Every input has a budget").
 */
export class LargeHeaders {
  /** bytes of requests in progress beyond UNCOUNTED_HEADER_BYTES each */
  private heldBytes = 0;
  private readonly budgetBytes: number;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  /** Text for a client whose headers do not fit at the moment. */
  get refusal(): string {
    return `the large headers of all requests together exceed their ${this.budgetBytes} bytes of memory (a sixteenth of -memory.limit-bytes); retry, or send headers below ${UNCOUNTED_HEADER_BYTES} bytes\n`;
  }

  /** Reserves memory for a request's headers. @returns its release, or the text of the refusal */
  reserve(req: AnyRequest): (() => void) | string {
    const bytes = beyondFree(headerBytes(req));
    if (bytes === 0) return () => undefined;
    if (this.heldBytes + bytes > this.budgetBytes) return this.refusal;
    this.heldBytes += bytes;
    let held = true;
    return () => {
      if (held) this.heldBytes -= bytes;
      held = false;
    };
  }

  /** Connections whose headers must be refused so that all others fit: those with the most bytes. */
  excess<C>(arriving: ArrivingHeaders<C>[]): C[] {
    let total = this.heldBytes + arriving.reduce((n, a) => n + beyondFree(a.bytes), 0);
    const refused: C[] = [];
    for (const { connection, bytes } of arriving.sort((a, b) => b.bytes - a.bytes)) {
      if (total <= this.budgetBytes) break;
      refused.push(connection);
      total -= beyondFree(bytes);
    }
    return refused;
  }
}
