import { type ChildProcess, execFile } from "node:child_process";
import { mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { startProcess } from "./at-end.ts";
import { temporaryFolder } from "./folders.ts";
import { part } from "./parts/declare.ts";
import { freePort } from "./ports.ts";

/** Waits until an address answers in any way. */
async function answering(url: string, what: string, child: ChildProcess, attempts = 400): Promise<void> {
  for (let i = 0; i < attempts; i++) {
    if (child.exitCode !== null) throw new Error(`${what} ended with ${child.exitCode}`);
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      /* not listening yet */
    }
    await new Promise((r) => {
      setTimeout(r, 50);
    });
  }
  throw new Error(`${what} did not start`);
}

function started(program: string, args: readonly string[]): ChildProcess {
  const log = openSync(join(temporaryFolder(), "log"), "a");
  return startProcess(program, args, { stdio: ["ignore", log, log] });
}

/** A running Azurite with the credentials of its only account; `address` is host:port. */
export interface AzureServer {
  address: string;
  account: string;
  key: string;
  connectionString(address?: string): string;
  stop(): void;
}

/** Starts Azurite, Microsoft's emulator of Blob Storage, with these containers. */
export async function startAzurite(
  containers: readonly string[],
  createContainer: (connectionString: string, name: string) => Promise<void>,
): Promise<AzureServer> {
  const program = join(part("azure"), "azurite/dist/src/blob/main.js");
  const port = await freePort(),
    address = `127.0.0.1:${port}`;
  // The emulator's well-known account and key.
  const account = "devstoreaccount1",
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
  const child = started(process.execPath, [
    program,
    "--blobHost",
    "127.0.0.1",
    "--blobPort",
    String(port),
    "--location",
    temporaryFolder(),
    "--silent",
    "--disableTelemetry",
    "--skipApiVersionCheck",
  ]);
  await answering(`http://${address}/`, "Azurite", child);
  const server: AzureServer = {
    address,
    account,
    key,
    connectionString: (at = address) =>
      `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${key};BlobEndpoint=http://${at}/${account};`,
    stop: () => {
      child.kill("SIGKILL");
    },
  };
  for (const c of containers) await createContainer(server.connectionString(), c);
  return server;
}

/** A running fake-gcs-server; `address` is host:port. */
export interface GcsServer {
  address: string;
  stop(): void;
}

/** Starts fake-gcs-server with these buckets. It requires no credentials. */
export async function startGcsServer(buckets: readonly string[]): Promise<GcsServer> {
  const program = part("gcs");
  const port = await freePort(),
    address = `127.0.0.1:${port}`;
  const child = started(program, [
    "-host",
    "127.0.0.1",
    "-port",
    String(port),
    "-scheme",
    "http",
    "-backend",
    "memory",
    "-public-host",
    address,
    "-external-url",
    `http://${address}`,
    "-log-level",
    "error",
  ]);
  await answering(`http://${address}/storage/v1/b?project=p`, "fake-gcs-server", child);
  for (const name of buckets) {
    const r = await fetch(`http://${address}/storage/v1/b?project=p`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name }),
    });
    if (!r.ok) throw new Error(`fake-gcs-server answered ${r.status} to the making of ${name}`);
  }
  return {
    address,
    stop: () => {
      child.kill("SIGKILL");
    },
  };
}

/** A running Swift with the credentials of its only user; `address` is host:port of the proxy. */
export interface SwiftServer {
  address: string;
  authUrl: string;
  storageUrl: string;
  username: string;
  password: string;
  stop(): void;
}

/**
 * Starts Debian's Swift with these containers: proxy, account, container and object server with one device,
 * tempauth.
 */
export async function startSwift(containers: readonly string[]): Promise<SwiftServer> {
  part("swift");
  const dir = temporaryFolder();
  mkdirSync(join(dir, "node/d1"), { recursive: true });
  const [proxy, memory, ...ports] = await Promise.all(Array.from({ length: 5 }, freePort));
  const servers = ["account", "container", "object"] as const;
  writeFileSync(
    join(dir, "swift.conf"),
    "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n[storage-policy:0]\nname = gold\ndefault = yes\n",
  );
  const common = `bind_ip = 127.0.0.1\nworkers = 0\nuser = ${process.getuid?.() === 0 ? "root" : process.env.USER}\nswift_dir = ${dir}\nlog_address = /dev/null\n`;
  const build = (...args: string[]): Promise<unknown> =>
    promisify(execFile)("swift-ring-builder", args, { cwd: dir });
  await Promise.all(
    servers.map(async (s, i) => {
      writeFileSync(
        join(dir, `${s}.conf`),
        `[DEFAULT]\n${common}bind_port = ${ports[i]}\ndevices = ${join(dir, "node")}\nmount_check = false\ndisable_fallocate = true\nfallocate_reserve = 0\n[pipeline:main]\npipeline = ${s}-server\n[app:${s}-server]\nuse = egg:swift#${s}\n`,
      );
      await build(`${s}.builder`, "create", "4", "1", "1");
      await build(`${s}.builder`, "add", `r1z1-127.0.0.1:${ports[i]}/d1`, "1");
      await build(`${s}.builder`, "rebalance");
    }),
  );
  writeFileSync(
    join(dir, "proxy.conf"),
    `[DEFAULT]\n${common}bind_port = ${proxy}\n[pipeline:main]\npipeline = catch_errors healthcheck cache bulk tempauth slo dlo proxy-server\n[filter:catch_errors]\nuse = egg:swift#catch_errors\n[filter:healthcheck]\nuse = egg:swift#healthcheck\n[filter:cache]\nuse = egg:swift#memcache\nmemcache_servers = 127.0.0.1:${memory}\n[filter:bulk]\nuse = egg:swift#bulk\n[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\nstorage_url_scheme = http\n[filter:slo]\nuse = egg:swift#slo\nmin_segment_size = 1\n[filter:dlo]\nuse = egg:swift#dlo\n[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n`,
  );
  const children = [
    started("memcached", ["-u", "nobody", "-l", "127.0.0.1", "-p", String(memory), "-m", "16"]),
    ...servers.map((s) => started(`swift-${s}-server`, [join(dir, `${s}.conf`)])),
    started("swift-proxy-server", [join(dir, "proxy.conf")]),
  ];
  const address = `127.0.0.1:${proxy}`,
    authUrl = `http://${address}/auth/v1.0`;
  await answering(`http://${address}/healthcheck`, "Swift", children.at(-1)!, 1200);
  const auth = await fetch(authUrl, { headers: { "x-auth-user": "test:tester", "x-auth-key": "testing" } });
  const storageUrl = auth.headers.get("x-storage-url")!,
    token = auth.headers.get("x-auth-token")!;
  for (const c of containers) {
    for (let i = 0; ; i++) {
      // The first request waits for the servers behind the proxy.
      const r = await fetch(`${storageUrl}/${c}`, { method: "PUT", headers: { "x-auth-token": token } });
      if (r.ok) break;
      if (i > 100) throw new Error(`Swift answered ${r.status} to the making of ${c}`);
      await new Promise((r2) => {
        setTimeout(r2, 200);
      });
    }
  }
  return {
    address,
    authUrl,
    storageUrl,
    username: "test:tester",
    password: "testing",
    stop: () => {
      for (const c of children) c.kill("SIGKILL");
    },
  };
}
