import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeWith, freePort, part, startProcess } from "@cinderblock/testkit";
import {
  CART,
  END,
  flame,
  HOUR,
  LATE,
  plainV1,
  Proxy,
  push,
  queryBox,
  RANGE,
  settled,
  shop,
  spoken,
  type Visit,
  visit,
} from "./browser.ts";
import { until } from "./pusher.ts";
import { folder, Server } from "./server.ts";

const { server, open, inBrowser, theBrowser } = shop();

describeWith(["chromium"], "in front of a plain Pyroscope v1", () => {
  // No v1 runs here. A server with v1's answers (e2e/oracle, e2e/conformance) stands for it, behind a proxy
  // with only v1's routes.
  const v1 = new Proxy(server, "/", true, plainV1);
  let url = "";
  beforeAll(async () => {
    url = await v1.start();
  });
  afterAll(() => {
    v1.stop();
  });
  const inFrontOfV1 = (name: string, path: string, look: (v: Visit) => Promise<void>): void => {
    inBrowser(name, async () => {
      const v = await visit(theBrowser(), `${url}${path}`, {
        expected: /404 .*(ExploreService\/Capabilities|query-scheduler\/ring)$/,
      });
      try {
        await look(v);
        // The feature detection sent the only requests that v1 does not know.
        expect(v.problems).toEqual([]);
      } finally {
        await v.context.close();
      }
    });
  };
  const missing: [pane: string, said: string][] = [
    ["table", "exact function table"],
    ["sandwich", "exact callers & callees"],
    ["graph", "exact call graph"],
    ["profiles", "single profiles"],
  ];

  inFrontOfV1("lists services with their change, and opens one", `?${LATE}`, async ({ page }) => {
    await page.getByRole("link", { name: "cart", exact: true }).click();
    await flame(page);
    expect(await page.getByText("Connected to Pyroscope v1").isVisible()).toBe(true);
    expect(await page.getByTestId("total").innerText()).toBe("total 2.10 min");
  });
  inFrontOfV1(
    "asks for no more than v1's longest query by default",
    `?f=${END - 20 * HOUR}&u=${END}`,
    async ({ page, asked }) => {
      await page.getByRole("link", { name: "cart", exact: true }).waitFor();
      for (const q of asked("SelectSeries"))
        expect(Number(q.end) - Number(q.start)).toBeLessThanOrEqual(24 * HOUR);
    },
  );
  for (const [pane, said] of missing) {
    inFrontOfV1(
      `says that ${pane} is missing`,
      `explore?${LATE}&${CART}&pane=${pane}&fn=json.Marshal`,
      async ({ page }) => {
        await page.getByText(`A plain Pyroscope v1 has no ${said}.`, { exact: true }).waitFor();
      },
    );
  }
  inFrontOfV1("draws the call tree", `explore?${LATE}&${CART}&pane=tree`, async ({ page }) => {
    await page.getByText("json.Marshal").first().waitFor();
  });
  inFrontOfV1(
    "breaks down by a label",
    `explore?${RANGE}&${CART}&pane=labels&g=version`,
    async ({ page }) => {
      await page.locator(".by-label tbody tr").nth(1).waitFor();
      expect(
        (await page.locator(".by-label tbody tr").allInnerTexts()).map((t) => t.split("\t")[0]).sort(),
      ).toEqual(["1", "2"]);
    },
  );
  inFrontOfV1(
    "compares two times",
    `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}&d=1`,
    async ({ page, asked }) => {
      await flame(page);
      await page.getByTestId("sums").waitFor();
      // One request of v1's comparison answers the graph and the totals.
      expect(asked("Diff").length).toBe(1);
      expect(await page.getByTestId("sums").innerText()).toContain(
        "A 0.021 cores (1.26 min in 1 h), B 0.035 cores (2.10 min in 1 h): +0.014 cores, ×1.67;",
      );
      expect(await page.getByTestId("total").innerText()).toBe("total 0.035 cores, baseline 0.021 cores");
      await page.locator(".flame-stop").focus();
      for (let level = 0; level < 4; level++) await page.keyboard.press("ArrowDown");
      expect(await spoken(page)).toMatch(
        /^json\.Marshal: total 0\.020 cores, 57\.1%, .* baseline 0\.007 cores, Δ \+0\.013 cores, ×3\.00,/,
      );
      for (const name of [
        "Show only stacks with this function",
        "Exclude these stacks",
        "Hide frame (attribute to caller)",
      ])
        expect(await page.getByRole("button", { name }).isDisabled()).toBe(true);
      await page
        .getByText("A plain Pyroscope v1 has no callers & callees and no function filters.")
        .waitFor();
      await page.keyboard.press("o");
      expect(new URL(page.url()).searchParams.has("on")).toBe(false);
    },
  );
  inFrontOfV1(
    "says that filters of functions in an address are not applied",
    `explore?${LATE}&${CART}&on=json.Marshal`,
    async ({ page }) => {
      await flame(page);
      expect(await page.getByTestId("total").innerText()).toBe("total 2.10 min");
      await page.getByText("Not applied: a plain Pyroscope v1 has no function filters").waitFor();
    },
  );
  describeWith(["nginx"], "behind a web server of one's own", () => {
    inBrowser("is served by a web server of one's own, as docs/operations/web-ui.md says", async () => {
      const block = /```nginx\n([\s\S]+?)```/.exec(readFileSync("docs/operations/web-ui.md", "utf8"))![1]!,
        dir = folder(),
        port = await freePort(),
        config = join(dir, "nginx.conf");
      const here = block
        .replace("listen 4050", `listen 127.0.0.1:${port}`)
        .replace("/cinderblock/dist", resolve("dist"))
        .replace("http://pyroscope:4040", url.replace(/\/$/, ""));
      expect(here).not.toMatch(/4050|\/cinderblock\/dist\/cinderblock\/dist|pyroscope:/);
      writeFileSync(
        config,
        `user root; daemon off; pid ${dir}/pid; error_log ${dir}/error; events {}\nhttp { include /etc/nginx/mime.types; access_log off; client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;\n${here}}\n`,
      );
      const nginx = startProcess(part("nginx"), ["-c", config], { stdio: "ignore" });
      try {
        await until("nginx serves", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);
        for (const path of ["", "explore", "compare", "comparison-diff"])
          expect([path, await (await fetch(`http://127.0.0.1:${port}/${path}`)).text()]).toEqual([
            path,
            readFileSync("dist/cinderblock/web/index.html", "utf8"),
          ]);
        const v = await visit(theBrowser(), `http://127.0.0.1:${port}/explore?${LATE}&${CART}`, {
          expected: /404 .*ExploreService\/Capabilities$/,
        });
        await flame(v.page);
        expect(await v.page.getByTestId("total").innerText()).toBe("total 2.10 min");
        expect(v.problems).toEqual([]);
        await v.context.close();
      } finally {
        nginx.kill();
      }
    });
  });
  inFrontOfV1("shows the files", "files", async ({ page }) => {
    await page.getByRole("heading").first().waitFor();
    await settled(page);
  });
  inFrontOfV1("shows the rings, and no limits that it was not told", "status", async ({ page }) => {
    await page.getByRole("heading", { name: /Ingesters/ }).waitFor();
    expect(await page.locator("dl.facts").innerText()).toMatch(/Max query range\s+see the configuration/);
    expect(await page.getByText("ACTIVE").count()).toBeGreaterThan(0);
  });
});

