import { createServer, request as httpRequest, type Server as HttpServer } from "node:http";
import { gzipSync } from "node:zlib";
import { atEnd, chromium as findChromium, freePort, tinyPprof, type TinyProfile } from "@cinderblock/testkit";
import {
  type Browser,
  type BrowserContext,
  chromium,
  type Locator,
  type Page,
  type Request,
} from "playwright-core";
import { Server } from "./server.ts";

/** A real browser that closes at the end of the test file. */
async function launch(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: [
      "--no-sandbox",
      "--host-resolver-rules=MAP cinderblock.test 127.0.0.1",
      "--disable-dev-shm-usage",
      "--disable-gpu",
    ],
  });
  atEnd(() => browser.close());
  return browser;
}

/** A page, its requests, and its problems. */
export interface Visit {
  page: Page;
  context: BrowserContext;
  requests: Request[];
  problems: string[];
  asked: (method: string) => Record<string, unknown>[];
}

/**
 * Opens an address in a fresh browser context. Requests to other servers, 404s and script errors are
 * problems.
 */
export async function visit(
  browser: Browser,
  url: string,
  options: {
    theme?: "light" | "dark";
    width?: number;
    height?: number;
    token?: string;
    expected?: RegExp;
    prepare?: (page: Page) => Promise<void>;
  } = {},
): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
    colorScheme: options.theme ?? "light",
    timezoneId: "Europe/Berlin",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const page = await context.newPage();
  const requests: Request[] = [],
    problems: string[] = [],
    host = new URL(url).host;
  if (options.token !== undefined)
    await page.addInitScript((t) => sessionStorage.setItem("cinderblock.token", t), options.token);
  page.on("request", (r) => {
    requests.push(r);
    if (new URL(r.url()).host !== host && !r.url().startsWith("blob:") && !r.url().startsWith("data:"))
      problems.push(`asked ${r.url()}`);
  });
  page.on("response", (r) => {
    if (r.status() >= 400 && !options.expected?.test(`${r.status()} ${r.url()}`))
      problems.push(`${r.status()} ${r.url()}`);
  });
  page.on("pageerror", (e) => problems.push(e.message));
  await options.prepare?.(page);
  await page.goto(url);
  return {
    page,
    context,
    requests,
    problems,
    asked: (method) =>
      requests
        .filter((r) => r.url().endsWith(`/${method}`))
        .map((r) => {
          try {
            return r.postDataJSON() as Record<string, unknown>;
          } catch {
            return {};
          }
        }),
  };
}

/** An answer from the proxy itself. */
interface OwnAnswer {
  status: number;
  type: string;
  text: string;
}

/** Routes of Pyroscope v1 that a UI may call, without those of v1's own UI. */
const V1_ROUTES = new RegExp(
  `^/(${[
    String.raw`querier\.v1\.QuerierService/(ProfileTypes|LabelValues|LabelNames|Series|SelectMergeStacktraces|SelectMergeSpanProfile|SelectMergeProfile|SelectSeries|Diff|GetProfileStats|AnalyzeQuery)`,
    String.raw`(settings\.v1\.SettingsService|adhocprofiles\.v1\.AdHocProfileService|vcs\.v1\.VCSService)/\w+`,
    "pyroscope/(render|render-diff|label-values)",
    "ready",
    "metrics",
    "api/v1/status/(buildinfo|config|config/diff|config/default)",
    "(distributor/|compactor/|store-gateway/|overrides-exporter/)?ring",
  ].join("|")})$`,
);

/**
 * Makes the answers of our server, which stands for v1, equal to those of a plain Pyroscope v1: only v1's
 * routes, HTML pages, no heatmap.
 */
export function plainV1(method: string, path: string): OwnAnswer | undefined {
  if (path === "/admin" || path.startsWith("/store-gateway/tenant"))
    return { status: 200, type: "text/html", text: "<!doctype html><title>a page for people</title>" };
  if (path === "/querier.v1.QuerierService/SelectHeatmap")
    return {
      status: 501,
      type: "application/json",
      text: '{"code":"unimplemented","message":"unimplemented"}',
    };
  const page =
    method === "GET" &&
    /^\/($|explore$|compare$|files$|status$|icon\.svg$|favicon\.ico$|assets\/)/.test(path);
  return page || V1_ROUTES.test(path)
    ? undefined
    : { status: 404, type: "text/plain; charset=utf-8", text: "404 page not found\n" };
}

/**
 * A proxy in front of a server, below a prefix that it strips or keeps; it may answer some requests itself.
 */
export class Proxy {
  private server: HttpServer | undefined;
  port = 0;
  readonly outside: string[] = [];
  private readonly to: Server;
  private readonly prefix: string;
  private readonly strips: boolean;
  private readonly own: (method: string, path: string) => OwnAnswer | undefined;
  constructor(
    to: Server,
    prefix: string,
    strips: boolean,
    own: (method: string, path: string) => OwnAnswer | undefined = () => undefined,
  ) {
    this.to = to;
    this.prefix = prefix;
    this.strips = strips;
    this.own = own;
  }

