import { familyTypes, type ServiceFamily, type ServiceRow, sortedServices } from "./service-rows.ts";

const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  HEAP = "memory:inuse_space:bytes:space:bytes",
  ALLOC = "memory:alloc_space:bytes:space:bytes",
  TLAB = "memory:alloc_in_new_tlab_bytes:bytes:space:bytes";

describe("the list of services", () => {
  it("has one type of each other family: the type of most services", () => {
    const types = new Map([
      ["a", [CPU, HEAP, TLAB]],
      ["b", [CPU, ALLOC]],
      ["c", [TLAB]],
    ]);
    expect(familyTypes(types, CPU).map((f) => [f.name, f.type])).toEqual([
      ["Allocations", TLAB],
      ["Heap in use", HEAP],
    ]);
    expect(familyTypes(types, HEAP).map((f) => f.name)).toEqual(["CPU", "Allocations"]);
    expect(familyTypes(new Map(), CPU)).toEqual([]);
  });

  it("is in the wanted order, pinned services first, and equal ones by name", () => {
    const row = (name: string, total: number, change?: number): ServiceRow => ({
      name,
      total,
      coveredMs: 1000,
      intervalMs: 1000,
      change,
      line: [],
      types: [],
    });
    const rows = [row("b", 1, 0.1), row("a", 3, -0.9), row("c", 2), row("d", 2)],
      heap: ServiceFamily = {
        family: "Heap",
        name: "Heap in use",
        type: HEAP,
        compared: false,
        rows: new Map([["c", row("c", 9)]]),
      };
    const order = (key: string, ascending = false, pins: string[] = []): string =>
      sortedServices(rows, [heap], { key, ascending }, pins)
        .map((r) => r.name)
        .join("");
    expect([
      order("value"),
      order("value", true),
      order("name", true),
      order("change"),
      order("Heap"),
    ]).toEqual(["acdb", "bcda", "abcd", "abcd", "cabd"]);
    expect(order("value", false, ["b", "d"])).toBe("dbac");
  });
});
