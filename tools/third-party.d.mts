export interface CarriedPackage {
  name: string;
  version: string /** SPDX expression */;
  license: string;
  texts: string[];
  author?: string;
  repository?: string;
}
export function packagesOf(files: readonly string[]): CarriedPackage[];
export function notices(packages: readonly CarriedPackage[]): string;
export function billOfMaterials(name: string, version: string, packages: readonly CarriedPackage[]): string;
