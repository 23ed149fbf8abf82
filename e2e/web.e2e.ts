import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { describeWith } from "@cinderblock/testkit";
import {
  CART,
  END,
  flame,
  HOUR,
  LATE,
  push,
  queryBox,
  RANGE,
  settled,
  shop,
  spoken,
  visit,
  type Visit,
} from "./browser.ts";
import { CPU, folder } from "./server.ts";

const { server, open, inBrowser, theBrowser } = shop();
/** Request of the values over time. */
const TIMELINE = "cinderblock.explore.v1.ExploreService/Series";

describeWith(["chromium"], "the incident story", () => {
  inBrowser(
    "finds the service, its change, the slow function, and leads to the link that shows the same",
    async () => {
      const v = await open(`?${LATE}`);
      const { page } = v;
      const cart = page.getByRole("row", { name: /cart/ });
      await cart.filter({ hasText: "%" }).waitFor(); // both windows were answered
      expect(await cart.innerText()).toMatch(/2\.10 min 0\.035 cores/);
      expect(await cart.innerText()).toMatch(/\+66\.7%/); // 1,050 ms a minute after 630
      await page.getByRole("link", { name: "cart", exact: true }).click();
      await flame(page);
      expect(new URL(page.url()).searchParams.get("s")).toBe('service_name="cart"');
      await page.getByRole("tab", { name: "Top functions" }).click();
      const first = page.locator(".table-scroll [role=row]").first();
      await first.waitFor();
      expect(await first.innerText()).toContain("json.Marshal");
      await first.getByRole("button").click();
      await page.keyboard.press("d");
      await page.getByTestId("function-values").waitFor();
      await page.keyboard.press("c");
      await page.getByTestId("sums").waitFor();
      expect(page.url()).toContain("/compare");
      // Compare begins with the largest change.
      await page.getByRole("columnheader", { name: "Self Δ ▼" }).waitFor();
      await settled(page);
      const changes = await page.locator(".table-scroll [role=row]").allInnerTexts();
      expect(changes[0]).toContain("json.Marshal");
      expect(changes.find((r) => r.includes("cart.audit"))).toContain("new");
      expect(changes.find((r) => r.includes("gc.old"))).toContain("gone");
      await page.getByRole("button", { name: "Copy link" }).click();
      const link = await page.evaluate(() => navigator.clipboard.readText());
      expect(link).toBe(page.url());
      // A colleague's browser: the same queries, the same rows.
      const other = await visit(theBrowser(), link);
      await other.page.locator(".table-scroll [role=row]").first().waitFor();
      await settled(other.page);
      expect(await other.page.locator(".table-scroll [role=row]").allInnerTexts()).toEqual(changes);
      const last = (x: Visit): unknown =>
        x.asked("FunctionTable").find((b) => b.order === "FUNCTION_ORDER_SELF_CHANGE");
      expect(last(other)).toEqual(last(v));
      expect([...v.problems, ...other.problems]).toEqual([]);
      await v.context.close();
      await other.context.close();
    },
  );

  inBrowser("shows no figure of a service before the answers that it comes from", async () => {
    // The answers of one window are held back until the other window's are on the screen.
    const rowsWhileHeld = async (isHeld: (startMs: number) => boolean): Promise<string[]> => {
      let release = (): void => {};
      const held = new Promise<void>((done) => {
        release = done;
      });
      let first: Promise<unknown> = held;
      const { page, problems, context } = await open(`?${LATE}`, {
        prepare: async (p) => {
          first = p.waitForResponse((r) => r.url().endsWith(`/${TIMELINE}`));
          await p.route(`**/${TIMELINE}`, async (route) => {
            const asked = route.request().postDataJSON() as { selection: { start: string } };
            if (isHeld(Number(asked.selection.start))) await held;
            await route.continue();
          });
        },
      });
      await first;
      await page.waitForTimeout(300);
      const rows = await page.getByRole("row", { name: /cart|checkout/ }).allInnerTexts();
      release();
      await page.getByRole("row", { name: /cart/ }).filter({ hasText: "+66.7%" }).waitFor();
      expect(problems).toEqual([]);
      await context.close();
      return rows;
    };
    expect(await rowsWhileHeld((startMs) => startMs >= END - HOUR)).toEqual([]);
    const alone = await rowsWhileHeld((startMs) => startMs < END - HOUR);
    expect(alone).toHaveLength(2);
    expect(alone[0]).toMatch(/2\.10 min 0\.035 cores/);
    expect(alone[0]).toMatch(/–\s*$/);
  });

  inBrowser("never shows values of one profile type in the unit of another", async () => {
    const earlier = END - 5 * HOUR,
      stacks = [{ frames: ["main", "fill"], values: [7] }];
    await push(server, "cache", {}, earlier, stacks);
    await push(
      server,
      "cache",
      {},
      earlier,
      stacks,
      {},
      { name: "goroutine", types: [["goroutine", "count"]], period: ["goroutine", "count"] },
    );
    const { page, problems, context } = await open(
      `explore?s=${encodeURIComponent('service_name="cache"')}&f=${earlier - HOUR}&u=${earlier + HOUR}`,
    );
    await flame(page);
    let release = (): void => {};
    const held = new Promise<void>((done) => {
      release = done;
    });
    await page.route("**/cinderblock.explore.v1.ExploreService/*", async (route) => {
      await held;
      await route.continue();
    });
    await page.getByRole("combobox", { name: "Profile type" }).selectOption({ label: "Goroutines" });
    await page.waitForTimeout(300);
    expect(await page.getByTestId("total").count()).toBe(0);
    release();
    await page
      .getByTestId("total")
      .filter({ hasText: /^total 7\b/ })
      .waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("lists every service, and opens it on a profile type that it has", async () => {
    const earlier = END - 9 * HOUR,
      range = `f=${earlier - HOUR}&u=${earlier + HOUR}`,
      stacks = [{ frames: ["main", "fill"], values: [7 * 1024 ** 2] }],
      HEAP = "memory:inuse_space:bytes:space:bytes";
    await push(server, "busy", {}, earlier, stacks);
    for (const [name, types, period] of [
      ["memory", ["inuse_space", "bytes"], ["space", "bytes"]],
      ["mutex", ["delay", "nanoseconds"], ["contentions", "count"]],
    ] as const)
      await push(
        server,
        "heap-only",
        {},
        earlier,
        stacks,
        {},
        { name, types: [[...types]], period: [...period] },
      );
    const { page, problems, context } = await open(`?${range}`);
    const row = page.getByRole("row", { name: /heap-only/ });
    await row.filter({ hasText: "– Heap, Locks" }).waitFor();
    expect(await page.getByRole("row", { name: /busy/ }).count()).toBe(1);
    await row.getByRole("link", { name: "heap-only", exact: true }).click();
    await page
      .getByTestId("total")
      .filter({ hasText: /^total 7\b.* MiB avg$/ })
      .waitFor();
    expect(new URL(page.url()).searchParams.get("p")).toBe(HEAP);
    const type = page.getByRole("combobox", { name: "Profile type" });
    expect(
      await type.evaluate((select) =>
        [...select.querySelectorAll("optgroup")].map((g) => [
          g.label,
          ...[...g.querySelectorAll("option")].map((o) => `${o.textContent} ${o.title}`),
        ]),
      ),
    ).toEqual([
      ["Heap", `Heap in use ${HEAP}`],
      ["Locks", "Mutex wait mutex:delay:nanoseconds:contentions:count"],
    ]);
    // An address without a type opens on a type of the labels; a chosen type without data names the others.
    const labels = `s=${encodeURIComponent('service_name="heap-only"')}`;
    await page.goto(`${server.url}/explore?v=1&${range}&${labels}`);
    await page
      .getByTestId("total")
      .filter({ hasText: /^total 7\b.* MiB avg$/ })
      .waitFor();
    await page.goto(
      `${server.url}/explore?v=1&${range}&${labels}&p=${encodeURIComponent("wall:wall:nanoseconds:wall:nanoseconds")}`,
    );
    await page.getByText("No data for this selection.").waitFor();
    await page.getByRole("button", { name: "Mutex wait" }).click();
    await page
      .getByTestId("total")
      .filter({ hasText: /^total 7\.34 ms$/ })
      .waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("hands out a link whose times stay, and a short one", async () => {
    const moving = await open("explore?v=1&s=service_name%3D%22cart%22&f=now-3h&q=json");
    const { page } = moving,
      clipboard = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());
    await flame(page);
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByText("Link copied (relative times).").waitFor();
    expect(await clipboard()).toBe(page.url());
    const before = Date.now();
    await page.getByRole("button", { name: "Copy with absolute times" }).click();
    await page.getByText("Link copied (absolute times).").waitFor();
    const fixed = new URL(await clipboard()).searchParams;
    expect([fixed.get("s"), fixed.get("q"), Number(fixed.get("u")) - Number(fixed.get("f"))]).toEqual([
      'service_name="cart"',
      "json",
      3 * HOUR,
    ]);
    expect(Math.abs(Number(fixed.get("u")) - before)).toBeLessThan(60_000);
    await page.keyboard.press("Shift+Y");
    await page.getByRole("button", { name: "Copy link" }).click();
    const short = async (): Promise<string> => {
      await page.getByRole("button", { name: "Copy short link" }).click();
      await page.getByText("Short link copied.").waitFor();
      return clipboard();
    };
    const link = await short();
    expect(link).toMatch(/^http:\/\/[^/]+\/\?l=[a-z2-9]{10}$/);
    // The same view always gets the same link.
    await page.getByRole("button", { name: "Copy link" }).click();
    expect(await short()).toBe(link);
    const other = await visit(theBrowser(), link);
    await flame(other.page);
    expect(other.page.url()).toBe(page.url());
    const unknown = await visit(theBrowser(), link.replace(/l=.*/, "l=nobody2345"));
    expect(await unknown.page.getByRole("alert").innerText()).toContain(
      "There is no short link nobody2345 here.",
    );
    await unknown.page.getByRole("link", { name: "To all services" }).click();
    await unknown.page.getByRole("link", { name: "cart", exact: true }).waitFor();
    expect([...moving.problems, ...other.problems, ...unknown.problems]).toEqual([]);
    await Promise.all([moving, other, unknown].map((v) => v.context.close()));
  });

  inBrowser("copies also where the page came without TLS from another machine", async () => {
    // The browser treats this name as another machine, like a server in an office.
    const v = await visit(theBrowser(), `http://cinderblock.test:${server.port}/?${LATE}`);
    const { page } = v;
    await page.getByRole("link", { name: "cart", exact: true }).waitFor();
    expect(await page.evaluate(() => [isSecureContext, "clipboard" in navigator])).toEqual([false, false]);
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByText("Link copied.").waitFor();
    await page.keyboard.press("Escape");
    // The copied text can be pasted into the search of the services.
    const field = page.getByRole("searchbox").first(),
      copied = page.url();
    await field.focus();
    await page.keyboard.press("Control+V");
    expect(await field.inputValue()).toBe(copied);
    await v.context.close();
  });

  inBrowser("can be walked by keyboard alone", async () => {
    const { page, problems, context } = await open(`?${LATE}`);
    await page.getByRole("link", { name: "cart", exact: true }).focus();
    await page.keyboard.press("Enter");
    await flame(page);
    await page.getByRole("group", { name: /Flame graph\./ }).focus();
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"]) await page.keyboard.press(key);
    expect(await spoken(page)).toMatch(
      /^json\.Marshal: total 1\.20 min, 57\.1%, self 1\.20 min, level 4, \d of 4$/,
    );
    await page.keyboard.press("Enter");
    await page.getByRole("navigation", { name: "Focus" }).waitFor();
    expect(new URL(page.url()).searchParams.getAll("cs")).toEqual([
      "main",
      "http.serve",
      "cart.handle",
      "json.Marshal",
    ]);
    await page.keyboard.press("Escape");
    expect(new URL(page.url()).searchParams.getAll("cs")).toEqual(["main", "http.serve", "cart.handle"]);
    await page.keyboard.press("Home");
    await page.keyboard.press("s");
    await page.getByRole("region", { name: /Callers & callees/ }).waitFor();
    await page.keyboard.press("3");
    const tree = page.getByRole("treegrid");
    await tree.focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowUp");
    expect(await tree.locator("[aria-selected=true]").count()).toBe(1);
    await page.keyboard.press("1");
    await flame(page);
    await page.keyboard.press("/");
    await page.keyboard.type("walk");
    await page.keyboard.press("Enter");
    expect(await spoken(page)).toMatch(/^cart\.walk: total 7\.20 s, 5\.71%/);
    // The search visits every match, then the first again.
    const levels: (string | undefined)[] = [];
    for (let i = 0; i < 4; i++) {
      levels.push(/level (\d+)/.exec(await spoken(page))?.[1]);
      await page.keyboard.press("Enter");
    }
    expect(levels).toEqual(["3", "4", "5", "3"]);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await page.getByRole("dialog", { name: "Time range" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("[");
    expect(new URL(page.url()).searchParams.get("u")).toBe(String(END - HOUR));
    await page.keyboard.press("c");
    expect(page.url()).toContain("/compare");
    expect(problems).toEqual([]);
    await context.close();
  });
});

describeWith(["chromium"], "queries", () => {
  inBrowser("sends exactly the matchers of the text, shows them as chips, and edits both ways", async () => {
    const { page, asked, problems, context } = await open(`explore?${RANGE}`);
    await flame(page);
    const text = 'service_name="cart", region!="us", pod=~"cart-.*"';
    const box = await queryBox(page);
    await box.fill(text);
    await box.press("Enter");
    await flame(page);
    expect(asked(TIMELINE).at(-1)).toMatchObject({
      selection: { labelSelector: '{service_name="cart",region!="us",pod=~"cart-.*"}' },
    });
    // The service stands in its picker, the other matchers are tokens.
    const tokens = page.getByRole("button", { name: "Show filters" }),
      chips = page.getByRole("list", { name: "Labels" }).locator(".chip");
    await tokens.click();
    expect(await page.getByRole("button", { name: /^Service:/ }).innerText()).toContain("cart");
    expect((await chips.allInnerTexts()).map((t) => t.split("\n")[0])).toEqual([
      'region!="us"',
      'pod=~"cart-.*"',
    ]);
    await page.getByRole("button", { name: 'Remove region!="us"' }).click();
    expect(await (await queryBox(page)).inputValue()).toBe('service_name="cart", pod=~"cart-.*"');
    await tokens.click();
    await page.getByRole("button", { name: 'Invert pod=~"cart-.*"' }).click();
    expect(await (await queryBox(page)).inputValue()).toBe('service_name="cart", pod!~"cart-.*"');
    await settled(page);
    const before = asked(TIMELINE).length;
    await box.fill('service_name="cart", pod=');
    await box.press("Enter");
    expect(await page.getByRole("alert").innerText()).toContain("Expected a quoted value at character 26");
    await page.waitForTimeout(300);
    expect(asked(TIMELINE).length).toBe(before);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "filters by a label from its values with counts, and compares one value with all others in two clicks",
    async () => {
      const { page, asked, context, problems } = await open(`explore?${RANGE}&${CART}`);
      await flame(page);
      await page.getByRole("button", { name: "Add filter" }).click();
      await page.getByRole("list", { name: "Label names" }).getByRole("button", { name: "region" }).click();
      await page
        .getByRole("list", { name: "Values of region" })
        .getByRole("button", { name: /eu 1 series|eu 2 series/ })
        .click();
      await flame(page);
      expect(asked(TIMELINE).at(-1)).toMatchObject({
        selection: { labelSelector: '{service_name="cart",region="eu"}' },
      });
      await page.getByRole("button", { name: 'Remove region="eu"' }).click();
      await page.getByRole("tab", { name: "Labels" }).click();
      await page
        .getByRole("group", { name: "Label", exact: true })
        .getByRole("button", { name: "version" })
        .click();
      const row = page.getByRole("row", { name: /^2 / });
      await row.getByRole("button", { name: "Compare with the rest" }).click();
      await flame(page);
      const url = new URL(page.url());
      expect([url.searchParams.get("s"), url.searchParams.get("bs")]).toEqual([
        'service_name="cart", version="2"',
        'service_name="cart", version!="2"',
      ]);
      expect(problems).toEqual([]);
      await context.close();
    },
  );

  inBrowser("takes Pyroscope v1's bookmarks", async () => {
    const q = encodeURIComponent(`${CPU}{service_name="cart"}`);
    const single = await open(`?query=${q}&from=${END - HOUR}&until=${END}`);
    await flame(single.page);
    expect(new URL(single.page.url()).pathname).toBe("/explore");
    expect(await single.page.getByTestId("total").innerText()).toBe("total 2.10 min");
    const diff = await open(
      `comparison-diff?leftQuery=${q}&leftFrom=${END - 2 * HOUR}&leftUntil=${END - HOUR - 1}&rightQuery=${q}&rightFrom=${END - HOUR}&rightUntil=${END}`,
    );
    await flame(diff.page);
    expect(await diff.page.getByTestId("sums").innerText()).toContain(
      "A 0.021 cores (1.26 min in 1 h), B 0.035 cores (2.10 min in 1 h): +0.014 cores, ×1.67;",
    );
    expect([...single.problems, ...diff.problems]).toEqual([]);
    await single.context.close();
    await diff.context.close();
  });

  inBrowser("shows times in any zone, and no question changes with it", async () => {
    const { page, requests, context } = await open(`explore?${RANGE}&${CART}`);
    await flame(page);
    const button = page.getByRole("button", { name: /^Time/ });
    const local = await button.innerText(),
      before = requests.filter((r) => r.method() === "POST").length;
    await button.click();
    await page.getByLabel("Time zone").fill("utc");
    await page.keyboard.press("Escape");
    expect(await button.innerText()).toContain(
      new Date(END - 2 * HOUR).toISOString().slice(0, 19).replace("T", " "),
    );
    expect(await button.innerText()).not.toBe(local);
    expect(local).toContain("Europe/Berlin");
    await settled(page);
    expect(requests.filter((r) => r.method() === "POST").length).toBe(before);
    await context.close();
  });

  inBrowser("brushes a range on the time line", async () => {
    const { page, context } = await open(`explore?${RANGE}&${CART}`);
    await flame(page);
    const box = (await page.locator(".u-over").boundingBox())!;
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width / 4, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, y, { steps: 5 });
    await page.mouse.up();
    await page.waitForFunction((f) => !location.search.includes(f), `f=${END - 2 * HOUR}`);
    const p = new URL(page.url()).searchParams;
    expect(Math.abs(Number(p.get("f")) - (END - 1.5 * HOUR))).toBeLessThan(60_000);
    expect(Math.abs(Number(p.get("u")) - (END - HOUR))).toBeLessThan(60_000);
    await context.close();
  });
});

describeWith(["chromium"], "accessibility", () => {
  const axe = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
  const states: [name: string, path: string, act?: (p: Page) => Promise<void>][] = [
    ["services", `?${LATE}`],
    ["services, nothing", "?f=1000000000000&u=1000000100000"],
    ["explore", `explore?${LATE}&${CART}&fn=json.Marshal`],
    ["details", `explore?${LATE}&${CART}&fn=json.Marshal&d=1`],
    ["a focus", `explore?${LATE}&${CART}&cs=main&cs=http.serve`],
    ["explore, without the table", `explore?${LATE}&${CART}&tb=0`],
    ["explore, nothing", `explore?${LATE}&s=${encodeURIComponent('service_name="absent"')}`],
    ["functions", `explore?${LATE}&${CART}&pane=table`],
    ["call tree", `explore?${LATE}&${CART}&pane=tree`],
    ["callers", `explore?${LATE}&${CART}&pane=sandwich&fn=json.Marshal`],
    ["call graph", `explore?${LATE}&${CART}&pane=graph`],
    ["labels", `explore?${LATE}&${CART}&pane=labels`],
    ["profiles", `explore?${LATE}&${CART}&pane=profiles&cell=30.15`],
    ["compare", `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}`],
    ["status", "status"],
    ["files", "files"],
    [
      "an error",
      `explore?${LATE}&${CART}`,
      async (p) => {
        const box = await queryBox(p);
        await box.fill("x=");
        await box.press("Enter");
      },
    ],
    [
      "a link that was copied",
      `explore?v=1&s=service_name%3D%22cart%22&f=now-3h`,
      async (p) => {
        await p.getByRole("button", { name: "Copy link" }).click();
        await p.getByRole("button", { name: "Copy with absolute times" }).waitFor();
      },
    ],
    [
      "no such short link",
      "?l=nobody2345",
      async (p) => {
        await p.getByRole("alert").waitFor();
      },
    ],
    [
      "a dialog",
      `explore?${LATE}&${CART}`,
      async (p) => {
        await p.getByRole("button", { name: "Export", exact: true }).click();
      },
    ],
    [
      "time",
      `explore?${LATE}&${CART}`,
      async (p) => {
        await p.getByRole("button", { name: /^Time/ }).click();
      },
    ],
  ];
  for (const theme of ["light", "dark"] as const) {
    inBrowser(
      `axe finds nothing on ${states.length} states, ${theme}`,
      async () => {
        for (const [name, path, act] of states) {
          const { page, context } = await open(path, { theme, expected: /404 .*(ring|runtime_config)$/ });
          await page.getByRole("main").waitFor();
          await page.waitForTimeout(400);
          await settled(page);
          await act?.(page);
          await page.evaluate(`${axe};undefined`);
          const found = await page.evaluate(async () =>
            (
              await (
                globalThis as unknown as {
                  axe: {
                    run: (o: object) => Promise<{
                      violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
                    }>;
                  };
                }
              ).axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })
            ).violations.map(
              (x) =>
                `${x.id}: ${x.nodes
                  .slice(0, 3)
                  .map((n) => `${n.html.slice(0, 160)} – ${n.failureSummary.slice(0, 200)}`)
                  .join(" | ")}`,
            ),
          );
          expect([name, found]).toEqual([name, []]);
          await context.close();
        }
      },
      120_000,
    );
  }
});

describeWith(["chromium"], "pictures for the documentation", () => {
  inBrowser("of the screens, light and dark", async () => {
    // With CINDERBLOCK_SCREENSHOTS=1 the test saves the screenshots to docs/images.
    const out = process.env.CINDERBLOCK_SCREENSHOTS === "1" ? "docs/images" : folder();
    mkdirSync(out, { recursive: true });
    for (const theme of ["light", "dark"] as const) {
      for (const [name, path] of [
        ["services", `?${LATE}`],
        ["explore", `explore?${LATE}&${CART}&fn=json.Marshal&z=utc`],
        ["compare", `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}&z=utc`],
        ["functions", `explore?${LATE}&${CART}&pane=table&z=utc`],
      ] as const) {
        const { page, context, problems } = await open(path, { theme, width: 1280, height: 800 });
        await page.waitForTimeout(700);
        await settled(page);
        if (name !== "services") await page.locator(".u-over").waitFor();
        const png = await page.screenshot({ path: join(out, `web-${name}-${theme}.png`) });
        expect(png.length).toBeGreaterThan(10_000);
        expect(problems).toEqual([]);
        await context.close();
      }
    }
  });
});

describeWith(["chromium"], "releases", () => {
  inBrowser("compares with the version before, where that was last seen", async () => {
    const { page, problems, context } = await open(`explore?${LATE}&${CART}`);
    await flame(page);
    await page.getByLabel("Compare with").selectOption({ label: "Previous version" });
    await page.getByTestId("sums").waitFor();
    const p = new URL(page.url()).searchParams;
    expect([p.get("s"), p.get("bs")]).toEqual([
      'service_name="cart", version="2"',
      'service_name="cart", version="1"',
    ]);
    // Version 1 ended an hour ago: its last hour is the other side.
    expect(Math.abs(Number(p.get("bu")) - (END - HOUR))).toBeLessThan(5 * 60_000);
    expect(Number(p.get("bu")) - Number(p.get("bf"))).toBe(HOUR);
    await page.getByRole("tab", { name: "Top functions" }).click();
    await page.getByRole("columnheader", { name: "Self Δ ▼" }).waitFor();
    await settled(page);
    expect(
      (await page.locator(".table-scroll [role=row]").allInnerTexts()).find((r) => r.includes("gc.old")),
    ).toContain("gone");
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("follows the stacks that are picked over time, and by label", async () => {
    const { page, asked, problems, context } = await open(
      `explore?${RANGE}&${CART}&on=cart.audit&pane=labels&g=version`,
    );
    await page.locator(".by-label tbody tr").first().waitFor();
    await settled(page);
    // Only version 2 has the new function: 50 ms of each of its 120 profiles.
    expect(
      (await page.locator(".by-label tbody tr").allInnerTexts()).map((t) => t.split(/\t/).slice(0, 3)),
    ).toEqual([["2", "6.00 s", "100%"]]);
    expect(await page.getByText("filtered stacks only").isVisible()).toBe(true);
    expect([asked(TIMELINE).length >= 2, asked("SelectSeries")]).toEqual([true, []]);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("compares a stretch of the time line with the rest", async () => {
    const { page, problems, context } = await open(`explore?${RANGE}&${CART}`);
    await flame(page);
    const box = (await page.locator(".timeline .u-over").boundingBox())!,
      y = box.y + box.height / 2;
    await page.keyboard.down("Shift");
    await page.mouse.move(box.x + box.width * 0.75, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.98, y, { steps: 4 });
    await page.mouse.up();
    await page.keyboard.up("Shift");
    await page.getByTestId("sums").waitFor();
    const p = new URL(page.url()).searchParams,
      at = (key: string): number => Math.round(((Number(p.get(key)) - (END - 2 * HOUR)) / HOUR) * 20) / 20;
    expect([at("bf"), at("bu"), at("f"), at("u")]).toEqual([0, 1.5, 1.5, 1.95]);
    expect([p.get("s"), p.get("bs")]).toEqual(['service_name="cart"', 'service_name="cart"']);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "leads from a function to its lines, and to their page at the host of the repository",
    async () => {
      const labels = {
        service_repository: "https://github.com/acme/shop",
        service_git_ref: "v7",
        service_root_path: "services/linked",
      };
      await push(server, "linked", labels, END - 60_000, [
        { frames: ["main", "work"], values: [3e9] },
        { frames: ["main", "work", "leaf"], values: [1e9] },
      ]);
      const { page, problems, context } = await open(
        `explore?${LATE}&s=${encodeURIComponent('service_name="linked"')}&fn=work&pane=table&d=1`,
      );
      const drawer = page.getByRole("complementary", { name: "Function" });
      await drawer.getByRole("link", { name: "main.go:10" }).waitFor();
      expect(
        await drawer
          .getByRole("link")
          .evaluateAll((links) => links.map((l) => [l.textContent, (l as HTMLAnchorElement).href])),
      ).toEqual([
        ["main.go:10", "https://github.com/acme/shop/blob/v7/services/linked/main.go#L10"],
        ["10", "https://github.com/acme/shop/blob/v7/services/linked/main.go#L10"],
      ]);
      expect((await drawer.locator(".source tbody tr").allInnerTexts()).map((t) => t.split(/\t/))).toEqual([
        ["10", "3.00 s", "4.00 s"],
      ]);
      expect(problems).toEqual([]);
      await context.close();
    },
  );
});
