declare module "spdx-expression-parse" {
  /** A parsed SPDX expression: one license, or two expressions and the operator between them. */
  export default function parse(expression: string): { license?: string; conjunction?: "and" | "or" };
}
declare module "spdx-satisfies" {
  /** Whether an SPDX expression can be satisfied with the licenses of the list. */
  export default function satisfies(expression: string, accepted: readonly string[]): boolean;
}
