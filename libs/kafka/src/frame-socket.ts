import net from "node:net";
import tls from "node:tls";
import type { ISocketFactory } from "kafkajs";

/** Size of one read in Node. The rest of a response below this size is read through the shared buffer. */
const READ_BYTES = 64 << 10;
/**
 * Maximum size of a response that is reassembled: longer ones pass through in pieces, because the peer
 * chooses the length. A fetch asks for 10 MB at most.
 */
const MAX_FRAME_BYTES = 32 << 20;
const HEADER_BYTES = 4;
const KEEP_ALIVE_MS = 60_000;

/** One read buffer for all connections of a thread: each read is consumed before the next read. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * Reassembles a broker's responses. Each response is a big-endian length of four bytes and that many bytes.
 * Most of a large response is read straight into its final buffer.
 */
export class FrameReader {
  private readonly header = Buffer.alloc(HEADER_BYTES);
  private headerBytes = 0;
  private frame: Buffer | undefined;
  private filled = 0;
  /** bytes of a long response that are still to come */
  private passing = 0;
  private readonly onFrame: (frame: Buffer) => void;

  /**
   * @param onFrame receives each response with its length prefix, in a buffer of its own; a long response in
   * pieces
   */
  constructor(onFrame: (frame: Buffer) => void) {
    this.onFrame = onFrame;
  }

  /** Buffer for the next read. */
  writableSpace(): Buffer {
    const { frame, filled } = this;
    return frame && frame.length - filled >= READ_BYTES ? frame.subarray(filled) : shared;
  }

  /** Consumes the first `bytes` bytes of the last `space()`. */
  advance(space: Uint8Array, bytes: number): void {
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

  /** Starts a frame after its four-byte header is complete. */
  private begin(): void {
    const length = this.header.readInt32BE();
    if (length < 0 || length > MAX_FRAME_BYTES) {
      this.onFrame(Buffer.from(this.header));
      // a negative length makes the rest of the stream undecodable
      this.passing = length < 0 ? Infinity : length;
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
 * A connection whose `data` events are whole responses. kafkajs's own code gathers pieces of 64 kB, each an
 * external buffer that the garbage collector tracks, and joins them. That work was a quarter of the time that
 * an ingester's I/O thread spent on a record.
 */
export const frameSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const reader = new FrameReader((frame) => {
    socket.emit("data", frame);
  });
  const onread: net.OnReadOpts = {
    buffer: () => reader.writableSpace(),
    callback: (bytes, space) => {
      reader.advance(space, bytes);
      return true;
    },
  };
  // TypeScript's types of `tls.connect` lack the option `onread`, which Node documents.
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

/** The members of kafkajs's connection that this class changes. */
export interface KafkajsConnection {
  chunks: Buffer[];
  bytesBuffered: number;
  processData(data: Buffer): void;
}

/**
 * kafkajs's connection without a copy of each response: kafkajs joins the rest of the last response, even an
 * empty rest, with the next one.
 */
export function frameConnection<Args extends unknown[]>(
  Base: new (...args: Args) => KafkajsConnection,
): new (
  ...args: Args
) => KafkajsConnection {
  return class FrameConnection extends (Base as new (...args: unknown[]) => KafkajsConnection) {
    override processData(data: Buffer): void {
      if (this.bytesBuffered === 0) this.chunks = [];
      super.processData(data);
    }
  } as new (
    ...args: Args
  ) => KafkajsConnection;
}
