import { startProcess } from "./at-end.ts";
import { part } from "./parts/declare.ts";
import { answersOk, freePort } from "./ports.ts";

/** A local, in-memory image registry without TLS, and the programs that sign and list its content. */
export interface Registry {
  address: string;
  /** paths of the programs */
  cosign: string;
  syft: string;
  stop(): void;
}

/** Starts a registry on a free port. Rejects if it does not answer within some seconds. */
export async function startRegistry(): Promise<Registry> {
  const [program, cosign, syft] = [part("registry"), part("cosign"), part("syft")];
  const port = await freePort(),
    child = startProcess(program, ["-port", String(port)], { stdio: "ignore" });
  for (let i = 0; ; i++) {
    if (await answersOk(`http://127.0.0.1:${port}/v2/`)) break;
    if (i > 100) throw new Error("the registry of images did not start");
    await new Promise((r) => {
      setTimeout(r, 50);
    });
  }
  return {
    address: `127.0.0.1:${port}`,
    cosign,
    syft,
    stop: () => {
      child.kill("SIGKILL");
    },
  };
}