describeWith(["chromium"], "wherever it is mounted", () => {
  for (const prefix of ["/", "/a/", "/a/b/c/"]) {
    for (const strips of [true, false]) {
      inBrowser(
        `works under ${prefix} behind a proxy that ${strips ? "strips" : "keeps"} the prefix`,
        async () => {
          const proxy = new Proxy(server, prefix, strips);
          const v = await visit(theBrowser(), `${await proxy.start()}?${LATE}`);
          try {
            await v.page.getByRole("link", { name: "cart", exact: true }).click();
            await flame(v.page);
            await v.page.reload();
            await flame(v.page);
            await v.page.getByRole("link", { name: "Status" }).click();
            await v.page.waitForFunction(
              () => document.querySelector("[data-testid=ready]")?.textContent === "Ready",
            );
            expect(new URL(v.page.url()).pathname).toBe(`${prefix}status`);
            // A single process has no rings and no overrides file: the page's requests report this.
            expect(v.problems.filter((p) => !/404 .*\/(ring|runtime_config)$/.test(p))).toEqual([]);
            expect(proxy.outside.filter((u) => u !== "/favicon.ico")).toEqual([]);
          } finally {
            await v.context.close();
            proxy.stop();
          }
        },
      );
    }
  }
});

describeWith(["chromium"], "when things go wrong", () => {
  type Fault = [
    name: string,
    status: number,
    code: string,
    message: string,
    next: RegExp,
    condition?: string,
  ];
  const faults: Fault[] = [
    [
      "a range that is too long",
      400,
      "invalid_argument",
      "the query time range exceeds the limit (max_query_length, actual: 721h0m0s, limit: 1d)",
      /shorter time range/,
      "query-too-long",
    ],
    ["a refused token", 401, "unauthenticated", "a token is required", /Sign in/],
    ["a query that cannot be processed", 422, "invalid_argument", "bad selector", /Change the query/],
    [
      "too many requests",
      429,
      "resource_exhausted",
      "too many outstanding requests: 100 are waiting; the limit is 100",
      /Wait a moment/,
    ],
    ["an internal error", 500, "internal", "something broke", /check the server log/],
    ["a timeout", 504, "deadline_exceeded", "context deadline exceeded", /Shorten the time range/],
  ];
  for (const [name, status, code, message, next, condition] of faults) {
    inBrowser(`${name} shows what happened and the next step`, async () => {
      const { page, context } = await open(`explore?${LATE}&${CART}`, {
        expected: /./,
        prepare: async (p) => {
          await p.route("**/CallTree", (r) =>
            r.fulfill({
              status,
              contentType: "application/json",
              body: JSON.stringify({ code, message }),
              ...(condition === undefined ? {} : { headers: { "x-cinderblock-condition": condition } }),
            }),
          );
        },
      });
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.innerText()).toContain(message);
      expect(await alert.innerText()).toMatch(next);
      await context.close();
    });
  }

  inBrowser("an answer that is not complete says so", async () => {
    const { page, context } = await open(`explore?${LATE}&${CART}`, {
      prepare: async (p) => {
        await p.route("**/CallTree", async (r) => {
          const a = await r.fetch();
          await r.fulfill({
            response: a,
            headers: { ...a.headers(), "x-cinderblock-partial": "ingester-2 did not answer" },
          });
        });
      },
    });
    await flame(page);
    await page.getByText("Partial answer").click();
    expect(await page.getByText("This answer is not complete: ingester-2 did not answer").isVisible()).toBe(
      true,
    );
    await context.close();
  });

  inBrowser(
    "slow, reordered and aborted responses never show outdated data: 200 random schedules",
    async () => {
      let seed = 7;
      const random = (): number => {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        return seed / 0x7fffffff;
      };
      const { page, context } = await open(`explore?${LATE}&${CART}`, {
        prepare: async (p) => {
          await p.route("**/CallTree", async (r) => {
            await new Promise((w) => {
              setTimeout(w, random() * 40);
            });
            await r.continue().catch(() => undefined);
          });
        },
      });
      await flame(page);
      const box = await queryBox(page);
      const totals: Record<string, string> = {
        cart: "total 2.10 min",
        checkout: "total 15.0 s",
        absent: "total 0 ns",
      };
      for (let i = 0; i < 200; i++) {
        let name = "";
        for (let k = 0; k < 1 + Math.floor(random() * 3); k++) {
          name = ["cart", "checkout", "absent"][Math.floor(random() * 3)]!;
          await box.fill(`service_name="${name}"`);
          await box.press("Enter");
          if (random() < 0.5) await page.waitForTimeout(random() * 15);
        }
        await settled(page);
        expect([i, name, await page.getByTestId("total").innerText()]).toEqual([i, name, totals[name]]);
      }
      await page.waitForTimeout(100);
      await context.close();
    },
    240_000,
  );

  inBrowser(
    "U8: an empty install says where to send profiles, and opens the first one by itself",
    async () => {
      const fresh = new Server();
      await fresh.start();
      const { page, context, problems } = await visit(theBrowser(), fresh.url);
      await page.getByRole("heading", { name: "Waiting for data…" }).waitFor();
      await page.getByRole("button", { name: "curl" }).click();
      expect(await page.getByLabel("curl").innerText()).toContain(`${fresh.url}/ingest?name=first.cpu`);
      const sent = Date.now();
      await push(fresh, "first", {}, sent - 1000, [{ frames: ["main"], values: [1e9] }]);
      await page.getByRole("heading", { name: "first is sending CPU time" }).waitFor();
      // Without any input, the page opens the service with its data.
      await flame(page);
      expect(await page.getByTestId("total").innerText()).toBe("total 1.00 s");
      expect(new URL(page.url()).searchParams.get("s")).toBe('service_name="first"');
      expect(Date.now() - sent).toBeLessThan(12_000);
      expect(problems).toEqual([]);
      await context.close();
      await fresh.stop();
    },
  );
});

