import { freePort } from "@cinderblock/testkit";
import { Server } from "./server.ts";

describe("a process whose Kafka and Redis are away at its start", () => {
  it.each(["distributor", "ingester"])(
    "%s waits for them, and stops on a signal",
    async (program) => {
      const server = new Server(undefined, program),
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
      expect([await server.stop("SIGTERM"), performance.now() - since < 15_000]).toEqual([0, true]);
    },
    60_000,
  );
});
