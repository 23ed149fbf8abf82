import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { part } from "./parts/declare.ts";

/** The version of Kubernetes that manifests are rendered for; a helm built without a release's flags assumes an old one. */
const KUBERNETES = "1.30.0";

export interface Helm {
  lint(chart: string): Promise<string>;
  /** the manifests, as text; rejects with helm's message */
  template(chart: string, ...flags: string[]): Promise<string>;
  /** any other command; what it prints, and what it warns of */
  run(...args: string[]): Promise<string>;
}

/** A real Helm. */
export function helm(): Helm {
  const program = part("helm");
  const both = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
    try {
      return await promisify(execFile)(program, args, { maxBuffer: 1 << 26 });
    } catch (err) {
      throw new Error((err as { stderr?: string }).stderr ?? (err as Error).message, { cause: err });
    }
  };
  const run = async (...args: string[]): Promise<string> => (await both(...args)).stdout;
  return {
    lint: (chart) => run("lint", "--strict", chart),
    template: (chart, ...flags) =>
      run("template", "t", chart, "--namespace", "profiles", "--kube-version", KUBERNETES, ...flags),
    run: async (...args) => {
      const { stdout, stderr } = await both(...args);
      return `${stdout}${stderr}`;
    },
  };
}
