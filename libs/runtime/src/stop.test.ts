import { stopBoundMs, stopWithin } from "./stop.ts";

const turns = async (): Promise<void> => {
  for (let i = 0; i < 30; i++) await Promise.resolve();
};

describe("the shutdown of a process", () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it("runs its steps in order, continues after a failed step, and throws its error", async () => {
    const seen: string[] = [];
    const step = (name: string, err?: Error) => ({
      name,
      stop: () => {
        seen.push(name);
        return err ? Promise.reject(err) : Promise.resolve();
      },
    });
    await expect(
      stopWithin([step("a"), step("b", new Error("first")), step("c", new Error("second"))], 1000),
    ).rejects.toThrow("first");
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("ends at its limit, and names the unfinished step", async () => {
    let result: unknown;
    stopWithin(
      [
        { name: "hand-over", stop: () => Promise.resolve() },
        { name: "services", stop: () => new Promise(() => undefined) },
      ],
      1000,
    ).catch((err: unknown) => {
      result = err;
    });
    await turns();
    jest.advanceTimersByTime(999);
    await turns();
    expect(result).toBeUndefined();
    jest.advanceTimersByTime(1);
    await turns();
    expect(result).toMatchObject({
      kind: "deadline",
      message: expect.stringContaining("services did not stop within 1000 ms") as unknown,
    });
  });

  it("has more time than any of its parts", () => {
    expect(stopBoundMs(30_000)).toBe(150_000);
  });
});
