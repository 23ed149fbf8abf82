import { TimeSlices } from "./pace.ts";

const turn = (): Promise<void> =>
  new Promise((done) => {
    setImmediate(done);
  });

describe("time slices", () => {
  it("run one in each turn of the event loop, in order, with other events in between", async () => {
    const slices = new TimeSlices(() => 0),
      seen: string[] = [];
    const work = async (name: string): Promise<void> => {
      const pace = slices.pace();
      for (let i = 0; i < 2; i++) {
        await pace.next();
        seen.push(name);
      }
    };
    const events = (async () => {
      for (let i = 0; i < 9; i++) {
        await turn();
        seen.push("event");
      }
    })();
    await Promise.all([work("a"), work("b"), events]);
    const works = seen.map((s, i) => (s === "event" ? -1 : i)).filter((i) => i >= 0);
    expect(seen.filter((s) => s !== "event")).toEqual(["a", "b", "a", "b"]);
    for (let i = 1; i < works.length; i++) expect(works[i]! - works[i - 1]!).toBeGreaterThan(1);
  });

  it("end after ten milliseconds", async () => {
    let now = 0;
    const pace = new TimeSlices(() => now).pace();
    now = 9;
    expect(pace.due()).toBe(false);
    now = 10;
    expect(pace.due()).toBe(true);
    await pace.next();
    expect(pace.due()).toBe(false);
  });

  it("end with canceled work, also while it waits", async () => {
    let canceled = false;
    const pace = new TimeSlices().pace(() => canceled);
    await pace.next();
    const next = pace.next();
    canceled = true;
    await expect(next).rejects.toThrow("context canceled");
    await expect(pace.next()).rejects.toThrow("context canceled");
  });
});
