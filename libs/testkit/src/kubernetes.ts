import type { ChildProcess } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { freePort } from "./ports.ts";

/** A running API server. */
export interface KubernetesServer {
  /** for `--kubeconfig` */
  kubeconfig: string;
  /** an object or a list by its path below the server; undefined if it does not exist */
  get<T>(path: string): Promise<T | undefined>;
  create(path: string, object: unknown): Promise<void>;
  stop(): void;
}

/**
 * A real API server with its etcd, without nodes: it accepts, checks and stores objects, but no pod starts.
 */
export async function startKubernetes(): Promise<KubernetesServer> {
  const program = part("kubernetes");
  const dir = temporaryFolder(),
    client = await freePort(),
    peer = await freePort(),
    port = await freePort(),
    at = (name: string): string => join(dir, name);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(at("sa.key"), privateKey.export({ type: "pkcs8", format: "pem" }));
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
  children.push(
    startProcess(
      part("etcd"),
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
    startProcess(
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
