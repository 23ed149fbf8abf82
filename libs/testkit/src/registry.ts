import { startProcess } from "./at-end.ts";
import { part } from "./parts/declare.ts";
import { answersOk, freePort } from "./ports.ts";

/** A registry of images on this machine, in memory, without TLS, and what signs and lists what is in it. */
export interface Registry {
  address: string;
  /** the programs' paths */
  cosign: string;
  syft: string;
  stop(): void;
}

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