describeWith(["chromium"], "profiles that are missing", () => {
  inBrowser("are missed where one looks: why, and since when", async () => {
    const limited = new Server(),
      file = join(limited.dir, "limits.yaml"),
      at = Date.now() - 60_000;
    writeFileSync(
      file,
      "overrides: {anonymous: {ingestion_limit: {period_type: hour, period_limit_mb: 128, limit_reset_time: 1795411800, limit_reached: true, sampling: {num_requests: 1, period: 1h}}}}\n",
    );
    await limited.start(`-runtime-config.file=${file}`);
    await push(limited, "cart", {}, at, [{ frames: ["main"], values: [1e9] }]);
    const { page, context, problems } = await visit(
      theBrowser(),
      `${limited.url}/explore?v=1&z=utc&${CART}&f=${at - 600_000}&u=${at + 60_000}`,
    );
    await flame(page);
    await page.getByText("1 remark", { exact: true }).click();
    const remarks = page.getByRole("list", { name: "Remarks" });
    await remarks.waitFor();
    expect(await remarks.innerText()).toMatch(
      /^▾ [-\d]{10} [:\d]{8}: Most profiles are missing: this tenant had reached its limit of 128 MB per hour until 2026-11-23 05:30:00\. 1 of the requests of each 3600 s was taken\.$/,
    );
    expect(problems).toEqual([]);
    await context.close();
    await limited.stop();
  });
});

