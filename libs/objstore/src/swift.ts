import { openAsBlob } from "node:fs";
import type { ObjectAttributes } from "./bucket.ts";
import { authenticate, SwiftError, type SwiftSession } from "./keystone.ts";
import { fetchAttempt, readBody, type Deadline, requestTimeoutMs } from "./deadline.ts";
import {
  type BackendHints,
  MAX_ATTEMPTS,
  type RequestFailure,
  isRetryableStatus,
  RemoteBucket,
  withRetries,
} from "./remote.ts";

/** v1's settings of the swift backend; plain data, so that they can be sent to worker threads. */
export interface SwiftConfig {
  /** version of the authentication API; 0: derived from the address */
  authVersion: number;
  authUrl: string;
  /** use the internal endpoint of Keystone's catalog */
  internal: boolean;
  username: string;
  userId: string;
  userDomainName: string;
  userDomainId: string;
  password: string;
  domainId: string;
  domainName: string;
  projectId: string;
  projectName: string;
  projectDomainId: string;
  projectDomainName: string;
  regionName: string;
  container: string;
  maxRetries: number;
  connectTimeoutMs: number;
  requestTimeoutMs: number;
  /**
   * larger files become segments in `<container>_segments` and a manifest; Swift accepts at most 5 GiB in one
   * piece
   */
  segmentBytes: number;
}

/** A container of OpenStack Swift, over its HTTP API: there is no maintained client for Node. */
export class SwiftBucket extends RemoteBucket {
  readonly name = "swift";
  protected readonly advice: BackendHints;
  private readonly config: SwiftConfig;
  private session: Promise<SwiftSession> | undefined;

  constructor(config: SwiftConfig) {
    super();
    this.config = config;
    this.advice = {
      bucket: config.container,
      endpoint: config.authUrl,
      bucketFlag: "-storage.swift.container-name",
      credentialFlags: "-storage.swift.username, -storage.swift.password and -storage.swift.auth-url",
      timeout: { ms: config.requestTimeoutMs, flag: "-storage.swift.request-timeout" },
      badCredentials: (f) => f.status === 401,
    };
  }

  protected bucketIsMissing(f: RequestFailure): boolean {
    return f.code === "container";
  }

  protected requestFailureOf(err: unknown): RequestFailure {
    if (err instanceof SwiftError) return { status: err.status, code: err.code, message: err.message };
    const { message, cause } = err as Error & { cause?: { code?: string; message?: string } };
    return { status: undefined, code: cause?.code ?? "", message: cause?.message ?? message };
  }

  private path(container: string, name: string): string {
    return `/${encodeURIComponent(container)}${name === "" ? "" : `/${name.split("/").map(encodeURIComponent).join("/")}`}`;
  }

  /**
   * Sends one request: gets a new token when the old one has expired, and retries after a pause when the
   * server is busy or does not respond.
   */
  private ask(
    deadline: Deadline,
    method: string,
    path: string,
    init: {
      headers?: Record<string, string>;
      body?: Uint8Array | Blob;
      ok?: readonly number[];
      /** reads the response's body; a failure while reading counts as a failed attempt */
      take?: (r: Response, moved: (bytes: number) => void) => Promise<void>;
    } = {},
  ): Promise<Response> {
    const { config } = this;
    const size = init.body === undefined ? 0 : init.body instanceof Blob ? init.body.size : init.body.length;
    const timeoutMs = config.connectTimeoutMs + requestTimeoutMs(this.advice.timeout, size);
    const once = async (fresh: boolean): Promise<Response> => {
      this.session ??= authenticate(config);
      const { token, url } = await this.session.catch((err: unknown) => {
        this.session = undefined;
        throw err;
      });
      const r = await fetchAttempt(deadline, timeoutMs, async (signal, moved) => {
        const answer = await fetch(url + path, {
          method,
          headers: { "x-auth-token": token, ...init.headers },
          ...(init.body === undefined ? {} : { body: init.body as NonNullable<RequestInit["body"]> }),
          signal,
        });
        if (answer.ok) {
          await init.take?.(answer, moved);
          return answer;
        }
        if ((init.ok ?? []).includes(answer.status)) return answer;
        const text = (await answer.text())
          .replace(/<[^>]*>/g, " ")
          .replace(/\s+/g, " ")
          .trim()
          .slice(0, 200);
        return { status: answer.status, text };
      });
      if (r instanceof Response) {
        deadline.recordStep();
        return r;
      }
      if (r.status === 401 && !fresh) {
        this.session = undefined;
        return once(true);
      } // the token may have expired
      throw new SwiftError(
        r.status,
        r.status === 404 && (await this.lacksContainer(deadline, method, path, url, token))
          ? "container"
          : "",
        `${method} responded with ${r.status}: ${r.text}`,
      );
    };
    return withRetries(
      config.maxRetries > 0 ? config.maxRetries + 1 : MAX_ATTEMPTS,
      (err) => !deadline.signal.aborted && isRetryableStatus(this.requestFailureOf(err).status),
      () => once(false),
    );
  }

