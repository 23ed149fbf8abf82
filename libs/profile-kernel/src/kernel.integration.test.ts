import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inflateProfile } from "@cinderblock/pprof";
import { describeWith, part } from "@cinderblock/testkit";
import { agree } from "./agree.testing.ts";

describeWith(["shared-testdata"], "the kernel's decoder", () => {
  it("equals it on real profiles", () => {
    const dir = part("shared-testdata");
    for (const f of readdirSync(join(dir, "profiles")))
      if (/\.(pb|pprof|gz|pb\.gz)$/.test(f))
        expect(agree(inflateProfile(readFileSync(join(dir, "profiles", f)), 0))).toBe("equal");
  });
});
