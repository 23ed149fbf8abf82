import { type Service, ServiceGroup } from "./index.ts";

describe("a group of services", () => {
  it("stops running services and starts no more, when it is stopped during its start", async () => {
    const seen: string[] = [],
      waiting = Promise.withResolvers<undefined>();
    const service = (name: string, start: () => Promise<unknown> = () => Promise.resolve()): Service => ({
      name,
      start: async () => {
        seen.push(`start ${name}`);
        await start();
      },
      stop: () => {
        seen.push(`stop ${name}`);
        return Promise.resolve();
      },
    });
    const group = new ServiceGroup([
      service("first"),
      service("second"),
      service("waits", () => waiting.promise),
      service("never"),
    ]);
    const started = group.start();
    while (!seen.includes("start waits")) await Promise.resolve();
    await group.stop();
    waiting.resolve(undefined);
    await started;
    expect(seen).toEqual(["start first", "start second", "start waits", "stop second", "stop first"]);
    expect(group.notRunning().map((s) => s.name)).toEqual(["first", "second", "never"]);
  });
});