  async start(): Promise<string> {
    this.port = await freePort();
    this.server = createServer((req, res) => {
      const url = req.url ?? "/";
      if (!url.startsWith(this.prefix)) {
        this.outside.push(url);
        res.writeHead(404).end();
        return;
      }
      const answer = this.own(req.method ?? "GET", url.split("?")[0]!);
      if (answer) {
        req.resume();
        res.writeHead(answer.status, { "content-type": answer.type }).end(answer.text);
        return;
      }
      const out = httpRequest(
        {
          host: "127.0.0.1",
          port: this.to.port,
          method: req.method,
          path: this.strips ? url.slice(this.prefix.length - 1) : url,
          headers: req.headers,
        },
        (r) => {
          res.writeHead(r.statusCode!, r.headers);
          r.pipe(res);
        },
      );
      out.on("error", () => res.writeHead(502).end());
      req.pipe(out);
    });
    await new Promise<void>((done) => this.server!.listen(this.port, "127.0.0.1", done));
    return `http://127.0.0.1:${this.port}${this.prefix}`;
  }
  stop(): void {
    this.server?.close();
    this.server?.closeAllConnections();
  }
}

export type Stack = { frames: string[]; values: number[] };

export async function push(
  server: Server,
  service: string,
  labels: Record<string, string>,
  atMs: number,
  stacks: Stack[],
  headers: Record<string, string> = {},
  { name: profileName, ...profile }: { name: string } & Pick<TinyProfile, "types" | "period"> = {
    name: "process_cpu",
  },
): Promise<void> {
  const body = gzipSync(tinyPprof({ stacks, timeNanos: BigInt(atMs) * 1_000_000n, ...profile }));
  const { status, body: answer } = await server.json(
    "/push.v1.PusherService/Push",
    {
      series: [
        {
          labels: Object.entries({ __name__: profileName, service_name: service, ...labels }).map(
            ([name, value]) => ({ name, value }),
          ),
          samples: [{ rawProfile: body.toString("base64") }],
        },
      ],
    },
    headers,
  );
  if (status !== 200) throw new Error(JSON.stringify(answer));
}

/**
 * A small shop for two hours before `endMs`, with a profile of each pod every minute. In the second hour
 * `json.Marshal` of the cart takes three times as long, and a new function appears. The profiles include
 * ambiguous names: `other`, recursion.
 */
async function pushShop(server: Server, endMs: number): Promise<void> {
  const ms = 1_000_000;
  const jobs: Promise<void>[] = [];
  for (let minute = 1; minute <= 120; minute++) {
    const at = endMs - minute * 60_000 + 30_000,
      late = minute <= 60;
    for (const pod of ["cart-a", "cart-b"]) {
      jobs.push(
        push(server, "cart", { pod, region: pod === "cart-a" ? "eu" : "us", version: late ? "2" : "1" }, at, [
          { frames: ["main", "http.serve", "cart.handle", "cart.load", "db.query"], values: [300 * ms] },
          {
            frames: ["main", "http.serve", "cart.handle", "json.Marshal"],
            values: [(late ? 600 : 200) * ms],
          },
          { frames: ["main", "http.serve", "cart.handle", "other"], values: [40 * ms] },
          { frames: ["main", "http.serve", "cart.walk", "cart.walk", "cart.walk"], values: [60 * ms] },
          ...(late
            ? [{ frames: ["main", "http.serve", "cart.handle", "cart.audit"], values: [50 * ms] }]
            : [{ frames: ["main", "gc.old"], values: [30 * ms] }]),
        ]),
      );
    }
    jobs.push(
      push(server, "checkout", { pod: "checkout-a", region: "eu" }, at, [
        { frames: ["main", "pay"], values: [150 * ms] },
        { frames: ["main", "pay", "tls.handshake"], values: [100 * ms] },
      ]),
    );
    if (jobs.length >= 60) await Promise.all(jobs.splice(0));
  }
  await Promise.all(jobs);
}

/**
 * The end of the shop's two hours; address parameters of both hours and of the second hour. Times are
 * absolute, so answers do not change.
 */
export const HOUR = 3_600_000,
  END = Math.floor(Date.now() / 60_000) * 60_000 - 120_000;
export const RANGE = `f=${END - 2 * HOUR}&u=${END}`,
  LATE = `f=${END - HOUR}&u=${END}`;
export const CART = `s=${encodeURIComponent('service_name="cart"')}`;

/**
 * A server with the shop's profiles and a browser, for the tests of one file, which need the part `chromium`.
 */
export function shop(): {
  server: Server;
  theBrowser: () => Browser;
  open: (path: string, options?: Parameters<typeof visit>[2]) => Promise<Visit>;
  inBrowser: (name: string, run: () => Promise<void>, ms?: number) => void;
} {
  const server = new Server();
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await launch();
    await server.start(
      "-validation.max-profile-stacktrace-depth=10000",
      "-validation.max-profile-stacktrace-samples=100000",
      "-validation.max-profile-size-bytes=100000000",
      "-compactor.compaction-interval=1h",
    );
    await pushShop(server, END);
  }, 120_000);
  afterAll(async () => {
    await server.stop();
  });
  return {
    server,
    theBrowser: () => browser!,
    open: (path, options = {}) => visit(browser!, `${server.url}/${path}`, options),
    inBrowser: (name, run, ms = 60_000) => {
      it(name, run, ms);
    },
  };
}

/** Waits until every pane shows its latest answer. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelectorAll("[aria-busy=true]").length === 0);
}
export async function flame(page: Page): Promise<void> {
  await page.locator(".flame canvas[data-drawn]").first().waitFor();
  await settled(page);
}
/** The screen reader text of the focused call in the flame graph. */
export function spoken(page: Page): Promise<string> {
  return page.locator(".flame .sr").first().innerText();
}

/** The text field of the filters, which replaces the tokens. */
export async function queryBox(page: Page): Promise<Locator> {
  const box = page.getByRole("textbox", { name: "Query" });
  if ((await box.count()) === 0) await page.getByRole("button", { name: "Edit as text" }).click();
  return box;
}
