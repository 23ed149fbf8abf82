import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Random } from "@cinderblock/testkit";
import { type KafkajsConnection, frameConnection, FrameReader, frameSocket } from "./frame-socket.ts";

/** A response with its length prefix, in a buffer of its own. */
function answer(bytes: Uint8Array): Buffer {
  const out = Buffer.allocUnsafeSlow(4 + bytes.length);
  out.writeInt32BE(bytes.length);
  out.set(bytes, 4);
  return out;
}
const noise = (random: Random, length: number): Uint8Array =>
  Uint8Array.from({ length }, () => random.below(256));

/** Reads like a socket: at most `most` bytes at a time, into the space that the reader offers. */
function read(reader: FrameReader, sent: Buffer, most: () => number): void {
  for (let at = 0; at < sent.length; ) {
    const space = reader.writableSpace(),
      n = Math.min(space.length, most(), sent.length - at);
    sent.copy(space, 0, at, at + n);
    reader.advance(space, n);
    at += n;
  }
}

describe("bytes from a broker", () => {
  it("become one buffer per response, for any chunks", () => {
    const random = new Random(7);
    const sizes = [0, 1, 3, 100, 65_532, 65_536, 200_000],
      mosts = [() => 1 + random.below(5000), () => 1 << 20, () => 1 + random.below(200_000)];
    for (let round = 0; round < 30; round++) {
      const answers = Array.from({ length: 12 }, () => noise(random, sizes[random.below(sizes.length)]!));
      const got: Buffer[] = [],
        most = mosts[round % mosts.length]!;
      read(
        new FrameReader((f) => {
          got.push(f);
        }),
        Buffer.concat(answers.map(answer)),
        most,
      );
      expect(got).toHaveLength(answers.length);
      got.forEach((f, i) => {
        expect(f.equals(answer(answers[i]!))).toBe(true);
      });
    }
  });
  it("are read one byte at a time, too", () => {
    const got: Buffer[] = [],
      sent = [new Uint8Array(0), Uint8Array.of(1, 2, 3), Uint8Array.of(4)].map(answer);
    read(
      new FrameReader((f) => {
        got.push(f);
      }),
      Buffer.concat(sent),
      () => 1,
    );
    expect(got).toEqual(sent);
  });
  it("are passed on unchanged if the length is invalid, without allocating it", () => {
    const long = Buffer.alloc(4),
      small = answer(Uint8Array.of(9)),
      body = Buffer.alloc((32 << 20) + 1, 5);
    long.writeInt32BE(body.length);
    const got: Buffer[] = [];
    read(
      new FrameReader((f) => {
        got.push(f);
      }),
      Buffer.concat([small, long, body, small]),
      () => 1 << 20,
    );
    expect(got[0]).toEqual(small);
    expect(Math.max(...got.map((g) => g.length))).toBeLessThanOrEqual(64 << 10);
    expect(Buffer.concat(got).equals(Buffer.concat([small, long, body, small]))).toBe(true);
    expect(got.at(-1)).toEqual(small);
    // An HTTP response and a negative length pass through unchanged.
    for (const text of [
      Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
      Buffer.from([255, 255, 255, 255, 1, 2, 3]),
    ]) {
      const pieces: Buffer[] = [];
      read(
        new FrameReader((f) => {
          pieces.push(f);
        }),
        text,
        () => 7,
      );
      expect(Buffer.concat(pieces)).toEqual(text);
    }
  });
  it("pass through a socket completely, with its end and errors", async () => {
    const sizes = [10, 3_000_000, 0, 70_000, 1],
      random = new Random(3),
      answers = sizes.map((n) => answer(noise(random, n)));
    let peer: Socket | undefined;
    const server = createServer((s) => {
      peer = s;
      s.write(Buffer.concat(answers));
    });
    await new Promise<void>((done) => {
      server.listen(0, "127.0.0.1", done);
    });
    const socket = frameSocket({
      host: "127.0.0.1",
      port: (server.address() as AddressInfo).port,
      ssl: undefined as never,
      onConnect: () => undefined,
    });
    const got: Buffer[] = [];
    await new Promise<void>((done) => {
      socket.on("data", (f: Buffer) => {
        got.push(f);
        if (got.length === sizes.length) done();
      });
    });
    got.forEach((f, i) => {
      expect(f.equals(answers[i]!)).toBe(true);
    });
    const end = once(socket, "end");
    peer!.end();
    await end;
    socket.destroy();
    server.close();
    const refused = frameSocket({
      host: "127.0.0.1",
      port: 1,
      ssl: undefined as never,
      onConnect: () => undefined,
    });
    expect(((await once(refused, "error")) as [NodeJS.ErrnoException])[0].code).toBe("ECONNREFUSED");
  });
});

describe("a connection of kafkajs", () => {
  type Connection = KafkajsConnection & {
    requestQueue: { fulfillRequest(answer: { payload: Buffer }): void };
  };
  const Theirs = createRequire(import.meta.url)("kafkajs/src/network/connection.js") as new (
    options: object,
  ) => Connection;
  const payloads = (Class: new (options: object) => KafkajsConnection, sent: readonly Buffer[]): Buffer[] => {
    const log = {
      debug: () => undefined,
      error: () => undefined,
      warn: () => undefined,
      info: () => undefined,
    };
    const c = new Class({
        host: "h",
        port: 1,
        logger: { ...log, namespace: () => log },
        socketFactory: () => undefined,
        requestTimeout: 1000,
      }) as Connection,
      got: Buffer[] = [];
    c.requestQueue.fulfillRequest = ({ payload }) => {
      got.push(payload);
    };
    for (const s of sent) c.processData(s);
    return got;
  };
  // A response begins with its length and the ID of its request.
  const sent = [Uint8Array.of(0, 0, 0, 1, 7), Uint8Array.of(0, 0, 0, 2, 8, 9)].map(answer);

  it("reads a complete response without a copy, unlike kafkajs", () => {
    expect(payloads(Theirs, sent)[1]!.buffer).not.toBe(sent[1]!.buffer);
    const got = payloads(frameConnection(Theirs), sent);
    expect(got.map((g) => [...g])).toEqual([[7], [8, 9]]);
    got.forEach((g, i) => {
      expect(g.buffer).toBe(sent[i]!.buffer);
    });
  });
  it("joins chunks as before", () => {
    const bytes = Buffer.concat(sent);
    for (let cut = 1; cut < bytes.length; cut++)
      expect(
        payloads(frameConnection(Theirs), [bytes.subarray(0, cut), bytes.subarray(cut)]).map((g) => [...g]),
      ).toEqual([[7], [8, 9]]);
  });
});
