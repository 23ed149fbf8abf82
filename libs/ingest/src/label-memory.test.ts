import { loadHasher } from "@cinderblock/bytes";
import { TEST_LIMITS } from "@cinderblock/tenant/testing";
import { tinyPprof } from "@cinderblock/testkit";
import { encodePush, PushProcessor, RateGate } from "./index.ts";

describe("labels of refused pushes", () => {
  it("do not stay in memory, and are shortened in the error", async () => {
    const processor = new PushProcessor(await loadHasher(), { append: () => undefined });
    const gate = new RateGate(new SharedArrayBuffer(8)),
      profile = tinyPprof({ stacks: [{ frames: ["main"], values: [1] }] });
    const push = (value: string): string | undefined =>
      processor.process(
        "t",
        {
          kind: "push",
          codec: "proto",
          gzip: false,
          body: encodePush([
            {
              labels: [
                { name: "__name__", value: "process_cpu" },
                { name: "service_name", value: "shop" },
                { name: "id", value },
              ],
              profiles: [profile],
            },
          ]),
        },
        TEST_LIMITS,
        gate,
        1_795_409_460_000,
      ).error?.message;
    for (let i = 0; i < 10; i++) {
      const message = push(`${i}${"a".repeat(1 << 20)}`)!;
      expect(message).toContain("label value too long");
      expect(message.length).toBeLessThan(10_000);
    }
    expect(processor.cachedLabelBytes).toBeLessThan(1 << 20);
    // Shorter label sets are cached, within a separate bound.
    for (let i = 0; i < 400; i++) push(`${i}${"a".repeat(60_000)}`);
    expect(processor.cachedLabelBytes).toBeLessThan(20 << 20);
  });
});
