import { connect, createServer } from "node:net";

/** Ports already returned, which may not be in use yet. */
const given = new Set<number>();

/** A free port, a different one on each call. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((done) => {
      const s = createServer();
      s.listen(0, "127.0.0.1", () => {
        const at = (s.address() as { port: number }).port;
        s.close(() => done(at));
      });
    });
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
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
