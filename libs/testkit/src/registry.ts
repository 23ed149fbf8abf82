import { spawn } from "node:child_process";
import { freePort, goProgram } from "./real-parts.ts";

/** A registry of images on this machine, in memory, without TLS, and what signs and lists what is in it. */
export interface Registry {
  address: string;
  /** the programs' paths */
  cosign: string;
  syft: string;
  stop(): void;
}

export async function startRegistry(): Promise<Registry | undefined> {
  const program = await goProgram(
    "registry",
    "a registry of images",
    "github.com/google/go-containerregistry/cmd/registry@v0.22.1",
  );
  const cosign = await goProgram(
    "cosign",
    "which signs images",
    "github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3",
  );
  const syft = await goProgram(
    "syft",
    "which lists what is in images",
    "github.com/anchore/syft/cmd/syft@v1.57.1",
  );
  if (program === undefined || cosign === undefined || syft === undefined) return undefined;
  const port = await freePort(),
    child = spawn(program, ["-port", String(port)], { stdio: "ignore" });
  process.once("exit", () => child.kill("SIGKILL"));
  for (let i = 0; ; i++) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/v2/`)).ok) break;
    } catch {
      /* not listening yet */
    }
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
