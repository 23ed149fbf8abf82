import { freePort } from "@cinderblock/testkit";
import { Server } from "./server.ts";

describe("an ingester whose Kafka and Redis are away at its start", () => {
  it("waits for them, and stops on a signal within the time of a shutdown", async () => {
    const server = new Server(undefined, "ingester"),
      nobody = `127.0.0.1:${await freePort()}`;
    server.answers = async (path) =>
      (await (await fetch(`${server.url}${path}`)).text()).includes("Starting: kafka");
    await server.start(
      "-distributor.write-buffer=kafka",
      `-kafka.brokers=${nobody}`,
      "-ring.store=redis",
      `-redis.address=${nobody}`,
    );
    const since = performance.now();
    expect(await server.stop("SIGTERM")).toBe(0);
    expect(performance.now() - since).toBeLessThan(60_000);
  }, 90_000);
});
