import { firstType, namedTypes, sampleTypeName } from "./type-names.ts";

const CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  HEAP = "memory:inuse_space:bytes:space:bytes",
  ALLOC = "memory:alloc_space:bytes:space:bytes",
  WALL = "wall:wall:nanoseconds:wall:nanoseconds";

describe("names of profile types", () => {
  it("are the field's own", () => {
    for (const [id, name] of [
      [CPU, "CPU time"],
      ["process_cpu:samples:count:cpu:nanoseconds", "CPU samples"],
      [WALL, "Wall time"],
      ["off_cpu:off_cpu:nanoseconds:off_cpu:nanoseconds", "Off-CPU time"],
      [ALLOC, "Allocated memory"],
      ["memory:alloc_objects:count:space:bytes", "Allocated objects"],
      ["memory:alloc_in_new_tlab_bytes:bytes::", "Allocated in TLAB (bytes)"],
      ["memory:alloc_in_new_tlab_objects:count::", "Allocated in TLAB (objects)"],
      [HEAP, "Heap in use"],
      ["memory:inuse_objects:count:space:bytes", "Objects in use"],
      ["memory:live:count:objects:count", "Live objects"],
      ["goroutines:goroutine:count:goroutine:count", "Goroutines"],
      ["mutex:delay:nanoseconds:contentions:count", "Mutex wait"],
      ["block:delay:nanoseconds:contentions:count", "Block wait"],
      ["lock:lock_time:nanoseconds:lock:nanoseconds", "Lock wait"],
      ["mutex:contentions:count:contentions:count", "Mutex contentions"],
      ["exception:exception:count:exception:count", "Exceptions"],
      ["gpu:kernel_time:nanoseconds:gpu:nanoseconds", "Kernel time (nanoseconds)"],
      ["queue:waiting-jobs:count:jobs:count", "Waiting jobs"],
      ["constructor:constructor:count:x:count", "Constructor"],
    ] as const)
      expect([id, namedTypes([id])[0]?.name]).toEqual([id, name]);
    expect(["cpu", "samples", "inuse_space", "wall", "delay"].map(sampleTypeName)).toEqual([
      "CPU time",
      "CPU samples",
      "Heap in use",
      "Wall time",
      "Delay",
    ]);
  });

  it("are unique by the period type, then by the ID", () => {
    const types = namedTypes([
      "mutex:contentions:count:contentions:count",
      "mutex:contentions:count:mutex:count",
      "memory:inuse_space:bytes:space:bytes",
      "memory:inuse_space:bytes:space:count",
      "memory:alloc_in_new_tlab_bytes:bytes::",
      "other:alloc_in_new_tlab_bytes:bytes::",
      CPU,
      CPU,
    ]);
    expect(types.map((t) => t.name)).toEqual([
      "CPU time",
      "Allocated in TLAB (bytes) (memory:alloc_in_new_tlab_bytes:bytes::)",
      "Allocated in TLAB (bytes) (other:alloc_in_new_tlab_bytes:bytes::)",
      "Heap in use (space bytes)",
      "Heap in use (space count)",
      "Mutex contentions (contentions)",
      "Mutex contentions (mutex)",
    ]);
  });

  it("are grouped by family, the usual types first", () => {
    expect(
      namedTypes([
        "goroutine:goroutine:count:goroutine:count",
        "block:delay:nanoseconds:contentions:count",
        "memory:malloc_bytes:bytes:malloc:count",
        "memory:alloc_objects:count:space:bytes",
        ALLOC,
        HEAP,
        WALL,
        "process_cpu:samples:count:cpu:nanoseconds",
        CPU,
      ]).map((t) => `${t.family}: ${t.name}`),
    ).toEqual([
      "CPU: CPU time",
      "CPU: CPU samples",
      "CPU: Wall time",
      "Allocations: Allocated memory",
      "Allocations: Allocated objects",
      "Allocations: Malloc bytes (bytes)",
      "Heap: Heap in use",
      "Locks: Block wait",
      "Other: Goroutines",
    ]);
  });

  it("choose the type on which a service opens", () => {
    const mutex = "mutex:delay:nanoseconds:contentions:count";
    expect([
      firstType([mutex, ALLOC, HEAP, WALL, CPU]),
      firstType([mutex, ALLOC, HEAP, WALL]),
      firstType([mutex, ALLOC, HEAP]),
      firstType([mutex, ALLOC]),
      firstType([mutex]),
      firstType([]),
    ]).toEqual([CPU, WALL, HEAP, ALLOC, mutex, undefined]);
  });
});
