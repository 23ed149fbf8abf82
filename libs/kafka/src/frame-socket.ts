import net from "node:net";
import tls from "node:tls";
import type { ISocketFactory } from "kafkajs";

/** Node reads this much at a time; also an answer's rest below it is read through the memory that all connections share. */
const READ_BYTES = 64 << 10;
/** Longer answers pass as they come: their length is the other side's word. A fetch asks for 10 MB at most. */
const MAX_FRAME_BYTES = 32 << 20;
const HEADER_BYTES = 4;
const KEEP_ALIVE_MS = 60_000;

/** What is read is taken before anything else is read: one for all connections of a thread. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Puts together what a broker sends: each answer is a length of four bytes, big endian, and that many bytes. The most of
 * a large answer is read where it stays.
 */
export class FrameReader {
  private readonly header = Buffer.alloc(HEADER_BYTES);
  private headerBytes = 0;
  private frame: Buffer | undefined;
  private filled = 0;
  /** bytes of a long answer that are still to come */
  private passing = 0;
  private readonly onFrame: (frame: Buffer) => void;

  /** @param onFrame told each answer, its length before it, as memory of its own; a long one in pieces */
  constructor(onFrame: (frame: Buffer) => void) {
    this.onFrame = onFrame;
  }

  /** Where the next bytes are to be read to. */
  space(): Buffer {
    const { frame, filled } = this;
    return frame && frame.length - filled >= READ_BYTES ? frame.subarray(filled) : shared;
  }

  /** Takes the bytes that were read to the last `space()`, from its beginning. */
  took(space: Uint8Array, bytes: number): void {
    if (space.buffer !== this.frame?.buffer) {
      this.feed(shared.subarray(0, bytes));
      return;
    }
    this.filled += bytes;
    this.end();
  }

  private feed(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.passing > 0) {
        const n = Math.min(this.passing, bytes.length - at);
        this.passing -= n;
        this.onFrame(Buffer.from(bytes.subarray(at, (at += n))));
        continue;
      }
      if (!this.frame) {
        const n = bytes.copy(this.header, this.headerBytes, at);
        this.headerBytes += n;
        at += n;
        if (this.headerBytes < HEADER_BYTES) return;
        this.headerBytes = 0;
        this.begin();
        continue;
      }
      const n = bytes.copy(this.frame, this.filled, at);
      this.filled += n;
      at += n;
      this.end();
    }
  }

  /** The header is there. */
  private begin(): void {
    const length = this.header.readInt32BE();
    if (length < 0 || length > MAX_FRAME_BYTES) {
      this.onFrame(Buffer.from(this.header));
      this.passing = length < 0 ? Infinity : length; // nothing that follows a negative length can be told apart
      return;
    }
    this.frame = Buffer.allocUnsafeSlow(HEADER_BYTES + length);
    this.filled = this.header.copy(this.frame);
    this.end();
  }

  private end(): void {
    const { frame } = this;
    if (!frame || this.filled < frame.length) return;
    this.frame = undefined;
    this.onFrame(frame);
  }
}

/**
 * A connection whose `data` are whole answers. kafkajs's own gathers pieces of 64 kB, each a buffer that the collector
 * hears of, and joins them: a quarter of what an ingester's I/O thread did for a record.
 */
export const frameSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const reader = new FrameReader((frame) => {
    socket.emit("data", frame);
  });
  const onread: net.OnReadOpts = {
    buffer: () => reader.space(),
    callback: (bytes, space) => {
      reader.took(space, bytes);
      return true;
    },
  };
  // The types of TLS do not know `onread`, its documentation does.
  const socket: net.Socket = (ssl as tls.ConnectionOptions | undefined)
    ? tls.connect(
        {
          host,
          port,
          ...(net.isIP(host) ? {} : { servername: host }),
          ...ssl,
          onread,
        } as tls.ConnectionOptions,
        onConnect,
      )
    : net.connect({ host, port, onread }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  return socket;
};

/** What kafkajs's connection has, as far as this changes it. */
export interface AnswerGatherer {
  chunks: Buffer[];
  bytesBuffered: number;
  processData(data: Buffer): void;
}

/** kafkajs's connection, which joins what is left of the last answer, also nothing, with the next: a copy of each. */
export function frameConnection<Args extends unknown[]>(
  Base: new (...args: Args) => AnswerGatherer,
): new (
  ...args: Args
) => AnswerGatherer {
  return class FrameConnection extends (Base as new (...args: unknown[]) => AnswerGatherer) {
    override processData(data: Buffer): void {
      if (this.bytesBuffered === 0) this.chunks = [];
      super.processData(data);
    }
  } as new (
    ...args: Args
  ) => AnswerGatherer;
}
