// Third-party code of a bundle: its license texts, and a list of the packages (SBOM) for scanners.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as CDX from "@cyclonedx/cyclonedx-library";
import { PackageURL } from "packageurl-js";
import parseExpression from "spdx-expression-parse";
import satisfies from "spdx-satisfies";

/** Licenses whose code may be distributed with a program under Apache-2.0. */
const ACCEPTED = [
  "0BSD",
  "Apache-2.0",
  "BlueOak-1.0.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC0-1.0",
  "ISC",
  "MIT",
  "MIT-0",
  "Python-2.0",
  "Unlicense",
  "Zlib",
];
const TEXTS = /^(licen[cs]e|copying|notice|copyright)([-.].*)?$/i;

/** A package whose code a bundle carries. */
export interface CarriedPackage {
  name: string;
  version: string;
  /** the SPDX expression */
  license: string;
  /** content of its license files */
  texts: string[];
  author?: string;
  repository?: string;
}

interface Manifest {
  name: string;
  version: string;
  license?: string;
  author?: string | { name?: string };
  repository?: string | { url?: string };
}

function one<K extends string>(key: K, value: string | undefined): { [key in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: string });
}

/**
 * The packages that contain these files, by name and version.
 * @throws Error that names the packages without an accepted license
 */
export function packagesOf(files: readonly string[]): CarriedPackage[] {
  const folders = new Map<string, CarriedPackage>(),
    refused: string[] = [];
  for (const file of files) {
    const folder = /^\0?(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
    if (folder === undefined || folders.has(folder)) continue;
    const {
      name,
      version,
      license = "none",
      author,
      repository,
    } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
    const texts = readdirSync(folder)
      .filter((f) => TEXTS.test(f))
      .sort()
      .map((f) => readFileSync(join(folder, f), "utf8").replaceAll("\r\n", "\n").trim());
    let accepted = false;
    try {
      accepted = satisfies(license, ACCEPTED);
    } catch {
      /* not an SPDX expression: the error below names it */
    }
    if (!accepted) refused.push(`${name} ${version} (${license})`);
    folders.set(folder, {
      name,
      version,
      license,
      texts,
      ...one("author", typeof author === "string" ? author : author?.name),
      ...one("repository", typeof repository === "string" ? repository : repository?.url),
    });
  }
  if (refused.length > 0)
    throw new Error(
      `the bundle would carry packages under licenses that tools/build/third-party.ts does not list: ${refused.join(", ")}`,
    );
  const byName = new Map([...folders.values()].map((p) => [`${p.name} ${p.version}`, p]));
  return [...byName.keys()].sort().map((k) => byName.get(k)!);
}

/** All license texts: each license once, after its packages. */
export function notices(packages: readonly CarriedPackage[]): string {
  const groups = new Map<string, CarriedPackage[]>();
  for (const p of packages) {
    const text =
      p.texts.length > 0
        ? p.texts.join("\n\n")
        : `These packages bring no license text. They say that it is ${p.license}.`; // grouped by license
    groups.set(text, [...(groups.get(text) ?? []), p]);
  }
  const rule = "-".repeat(100);
  return `This program carries the packages below, each under its own license.\n${[...groups].map(([text, of]) => `\n${rule}\n${of.map((p) => [p.name, p.version, p.author && `by ${p.author}`, p.repository && `(${p.repository})`].filter(Boolean).join(" ")).join("\n")}\n${rule}\n\n${text}\n`).join("")}`;
}

/** The SBOM: CycloneDX 1.6 as JSON, equal for equal packages. */
export function billOfMaterials(name: string, version: string, packages: readonly CarriedPackage[]): string {
  const { Models, Enums, Spec, Serialize } = CDX;
  const purl = (n: string, v: string): string =>
    new PackageURL("npm", n.includes("/") ? n.split("/")[0] : undefined, n.split("/").at(-1)!, v).toString();
  const bom = new Models.Bom({
    metadata: new Models.Metadata({
      component: new Models.Component(Enums.ComponentType.Application, name, {
        version,
        bomRef: name,
        purl: purl(name, version),
        licenses: new Models.LicenseRepository([new Models.SpdxLicense("Apache-2.0")]),
      }),
    }),
  });
  for (const p of packages) {
    const [group, own] = p.name.includes("/") ? (p.name.split("/") as [string, string]) : [undefined, p.name];
    const license =
      parseExpression(p.license).license === undefined
        ? new Models.LicenseExpression(p.license)
        : new Models.SpdxLicense(p.license);
    bom.components.add(
      new Models.Component(Enums.ComponentType.Library, own, {
        group,
        version: p.version,
        bomRef: purl(p.name, p.version),
        purl: purl(p.name, p.version),
        licenses: new Models.LicenseRepository([license]),
      }),
    );
  }
  return new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)).serialize(bom, {
    sortLists: true,
    space: 1,
  });
}
