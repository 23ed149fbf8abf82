import { execFileSync } from "node:child_process";
import { join } from "node:path";

const BOUNDARIES = "@nx/enforce-module-boundaries";
/** Forbidden sources and an allowed source, with project and code. */
const CASES = {
  platform: ["libs/pprof", 'export { createLogger } from "@cinderblock/telemetry";\n'],
  component: ["apps/querier", 'export { Distributor } from "@cinderblock/distributor";\n'],
  vendor: ["libs/head", 'import Fastify from "fastify";\nexport const x = Fastify;\n'],
  downwards: ["libs/head", 'export { crc32c } from "@cinderblock/bytes";\n'],
} as const;

/**
 * Rules that each case breaks. ESLint runs in a separate process, since Jest cannot load its plugins as
 * modules.
 */
function lint(): Record<keyof typeof CASES, string[]> {
  const program = `
    import { createLinter, rulesBroken } from ${JSON.stringify(join(import.meta.dirname, "linter.ts"))};
    const eslint = await createLinter(), broken = {};
    for (const [name, [project, code]] of Object.entries(${JSON.stringify(CASES)}))
      broken[name] = await rulesBroken(eslint, project, code);
    console.log("\\n" + JSON.stringify(broken));`;
  const out = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  return JSON.parse(out.trim().split("\n").at(-1)!) as Record<keyof typeof CASES, string[]>;
}

describe("module boundaries", () => {
  let broken: ReturnType<typeof lint>;
  beforeAll(() => {
    broken = lint();
  }, 60_000);
  it("refuse a format that imports the platform", () => expect(broken.platform).toContain(BOUNDARIES));
  it("refuse a component that imports another", () => expect(broken.component).toContain(BOUNDARIES));
  it("refuse a vendor's client outside its door", () => expect(broken.vendor).toContain(BOUNDARIES));
  it("accept downward imports", () => expect(broken.downwards).toEqual([]));
});
