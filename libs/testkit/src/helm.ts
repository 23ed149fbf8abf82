import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { part } from "./parts/declare.ts";

/** Kubernetes version of the rendered manifests; a helm built without release flags assumes an old one. */
const KUBERNETES = "1.30.0";

/** Commands of Helm; all reject with its message if it fails. */
export interface Helm {
  lint(chart: string): Promise<string>;
  /** the manifests, as text; rejects with helm's message */
  template(chart: string, ...flags: string[]): Promise<string>;
  /** runs any other command; returns its output and its warnings */
  run(...args: string[]): Promise<string>;
}

/** The real Helm program. */
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
