import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder } from "@cinderblock/testkit";
import { billOfMaterials, notices, packagesOf } from "./third-party.ts";

const DIST = join(import.meta.dirname, "../../dist/cinderblock");

/** A folder with these packages, and the paths of a file in each. */
function installed(
  ...packages: {
    at?: string;
    name: string;
    version: string;
    license?: string;
    author?: string;
    files?: Record<string, string>;
  }[]
): string[] {
  const root = temporaryFolder();
  return packages.map(({ at = "", files = {}, ...manifest }) => {
    const folder = join(root, at, "node_modules", manifest.name);
    for (const [path, text] of Object.entries({
      "package.json": JSON.stringify(manifest),
      "lib/index.js": "",
      ...files,
    })) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return join(folder, "lib/index.js");
  });
}

describe("third-party software in the bundles", () => {
  it("is listed with every license text once, after its packages", () => {
    const files = installed(
      { name: "b", version: "1.0.0", license: "MIT", files: { LICENSE: "the text of M\r\n" } },
      {
        name: "@s/a",
        version: "2.0.0",
        license: "(MIT OR Apache-2.0)",
        files: { "LICENSE.md": "the text of M", NOTICE: "and a notice" },
      },
      { name: "c", version: "3.0.0", license: "MIT", files: { license: "the text of M" } },
      { at: "node_modules/b", name: "c", version: "2.5.0", license: "ISC", author: "Somebody" },
    );
    const packages = packagesOf([...files, "/src/ours.ts", `\0${files[0]}?commonjs`]);
    expect(packages.map((p) => `${p.name} ${p.version} ${p.license}`)).toEqual([
      "@s/a 2.0.0 (MIT OR Apache-2.0)",
      "b 1.0.0 MIT",
      "c 2.5.0 ISC",
      "c 3.0.0 MIT",
    ]);
    const text = notices(packages);
    expect(text.match(/the text of M/g)).toHaveLength(2); // one license text with the notice, one without
    expect(text).toMatch(/\nb 1\.0\.0\nc 3\.0\.0\n-+\n\nthe text of M\n/);
    expect(text).toMatch(/\nc 2\.5\.0 by Somebody\n-+\n\n.*no license text\..*ISC/);
  });

  it("fails the build for an incompatible license", () => {
    for (const license of [
      "GPL-3.0-only",
      "AGPL-3.0-or-later",
      "(MIT AND GPL-2.0-only)",
      "SEE LICENSE IN x",
      undefined,
    ])
      expect(() =>
        packagesOf(
          installed({ name: "bad", version: "1.2.3", ...(license === undefined ? {} : { license }) }),
        ),
      ).toThrow("bad 1.2.3");
    expect(
      packagesOf(installed({ name: "good", version: "1.0.0", license: "(GPL-2.0-only OR MIT)" })),
    ).toHaveLength(1);
  });

  it("is listed for scanners, reproducibly", () => {
    const packages = packagesOf(
      installed(
        { name: "@s/a", version: "2.0.0", license: "Apache-2.0" },
        { name: "b", version: "1.0.0", license: "(MIT OR Apache-2.0)" },
      ),
    );
    const bom = JSON.parse(billOfMaterials("program", "0.1.0", packages)) as {
      bomFormat: string;
      specVersion: string;
      metadata: { component: { name: string } };
      components: object[];
    };
    expect(bom).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      metadata: { component: { name: "program", version: "0.1.0" } },
    });
    expect(bom.components).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          group: "@s",
          name: "a",
          version: "2.0.0",
          purl: "pkg:npm/%40s/a@2.0.0",
          licenses: [{ license: { id: "Apache-2.0" } }],
        }),
        expect.objectContaining({
          name: "b",
          purl: "pkg:npm/b@1.0.0",
          licenses: [{ expression: "(MIT OR Apache-2.0)" }],
        }),
      ]),
    );
    expect(billOfMaterials("program", "0.1.0", packages)).toBe(
      billOfMaterials("program", "0.1.0", [...packages].reverse()),
    );
  });

  it("is shipped with the built program", () => {
    const text = readFileSync(join(DIST, "THIRD-PARTY-LICENSES.txt"), "utf8"),
      bom = readFileSync(join(DIST, "sbom.cdx.json"), "utf8");
    // A server package, a browser package, and a package whose file is copied.
    for (const name of ["kafkajs", "react-dom", "parquet-wasm"]) {
      expect(text).toContain(`\n${name} `);
      expect(bom).toContain(`pkg:npm/${name}@`);
    }
  });
});