describeWith(["chromium"], "with tokens", () => {
  inBrowser("U23: asks for one, shows nothing without it, and hides Status from readers", async () => {
    const guarded = new Server(),
      READER = "reader-token-0123456789",
      AGENT = "agent-token-0123456789",
      ADMIN = "admin-token-0123456789";
    const file = join(guarded.dir, "tokens.yaml");
    writeFileSync(
      file,
      `tokens:\n  - {name: agents, token: ${AGENT}, roles: [write]}\n  - {name: people, token: ${READER}, roles: [read]}\n  - {name: ops, token: ${ADMIN}, roles: [admin, read]}\n`,
    );
    await guarded.start(`-auth.tokens-file=${file}`);
    await push(guarded, "cart", {}, Date.now() - 60_000, [{ frames: ["main"], values: [1e9] }], {
      authorization: `Bearer ${AGENT}`,
    });
    const none = await visit(theBrowser(), guarded.url, { expected: /^401/ });
    await none.page.getByRole("alert").first().waitFor();
    expect(await none.page.getByRole("alert").first().innerText()).toContain(
      "Sign in with a token that has the read role",
    );
    // Nothing but the capabilities was asked for before the token; the address stays.
    expect(
      none.requests
        .filter((r) => r.method() === "POST")
        .map((r) => new URL(r.url()).pathname.split("/").at(-1))
        .filter((method) => method !== "Capabilities"),
    ).toEqual([]);
    await none.page.getByLabel("Token").fill(READER);
    await none.page.keyboard.press("Enter");
    await none.page.getByRole("link", { name: "cart", exact: true }).waitFor();
    await none.context.close();
    const reader = await visit(theBrowser(), `${guarded.url}/status`, { token: READER, expected: /^403/ });
    await reader.page.getByRole("alert").waitFor();
    expect(await reader.page.getByRole("alert").innerText()).toContain("a token that has the role");
    await reader.context.close();
    const admin = await visit(theBrowser(), `${guarded.url}/status`, { token: ADMIN });
    await admin.page.getByLabel("Configuration").waitFor();
    await admin.page.getByText("The bucket holds no blocks yet").waitFor();
    await admin.page.getByTestId("slow").getByRole("link", { name: "Plan" }).first().waitFor();
    await admin.page.getByRole("link", { name: "All admin pages" }).waitFor();
    expect(await admin.page.getByLabel("Configuration").innerText()).not.toContain(READER);
    await admin.context.close();
    await guarded.stop();
  });
});

describeWith(["chromium"], "with tenants", () => {
  inBrowser(
    "asks for one, joins several, keeps them in the address, and knows their longest range",
    async () => {
      const many = new Server(),
        at = Date.now() - 60_000;
      await many.start("-auth.multitenancy-enabled=true", "-querier.max-query-length=24h");
      for (const t of ["a", "b"])
        await push(many, `of-${t}`, {}, at, [{ frames: ["main"], values: [1e9] }], { "x-scope-orgid": t });
      const { page, context, problems } = await visit(theBrowser(), many.url, { expected: /^401/ });
      expect(await page.getByRole("alert").innerText()).toContain("Choose a tenant");
      await page.getByLabel("Tenant").fill("a");
      await page.keyboard.press("Enter");
      await page.getByRole("link", { name: "of-a", exact: true }).waitFor();
      expect(await page.getByRole("link", { name: "of-b", exact: true }).count()).toBe(0);
      await page.getByLabel("Tenant").fill("a|b");
      await page.keyboard.press("Enter");
      await page.getByRole("link", { name: "of-b", exact: true }).waitFor();
      expect([
        new URL(page.url()).searchParams.get("t"),
        await page.getByRole("link", { name: "of-a", exact: true }).count(),
      ]).toEqual(["a|b", 1]);
      await page.goto(`${many.url}/explore?v=1&t=a&f=now-7d`);
      expect(await page.getByRole("alert").innerText()).toContain("Time range exceeds the limit of 1 d");
      await page.getByRole("button", { name: "Show last 1 d" }).click();
      await flame(page);
      expect(await page.getByTestId("total").innerText()).toBe("total 1.00 s");
      expect(problems).toEqual([]);
      await context.close();
      await many.stop();
    },
  );
});
