import type { AnyRequest } from "./connections.ts";

/** Header bytes of a request that count in no budget: the limit of connections bounds them. */
const FREE_BYTES = 64 << 10;

/** Bytes of a request beyond FREE_BYTES. */
const beyondFree = (bytes: number): number => Math.max(0, bytes - FREE_BYTES);

/** Bytes of a request's target and header fields, as the process holds them. */
function headerBytes({ url = "", rawHeaders }: AnyRequest): number {
  let bytes = url.length;
  for (const text of rawHeaders) bytes += text.length;
  return bytes;
}

/** A connection that waits for the end of a request's headers. */
export interface WaitingHeaders {
  /** bytes that have arrived since its last request */
  receivedBytes(): number;
  refuse(text: string): void;
}

/**
 * Budget for the memory of large headers of all connections of a port: those of requests in progress, and
 * incomplete ones (docs/correctness.md, "Every input has a budget").
 */
export class LargeHeaders {
  /** bytes of requests in progress beyond FREE_BYTES each */
  private heldBytes = 0;
  private readonly budgetBytes: number;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  /** Text for a client whose headers do not fit at the moment. */
  private get refusal(): string {
    return `the large headers of all requests together exceed their ${this.budgetBytes} bytes of memory (a sixteenth of -memory.limit-bytes); retry, or send headers below ${FREE_BYTES} bytes\n`;
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

  /** Refuses connections with the most header bytes until all others fit. */
  check(waiting: Iterable<WaitingHeaders>): void {
    const large: { connection: WaitingHeaders; bytes: number }[] = [];
    let total = this.heldBytes;
    for (const connection of waiting) {
      const bytes = beyondFree(connection.receivedBytes());
      if (bytes === 0) continue;
      large.push({ connection, bytes });
      total += bytes;
    }
    if (total <= this.budgetBytes) return;
    large.sort((a, b) => b.bytes - a.bytes);
    for (const { connection, bytes } of large) {
      connection.refuse(this.refusal);
      if ((total -= bytes) <= this.budgetBytes) return;
    }
  }
}
