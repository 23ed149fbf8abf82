import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { promisify } from "node:util";
import { temporaryFolder } from "./folders.ts";
import { aptProgram, freePort, installing, missing, PARTS } from "./real-parts.ts";

const VERSION = "1.37.2";

export interface KubernetesServer {
  /** for `--kubeconfig` */
  kubeconfig: string;
  /** an object by its path below the server, or a list; undefined where there is none */
  get<T>(path: string): Promise<T | undefined>;
  create(path: string, object: unknown): Promise<void>;
  stop(): void;
}

/** The API server of Kubernetes, built once: some minutes. Its module's replacements are of its own source tree, so that `go install` refuses it. */
async function apiServer(): Promise<string | undefined> {
  const program = join(PARTS, `kube-apiserver-${VERSION}`);
  if (existsSync(program)) return program;
  return installing(async () => {
    if (existsSync(program)) return program;
    process.stderr.write("building the API server of Kubernetes (some minutes)\n");
    const dir = temporaryFolder(),
      go = async (...args: string[]): Promise<string> =>
        (
          await promisify(execFile)("go", args, {
            cwd: dir,
            env: { ...process.env, CGO_ENABLED: "0" },
            maxBuffer: 1 << 26,
          })
        ).stdout;
    try {
      writeFileSync(
        join(dir, "go.mod"),
        `module apiserver\ngo 1.26\nrequire k8s.io/kubernetes v${VERSION}\n`,
      );
      writeFileSync(
        join(dir, "main.go"),
        'package main\n\nimport _ "k8s.io/kubernetes/cmd/kube-apiserver/app"\n\nfunc main() {}\n',
      );
      const { GoMod } = JSON.parse(await go("mod", "download", "-json", `k8s.io/kubernetes@v${VERSION}`)) as {
        GoMod: string;
      };
      const staged = [
        ...readFileSync(GoMod, "utf8").matchAll(/^\s*(?:replace )?(k8s\.io\/\S+) => \.\/staging/gm),
      ].map((m) => `replace ${m[1]} => ${m[1]} v${VERSION.replace(/^1/, "0")}\n`);
      writeFileSync(join(dir, "go.mod"), `${readFileSync(join(dir, "go.mod"), "utf8")}${staged.join("")}`);
      await go("mod", "tidy");
      mkdirSync(PARTS, { recursive: true });
      const version = "k8s.io/component-base/version",
        [major, minor] = VERSION.split(".");
      await go(
        "build",
        "-mod=mod",
        "-trimpath",
        `-ldflags=-s -w -X ${version}.gitVersion=v${VERSION} -X ${version}.gitMajor=${major} -X ${version}.gitMinor=${minor}`,
        "-p",
        "2",
        "-o",
        `${program}.new`,
        "k8s.io/kubernetes/cmd/kube-apiserver",
      );
      renameSync(`${program}.new`, program);
    } catch (err) {
      return missing("kube-apiserver", (err as Error).message.slice(-300));
    }
    return program;
  });
}

/** A real API server with its etcd, and no nodes: it takes, checks and keeps objects, and no pod starts. Undefined where it cannot be had. */
export async function startKubernetes(): Promise<KubernetesServer | undefined> {
  const program = await apiServer();
  if (
    program === undefined ||
    !(await aptProgram("etcd", "--version", "etcd-server")) ||
    !(await aptProgram("openssl", "version", "openssl"))
  )
    return undefined;
  const dir = temporaryFolder(),
    client = await freePort(),
    peer = await freePort(),
    port = await freePort(),
    at = (name: string): string => join(dir, name);
  await promisify(execFile)("openssl", ["genrsa", "-out", at("sa.key"), "2048"]);
  writeFileSync(at("tokens.csv"), "tok,admin,1,system:masters\n");
  writeFileSync(
    at("kubeconfig"),
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "c",
      clusters: [
        { name: "c", cluster: { server: `https://127.0.0.1:${port}`, "insecure-skip-tls-verify": true } },
      ],
      users: [{ name: "u", user: { token: "tok" } }],
      contexts: [{ name: "c", context: { cluster: "c", user: "u", namespace: "profiles" } }],
    }),
  );
  const children: ChildProcess[] = [];
  const stop = (): void => {
    for (const c of children) c.kill("SIGKILL");
  };
  process.once("exit", stop);
  children.push(
    spawn(
      "etcd",
      [
        "--data-dir",
        at("etcd"),
        "--listen-client-urls",
        `http://127.0.0.1:${client}`,
        "--advertise-client-urls",
        `http://127.0.0.1:${client}`,
        "--listen-peer-urls",
        `http://127.0.0.1:${peer}`,
        "--initial-advertise-peer-urls",
        `http://127.0.0.1:${peer}`,
        "--initial-cluster",
        `default=http://127.0.0.1:${peer}`,
      ],
      { stdio: "ignore" },
    ),
  );
  children.push(
    spawn(
      program,
      [
        `--etcd-servers=http://127.0.0.1:${client}`,
        "--bind-address=127.0.0.1",
        `--secure-port=${port}`,
        `--cert-dir=${at("certs")}`,
        "--service-account-issuer=https://test",
        `--service-account-signing-key-file=${at("sa.key")}`,
        `--service-account-key-file=${at("sa.key")}`,
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=AlwaysAllow",
        `--token-auth-file=${at("tokens.csv")}`,
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        "--advertise-address=127.0.0.1",
      ],
      { stdio: "ignore" },
    ),
  );
  const ask = (method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> =>
    new Promise((done, fail) => {
      const req = request(
        {
          host: "127.0.0.1",
          port,
          method,
          path,
          rejectUnauthorized: false,
          headers: {
            authorization: "Bearer tok",
            "content-type": "application/json",
            accept: "application/json",
          },
        },
        (res) => {
          let text = "";
          res
            .setEncoding("utf8")
            .on("data", (c: string) => {
              text += c;
            })
            .on("end", () => done({ status: res.statusCode!, text }));
        },
      );
      req.on("error", fail).end(body === undefined ? undefined : JSON.stringify(body));
    });
  for (let i = 0; ; i++) {
    try {
      if ((await ask("GET", "/readyz")).status === 200) break;
    } catch {
      /* not listening yet */
    }
    if (i > 300) {
      stop();
      throw new Error("kube-apiserver did not start");
    }
    await new Promise((r) => {
      setTimeout(r, 200);
    });
  }
  const create = async (path: string, object: unknown): Promise<void> => {
    const r = await ask("POST", path, object);
    if (r.status !== 201) throw new Error(`${path}: ${r.status} ${r.text}`);
  };
  await create("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "profiles" } });
  return {
    kubeconfig: at("kubeconfig"),
    create,
    stop,
    get: async <T>(path: string) => {
      const r = await ask("GET", path);
      return r.status === 200 ? (JSON.parse(r.text) as T) : undefined;
    },
  };
}
