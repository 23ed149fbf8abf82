import { readFileSync } from "node:fs";
import { goldenPath } from "@cinderblock/testkit";
import { decodeMember } from "./index.ts";

describe("a ring entry of an earlier release", () => {
  it("decodes with every field", () => {
    const entry = readFileSync(goldenPath("cinderblock/0.1.0/member.ring-state.json"), "utf8");
    expect(decodeMember(entry)).toMatchObject({
      id: "ingester-0",
      address: "10.0.0.1:4040",
      zone: "a",
      state: "ACTIVE",
      tokens: [1, 4_294_967_295],
      heartbeat: 7,
      registeredAtMs: 1_795_132_800_000,
      partitionRule: 2,
    });
  });
});