  /** Whether a 404 is about the container instead of an object. */
  private async lacksContainer(
    deadline: Deadline,
    method: string,
    path: string,
    url: string,
    token: string,
  ): Promise<boolean> {
    const container = /^\/[^/?]+/.exec(path)![0];
    if (method === "GET" && path.startsWith(`${container}?`)) return true;
    const r = await fetch(`${url}${container}?limit=1`, {
      headers: { "x-auth-token": token },
      signal: deadline.signal,
    });
    await r.arrayBuffer();
    return r.status === 404;
  }

  private object(name: string): string {
    return this.path(this.config.container, name);
  }
  private async read(
    deadline: Deadline,
    name: string,
    headers: Record<string, string> = {},
  ): Promise<Uint8Array> {
    let out = new Uint8Array(0);
    await this.ask(deadline, "GET", this.object(name), {
      headers,
      take: async (r, moved) => {
        if (r.body !== null) out = (await readBody(r.body, moved)) as Uint8Array<ArrayBuffer>;
      },
    });
    return out;
  }

  get(name: string): Promise<Uint8Array> {
    return this.run({ operation: "get", name }, (deadline) => this.read(deadline, name));
  }
  getRange(name: string, offset: number, size: number): Promise<Uint8Array> {
    return this.range(name, size, (deadline) =>
      this.read(deadline, name, { range: `bytes=${offset}-${offset + size - 1}` }),
    );
  }
  put(name: string, bytes: Uint8Array): Promise<void> {
    return this.write({ operation: "put", name, bytes: bytes.length }, (deadline) =>
      this.ask(deadline, "PUT", this.object(name), { body: bytes }),
    );
  }
  /** Swift checks the name before it reads the body: two simultaneous attempts may both succeed. */
  putIfAbsent(name: string, bytes: Uint8Array): Promise<boolean> {
    return this.createObject(name, bytes.length, (deadline) =>
      this.ask(deadline, "PUT", this.object(name), { body: bytes, headers: { "if-none-match": "*" } }),
    );
  }

  /**
   * Swift stores a body of known length completely or not at all; the manifest is written after its segments.
   */
  async putFile(name: string, path: string): Promise<void> {
    const file = await openAsBlob(path),
      { segmentBytes, container } = this.config;
    const bytes = Math.min(file.size, segmentBytes);
    return this.write({ operation: "putFile", name, bytes }, async (deadline) => {
      if (file.size <= segmentBytes) {
        await this.ask(deadline, "PUT", this.object(name), { body: file });
        return;
      }
      const segments = `${container}_segments`,
        folder = `${name}/${Date.now()}-${Math.random().toString(36).slice(2)}`;
      await this.ask(deadline, "PUT", this.path(segments, ""));
      const manifest: { path: string; etag: string; size_bytes: number }[] = [];
      try {
        for (let at = 0; at < file.size; at += segmentBytes) {
          const part = file.slice(at, at + segmentBytes),
            segment = `${folder}/${String(manifest.length).padStart(8, "0")}`;
          const r = await this.ask(deadline, "PUT", this.path(segments, segment), { body: part });
          manifest.push({
            path: `/${segments}/${segment}`,
            etag: r.headers.get("etag") ?? "",
            size_bytes: part.size,
          });
        }
        await this.ask(deadline, "PUT", `${this.object(name)}?multipart-manifest=put`, {
          body: Buffer.from(JSON.stringify(manifest)),
        });
      } catch (err) {
        // Delete the segments of a failed upload. Failures of these deletions are ignored, because the first
        // error is more informative.
        for (const m of manifest)
          await this.ask(deadline, "DELETE", this.path(segments, m.path.slice(segments.length + 2)), {
            ok: [404],
          }).catch(() => undefined);
        throw err;
      }
    });
  }

  private async head(deadline: Deadline, name: string): Promise<Response> {
    return this.ask(deadline, "HEAD", this.object(name));
  }
  attributes(name: string): Promise<ObjectAttributes> {
    return this.run({ operation: "attributes", name }, async (deadline) => {
      const { headers } = await this.head(deadline, name);
      return {
        size: Number(headers.get("content-length") ?? 0),
        lastModifiedMs:
          Number(headers.get("x-timestamp") ?? 0) * 1000 ||
          Date.parse(headers.get("last-modified") ?? "") ||
          0,
      };
    });
  }

  delete(name: string): Promise<void> {
    return this.run({ operation: "delete", name }, async (deadline) => {
      const r = await this.ask(deadline, "HEAD", this.object(name), { ok: [404] });
      if (r.status === 404) return;
      // Delete a manifest together with its segments.
      await this.ask(
        deadline,
        "DELETE",
        `${this.object(name)}${r.headers.get("x-static-large-object")?.toLowerCase() === "true" ? "?multipart-manifest=delete" : ""}`,
        { ok: [404] },
      );
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.run({ operation: "list", name: prefix }, async (deadline) => {
      const out: string[] = [];
      for (let marker = ""; ; ) {
        const query = new URLSearchParams({ format: "json", delimiter: "/", prefix, limit: "1000", marker });
        const page = (await (
          await this.ask(deadline, "GET", `${this.path(this.config.container, "")}?${query}`)
        ).json()) as { name?: string; subdir?: string }[];
        for (const e of page) {
          const n = e.subdir ?? e.name;
          if (n !== undefined && n !== prefix) out.push(n);
        }
        const last = page.at(-1);
        if (page.length < 1000 || !last) return out.sort();
        marker = (last.subdir ?? last.name)!;
      }
    });
  }
}
