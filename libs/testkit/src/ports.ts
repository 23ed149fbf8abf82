import { connect, createServer } from "node:net";

/** Ports already returned, which may not be in use yet. */
const given = new Set<number>();

/**
 * Returned ports lie in the lower halves of these blocks. A server's default port for internal methods is 1000
 * above its public port, in the upper half. All blocks are below the local ports of outgoing connections, since
 * such a connection could take a port before its server starts.
 */
const FIRST = 10_000,
  BLOCK = 2000,
  BLOCKS = 11;

/** A free port, a different one on each call; other processes rarely get the same one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + BLOCK * Math.floor(Math.random() * BLOCKS) + Math.floor((Math.random() * BLOCK) / 2);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const s = createServer();
    s.once("error", () => done(false));
    s.listen(port, "127.0.0.1", () => s.close(() => done(true)));
  });
}

/** Whether a port accepts connections. */
export function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}

/** Whether an address answers with 2xx. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const r = await fetch(url);
    await r.arrayBuffer();
    return r.ok;
  } catch {
    return false; /* not listening yet */
  }
}
