import { describeWith } from "@cinderblock/testkit";
import type { Page } from "playwright-core";
import { CART, END, flame, HOUR, LATE, settled, shop } from "./browser.ts";

// The layout of the web UI, by the rows of the specification's acceptance list.

const { open, inBrowser } = shop();
const EXPLORE = `explore?${LATE}&${CART}`,
  COMPARE = `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}`;

/** Height in pixels of the flame graph's canvas. */
async function canvasHeight(page: Page): Promise<number> {
  return (await page.getByTestId("flame-over").boundingBox())!.height;
}

/** Pixels by which the page is larger than the window, and controls that wrap or are cut. */
function overflow(page: Page): Promise<{ x: number; y: number; tall: string[] }> {
  return page.evaluate(() => ({
    x: document.documentElement.scrollWidth - innerWidth,
    y: document.documentElement.scrollHeight - innerHeight,
    tall: [...document.querySelectorAll<HTMLElement>(".top, .toolbar, .sides, .pane-bar")]
      .filter((e) => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.className),
  }));
}

/** The elements that change their place from now on. */
async function watchShifts(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const w = globalThis as unknown as { shifts: string[] };
    w.shifts = [];
    new PerformanceObserver((list) => {
      for (const e of list.getEntries() as (PerformanceEntry & { sources: { node?: Node }[] })[])
        for (const { node } of e.sources)
          w.shifts.push(
            `${(node as HTMLElement | undefined)?.className}: ${node?.textContent?.slice(0, 40)}`,
          );
    }).observe({ type: "layout-shift" });
  });
  return () => page.evaluate(() => (globalThis as unknown as { shifts: string[] }).shifts);
}

