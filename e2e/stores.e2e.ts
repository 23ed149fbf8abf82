import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BlobServiceClient } from "@azure/storage-blob";
import { describeWith, needs, startAzurite, startGcsServer, startSwift } from "@cinderblock/testkit";
import { Oracle } from "./oracle.ts";
import { Server } from "./server.ts";

const oracle = new Oracle();
const PARTS_OF = {
  gcs: needs("gcs", "oracle"),
  azure: needs("azure", "oracle"),
  swift: needs("swift", "oracle"),
};

/** v1's configuration file for each backend, and a server for it. */
const backends: Record<keyof typeof PARTS_OF, () => Promise<{ yaml: string; stop(): void }>> = {
  async gcs() {
    const s = await startGcsServer(["blocks"]);
    return {
      yaml: `storage:\n  backend: gcs\n  gcs:\n    bucket_name: blocks\n    service_account: ""\n    endpoint: http://${s.address}\n`,
      stop: s.stop,
    };
  },
  async azure() {
    const s = await startAzurite(["blocks"], async (connection, name) => {
      await BlobServiceClient.fromConnectionString(connection).createContainer(name);
    });
    return {
      yaml: `storage:\n  backend: azure\n  azure:\n    container_name: blocks\n    connection_string: ${s.connectionString()}\n`,
      stop: s.stop,
    };
  },
  async swift() {
    const s = await startSwift(["blocks"]);
    return {
      yaml: `storage:\n  backend: swift\n  swift:\n    auth_version: 0\n    auth_url: ${s.authUrl}\n    username: ${s.username}\n    password: ${s.password}\n    container_name: blocks\n    max_retries: 3\n    connect_timeout: 10s\n    request_timeout: 5s\n`,
      stop: s.stop,
    };
  },
};

for (const backend of ["gcs", "azure", "swift"] as const)
  describeWith(PARTS_OF[backend], "a bucket on another store", () => {
    it(`${backend} receives the blocks, and answers from them alone as the head did`, async () => {
      const store = await backends[backend]();
      const server = new Server();
      try {
        const file = join(server.dir, "config.yaml");
        writeFileSync(file, `${store.yaml}  prefix: team/profiles\n`);
        const config = `-config.file=${file}`;
        await server.start(config);
        const base = Math.floor(Date.now() / 3600_000) * 3600_000 - 3600_000;
        expect(await oracle.push(server, base)).toContain("1040 profiles");
        const head = await oracle.ask(server, base, `${backend}-head`);
        await server.flush();
        await server.stop();
        rmSync(join(server.dir, "db"), { recursive: true });
        await server.start(config);
        const { differ } = await oracle.compare(
          head,
          await oracle.ask(server, base, `${backend}-bucket`),
          "-tolerance",
          "0",
        );
        expect(differ.filter((d) => !d.startsWith("analyze."))).toEqual([]);
        await server.stop();
      } finally {
        store.stop();
      }
    }, 300_000);
  });