describeWith(["chromium"], "the layout", () => {
  for (const [width, height, explore, compare] of [
    [1280, 720, 510, 422],
    [1280, 800, 590, 502],
    [1440, 900, 690, 602],
    [1920, 1080, 870, 782],
  ] as const)
    inBrowser(`U2: the flame graph owns the window of ${width} × ${height}`, async () => {
      for (const [path, wanted] of [
        [EXPLORE, explore],
        [COMPARE, compare],
      ] as const) {
        const { page, problems, context } = await open(path, { width, height });
        await flame(page);
        expect(Math.abs((await canvasHeight(page)) - wanted)).toBeLessThanOrEqual(2);
        expect(await overflow(page)).toEqual({ x: 0, y: 0, tall: [] });
        expect(problems).toEqual([]);
        await context.close();
      }
    });

  inBrowser("U6: nothing moves on a click, a selection, a search, details, a menu", async () => {
    const { page, problems, context } = await open(EXPLORE, { width: 1280, height: 800 });
    await flame(page);
    await page.locator(".u-over").waitFor();
    const before = (await page.getByTestId("flame-over").boundingBox())!,
      shifts = await watchShifts(page),
      at = async (x: number, level: number, button: "left" | "right" = "left"): Promise<void> =>
        page.mouse.click(before.x + before.width * x, before.y + level * 20 + 10, { button });
    await at(0.5, 2);
    await settled(page);
    await page.locator(".table-scroll [role=row]").first().click();
    await page.keyboard.press("/");
    await page.keyboard.type("json");
    await settled(page);
    await page.keyboard.press("Escape");
    await page.keyboard.press("d");
    await page.getByTestId("function-values").waitFor();
    await page.keyboard.press("d");
    await at(0.5, 3, "right");
    await page.getByRole("menu").waitFor();
    await page.keyboard.press("Escape");
    await page.waitForTimeout(200);
    expect(await page.getByTestId("flame-over").boundingBox()).toEqual(before);
    expect(await shifts()).toEqual([]);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "U7: a function selected in the table is outlined in the graph, and the other way round",
    async () => {
      const { page, problems, context } = await open(EXPLORE, { width: 1280, height: 800 });
      await flame(page);
      await page.locator(".table-scroll [role=row]", { hasText: "cart.walk" }).click();
      // cart.walk calls itself twice: three boxes.
      await page.locator("[data-testid=flame-over][data-outlined='3']").waitFor();
      const box = (await page.getByTestId("flame-over").boundingBox())!;
      await page.mouse.click(box.x + box.width / 2, box.y + 2 * 20 + 10);
      await page.locator(".table-scroll .row.selected", { hasText: "http.serve" }).waitFor();
      await page.locator("[data-testid=flame-over][data-outlined='1']").waitFor();
      expect(problems).toEqual([]);
      await context.close();
    },
  );

  inBrowser("the table is resized by keyboard, keeps its width, and leaves with b", async () => {
    const { page, problems, context } = await open(EXPLORE, { width: 1280, height: 800 });
    await flame(page);
    const left = page.locator(".pane-left"),
      divider = page.getByRole("separator", { name: "Width of the table" });
    expect((await left.boundingBox())!.width).toBe(400);
    await divider.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    expect((await left.boundingBox())!.width).toBe(432);
    await page.reload();
    await flame(page);
    expect((await left.boundingBox())!.width).toBe(432);
    await divider.dblclick();
    expect((await left.boundingBox())!.width).toBe(400);
    await page.keyboard.press("b");
    await left.waitFor({ state: "detached" });
    expect(new URL(page.url()).searchParams.get("tb")).toBe("0");
    expect(problems).toEqual([]);
    await context.close();
  });

  for (const [width, height] of [
    [1280, 800],
    [800, 600],
    [390, 844],
  ] as const)
    inBrowser(`U17: tooltip and menu stay inside a window of ${width} × ${height}`, async () => {
      const { page, problems, context } = await open(`${EXPLORE}&tb=0`, { width, height });
      await flame(page);
      const box = (await page.getByTestId("flame-over").boundingBox())!,
        focus = page.url();
      let seed = 3;
      const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
      const inside = async (what: string): Promise<void> => {
        const r = (await page.locator(what).boundingBox())!;
        expect([
          what,
          r.x >= 7.5,
          r.y >= 7.5,
          r.x + r.width <= width - 7.5,
          r.y + r.height <= height - 7.5,
        ]).toEqual([what, true, true, true, true]);
      };
      let seen = 0;
      for (let i = 0; i < 70; i++) {
        await page.mouse.move(
          box.x + 1 + random() * (box.width - 2),
          box.y + 1 + Math.floor(random() * 5) * 20 + 9,
        );
        if ((await page.locator(".tip").count()) === 0) continue;
        seen++;
        await inside(".tip");
      }
      expect(seen).toBeGreaterThan(20);
      for (const x of [0.02, 0.5, 0.98]) {
        await page.mouse.click(box.x + box.width * x, box.y + 30, { button: "right" });
        await page.getByRole("menu").waitFor();
        await inside(".menu");
        await page.keyboard.press("Escape");
      }
      // A right click is not a click.
      expect(page.url()).toBe(focus);
      expect(problems).toEqual([]);
      await context.close();
    });

  inBrowser("the menu acts by keyboard, and disabled items say why", async () => {
    const { page, problems, context } = await open(COMPARE, { width: 1280, height: 800 });
    await flame(page);
    await page.locator(".flame-stop").focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press(".");
    const menu = page.getByRole("menu");
    await menu.waitFor();
    expect(await menu.getByRole("menuitem", { name: /Compare over time/ }).innerText()).toContain(
      "Already comparing",
    );
    await menu.getByRole("menuitem", { name: /Exclude these stacks/ }).focus();
    await page.keyboard.press("Enter");
    await menu.waitFor({ state: "detached" });
    expect(new URL(page.url()).searchParams.getAll("wo")).toEqual(["cart.handle"]);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("U12: callers & callees pivot to a frame, and Back returns", async () => {
    const { page, problems, context } = await open(`${EXPLORE}&pane=sandwich&fn=json.Marshal&tb=0`, {
      width: 1280,
      height: 800,
    });
    const callers = page.locator(".callers [data-testid=flame-over]");
    await page.locator(".callers canvas[data-drawn]").waitFor();
    await page.locator(".pivot", { hasText: "total 1.20 min · 57.1%" }).waitFor();
    const box = (await page.locator(".callers").boundingBox())!;
    // The lowest visible row of the upper half is the direct caller.
    await page.mouse.click(box.x + box.width / 2, box.y + box.height - 10);
    await page.locator(".pivot code", { hasText: "cart.handle" }).waitFor();
    await page.goBack();
    await page.locator(".pivot code", { hasText: "json.Marshal" }).waitFor();
    expect(await callers.count()).toBe(1);
    expect(problems).toEqual([]);
    await context.close();
  });

  for (const width of [390, 320])
    inBrowser(`U22: usable on a phone of ${width} pixels`, async () => {
      for (const [path, share] of [
        [EXPLORE, 0.55],
        [COMPARE, 0.55],
        [`?${LATE}`, 0],
        ["files", 0],
        ["status", 0],
        [`${EXPLORE}&pane=table`, 0],
        [`${EXPLORE}&pane=tree`, 0],
        [`${EXPLORE}&pane=labels`, 0],
        [`${EXPLORE}&pane=profiles`, 0],
      ] as const) {
        const { page, problems, context } = await open(path, {
          width,
          height: 844,
          expected: /404 .*(ring|runtime_config)$/,
        });
        await page.getByRole("main").waitFor();
        await page.waitForTimeout(300);
        await settled(page);
        expect([path, (await overflow(page)).x]).toEqual([path, 0]);
        if (share > 0) {
          await flame(page);
          expect([path, (await canvasHeight(page)) / 844 >= share]).toEqual([path, true]);
        }
        if (path.endsWith("pane=table"))
          expect(
            (await page.locator(".table-scroll .cell.name").first().boundingBox())!.width,
          ).toBeGreaterThanOrEqual(160);
        expect(problems.filter((p) => !/404 .*(ring|runtime_config)$/.test(p))).toEqual([]);
        await context.close();
      }
    });

  inBrowser("U22: a tap selects and opens the sheet, a second one focuses", async () => {
    const { page, problems, context } = await open(EXPLORE, { width: 390, height: 844 });
    await flame(page);
    const box = (await page.getByTestId("flame-over").boundingBox())!,
      tap = (): Promise<void> => page.mouse.click(box.x + box.width / 2, box.y + 3 * 20 + 10);
    await tap();
    await page.getByTestId("function-values").waitFor();
    expect(new URL(page.url()).searchParams.has("cs")).toBe(false);
    const sheet = (await page.getByRole("complementary", { name: "Function" }).boundingBox())!;
    expect([sheet.x, Math.round(sheet.width), sheet.y + sheet.height <= 844 - 55]).toEqual([0, 390, true]);
    await tap();
    await page.waitForFunction(() => location.search.includes("cs="));
    expect(problems).toEqual([]);
    await context.close();
  });
});

describeWith(["chromium"], "failures", () => {
  inBrowser("U9: a failed refresh keeps the picture, with one banner, and recovers", async () => {
    const { page, context } = await open(`explore?v=1&${CART}&f=now-3h`, { expected: /./ });
    await flame(page);
    const total = await page.getByTestId("total").innerText();
    await page.route("**/CallTree", (r) => r.abort());
    await page.getByRole("button", { name: "Refresh" }).click();
    const banner = page.getByRole("alert");
    await banner.waitFor();
    expect(await banner.innerText()).toContain("Connection lost. Showing the last answer.");
    expect([await page.getByTestId("total").innerText(), await banner.count()]).toEqual([total, 1]);
    await page.unroute("**/CallTree");
    await banner.getByRole("button", { name: "Retry" }).click();
    await banner.waitFor({ state: "detached" });
    await flame(page);
    await context.close();
  });
});

describeWith(["chromium"], "services", () => {
  inBrowser(
    "U15: at most sixty rows are in the document, links open by middle click, Back keeps the search",
    async () => {
      const names = Array.from({ length: 3000 }, (_, i) => `service-${String(i).padStart(4, "0")}`);
      const { page, problems, context } = await open(`?${LATE}`, {
        width: 1280,
        height: 800,
        prepare: async (p) => {
          await p.route("**/querier.v1.QuerierService/Series", async (r) => {
            const a = await r.fetch(),
              body = (await a.json()) as { labelsSet: { labels: { name: string; value: string }[] }[] };
            const type = body.labelsSet[0]!.labels.find((l) => l.name === "__profile_type__")!;
            body.labelsSet = names.map((value) => ({ labels: [type, { name: "service_name", value }] }));
            await r.fulfill({ response: a, json: body });
          });
        },
      });
      const rows = page.locator(".service-list tbody tr:not(.space)");
      await page.getByRole("link", { name: "cart", exact: true }).waitFor();
      await page.getByPlaceholder("Search 3,002 services").waitFor();
      expect(await rows.count()).toBeLessThanOrEqual(60);
      await page.locator("#main").evaluate((m) => m.scrollTo(0, m.scrollHeight));
      await page.getByRole("link", { name: "service-2999" }).waitFor();
      expect(await rows.count()).toBeLessThanOrEqual(60);
      await page.getByLabel("Search services").fill("cart");
      await page.waitForFunction(() => document.querySelectorAll(".service-list tbody tr").length === 1);
      expect(await page.getByRole("link", { name: "cart", exact: true }).getAttribute("href")).toContain(
        "explore?",
      );
      await page.getByRole("link", { name: "cart", exact: true }).click();
      await flame(page);
      await page.goBack();
      await page.getByRole("link", { name: "cart", exact: true }).waitFor();
      expect(await page.getByLabel("Search services").inputValue()).toBe("cart");
      expect(problems).toEqual([]);
      await context.close();
    },
  );
});
