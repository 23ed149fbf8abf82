import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { ProfileSchema } from "@cinderblock/api";
import { tinyPprof } from "@cinderblock/testkit";
import type { Browser, Page } from "playwright-core";
import { launch, Proxy, push, pushShop, type Stack, visit, type Visit } from "./browser.ts";
import { CPU, folder, Server } from "./server.ts";

const server = new Server();
let browser: Browser | undefined;
const END = Math.floor(Date.now() / 60_000) * 60_000 - 120_000;
const HOUR = 3_600_000;
/** Both hours of the shop, as absolute times: answers do not move. */
const RANGE = `f=${END - 2 * HOUR}&u=${END}`, LATE = `f=${END - HOUR}&u=${END}`;
const CART = `s=${encodeURIComponent('service_name="cart"')}`;

beforeAll(async () => {
  browser = await launch();
  if (!browser) return;
  await server.start("-validation.max-profile-stacktrace-depth=10000", "-validation.max-profile-stacktrace-samples=100000", "-validation.max-profile-size-bytes=100000000", "-compactor.compaction-interval=1h");
  await pushShop(server, END);
}, 120_000);
afterAll(async () => { await browser?.close(); await server.stop(); });

const open = (path: string, options: Parameters<typeof visit>[2] = {}): Promise<Visit> => visit(browser!, `${server.url}/${path}`, options);
const flame = async (page: Page): Promise<void> => { await page.locator(".flame canvas[data-drawn]").first().waitFor(); await settled(page); };
const settled = async (page: Page): Promise<void> => { await page.waitForFunction(() => document.querySelectorAll("[aria-busy=true]").length === 0); };
/** What the flame graph says of the call that has the focus. */
const spoken = (page: Page): Promise<string> => page.locator(".flame .sr").first().innerText();

/** Self and total of each function, from the merged pprof: computed apart from the server's table. */
async function exact(selector: string, startMs: number, endMs: number): Promise<Map<string, { self: number; total: number }>> {
  const r = await fetch(`${server.url}/querier.v1.QuerierService/SelectMergeProfile`, { method: "POST", headers: { "content-type": "application/json", accept: "application/json" }, body: JSON.stringify({ profileTypeID: CPU, labelSelector: selector, start: String(startMs), end: String(endMs) }) });
  // Nothing selected: no functions.
  const p = { stringTable: [""], function: [], location: [], sample: [], ...(await r.json() as object) } as { stringTable: string[]; function: { id: string; name: string }[]; location: { id: string; line: { functionId: string }[] }[]; sample: { locationId: string[]; value: string[] }[] };
  const fn = new Map(p.function.map((f) => [f.id, p.stringTable[Number(f.name)]!])), lines = new Map(p.location.map((l) => [l.id, l.line.map((x) => fn.get(x.functionId)!)]));
  const out = new Map<string, { self: number; total: number }>();
  const row = (n: string): { self: number; total: number } => { let x = out.get(n); if (!x) out.set(n, (x = { self: 0, total: 0 })); return x; };
  for (const s of p.sample) {
    const frames = s.locationId.flatMap((l) => lines.get(l)!);
    row(frames[0]!).self += Number(s.value[0]);
    for (const f of new Set(frames)) row(f).total += Number(s.value[0]);
  }
  return out;
}

/** `it`, where a browser is. */
const inBrowser = (name: string, run: () => Promise<void>, ms = 60_000): void => { it(name, async () => { if (browser) await run(); }, ms); };

describe("the incident story", () => {
  inBrowser("finds the service, its change, the slow function, and leads to the link that shows the same", async () => {
    const v = await open(`?${LATE}`);
    const { page } = v;
    const cart = page.getByRole("row", { name: /cart/ });
    expect(await cart.innerText()).toMatch(/2\.10 min 0\.0350 cores/);
    expect(await cart.innerText()).toMatch(/\+66\.7 %/); // 1,050 ms a minute after 630
    await page.getByRole("button", { name: "cart", exact: true }).click();
    await flame(page);
    expect(new URL(page.url()).searchParams.get("s")).toBe('service_name="cart"');
    await page.getByRole("tab", { name: "Functions" }).click();
    const first = page.locator(".table-scroll [role=row]").first();
    await first.waitFor();
    expect(await first.innerText()).toContain("json.Marshal");
    await first.getByRole("button").click();
    await page.getByTestId("function-values").waitFor();
    await page.keyboard.press("c");
    await page.getByTestId("sums").waitFor();
    expect(page.url()).toContain("/compare");
    await page.getByRole("button", { name: "Self change" }).click();
    await settled(page);
    const changes = await page.locator(".table-scroll [role=row]").allInnerTexts();
    expect(changes[0]).toContain("json.Marshal");
    expect(changes.find((r) => r.includes("cart.audit"))).toContain("new");
    expect(changes.find((r) => r.includes("gc.old"))).toContain("gone");
    await page.getByRole("button", { name: "Copy link" }).click();
    const link = await page.evaluate(() => navigator.clipboard.readText());
    expect(link).toBe(page.url());
    // A colleague's browser: the same questions, the same rows.
    const other = await visit(browser!, link);
    await other.page.locator(".table-scroll [role=row]").first().waitFor();
    await settled(other.page);
    expect(await other.page.locator(".table-scroll [role=row]").allInnerTexts()).toEqual(changes);
    const last = (x: Visit): unknown => x.asked("FunctionTable").find((b) => b.order === "FUNCTION_ORDER_SELF_CHANGE");
    expect(last(other)).toEqual(last(v));
    expect([...v.problems, ...other.problems]).toEqual([]);
    await v.context.close();
    await other.context.close();
  });

  inBrowser("can be walked by keyboard alone", async () => {
    const { page, problems, context } = await open(`?${LATE}`);
    await page.getByRole("button", { name: "cart", exact: true }).focus();
    await page.keyboard.press("Enter");
    await flame(page);
    await page.getByRole("group", { name: /Flame graph\./ }).focus();
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"]) await page.keyboard.press(key);
    expect(await spoken(page)).toMatch(/^json\.Marshal: total 1\.20 min, 57\.1 %, self 1\.20 min, level 4, \d of 4$/);
    await page.keyboard.press("Enter");
    await page.getByRole("list", { name: "Stacks" }).waitFor();
    expect(new URL(page.url()).searchParams.getAll("cs")).toEqual(["main", "http.serve", "cart.handle", "json.Marshal"]);
    await page.keyboard.press("Escape");
    expect(new URL(page.url()).searchParams.getAll("cs")).toEqual(["main", "http.serve", "cart.handle"]);
    await page.keyboard.press("Home");
    await page.keyboard.press("s");
    await page.getByRole("region", { name: /Callers and callees/ }).waitFor();
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
    expect(await spoken(page)).toMatch(/^cart\.walk: total 7\.20 s, 5\.71 %/);
    await page.keyboard.press("Escape");
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    await page.getByRole("dialog", { name: "Time" }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("[");
    expect(new URL(page.url()).searchParams.get("u")).toBe(String(END - HOUR));
    await page.keyboard.press("c");
    expect(page.url()).toContain("/compare");
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("queries", () => {
  inBrowser("sends exactly the matchers of the text, shows them as chips, and edits both ways", async () => {
    const { page, asked, problems, context } = await open(`explore?${RANGE}`);
    await flame(page);
    const text = 'service_name="cart", region!="us", pod=~"cart-.*"';
    await page.getByRole("textbox", { name: "Query" }).fill(text);
    await page.keyboard.press("Enter");
    await flame(page);
    expect(asked("SelectSeries").at(-1)).toMatchObject({ labelSelector: '{service_name="cart",region!="us",pod=~"cart-.*"}' });
    const chips = page.getByRole("list", { name: "Labels" }).locator(".chip");
    expect((await chips.allInnerTexts()).map((t) => t.split("\n")[0])).toEqual(['service_name="cart"', 'region!="us"', 'pod=~"cart-.*"']);
    await page.getByRole("button", { name: 'Remove region!="us"' }).click();
    expect(await page.getByRole("textbox", { name: "Query" }).inputValue()).toBe('service_name="cart", pod=~"cart-.*"');
    await page.getByRole("button", { name: 'Invert service_name="cart"' }).click();
    expect(await page.getByRole("textbox", { name: "Query" }).inputValue()).toBe('service_name!="cart", pod=~"cart-.*"');
    await settled(page);
    const before = asked("SelectSeries").length;
    await page.getByRole("textbox", { name: "Query" }).fill('service_name="cart", pod=');
    await page.keyboard.press("Enter");
    expect(await page.getByRole("alert").innerText()).toContain("a quoted value is expected at character 26");
    await page.waitForTimeout(300);
    expect(asked("SelectSeries").length).toBe(before);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("filters by a label from its values with counts, and compares one value with all others in two clicks", async () => {
    const { page, asked, context, problems } = await open(`explore?${RANGE}&${CART}`);
    await flame(page);
    await page.getByRole("button", { name: "+ label" }).click();
    await page.getByRole("list", { name: "Label names" }).getByRole("button", { name: "region" }).click();
    await page.getByRole("list", { name: "Values of region" }).getByRole("button", { name: /eu 1 series|eu 2 series/ }).click();
    await flame(page);
    expect(asked("SelectSeries").at(-1)).toMatchObject({ labelSelector: '{service_name="cart",region="eu"}' });
    await page.getByRole("button", { name: 'Remove region="eu"' }).click();
    await page.getByRole("tab", { name: "Labels" }).click();
    await page.getByRole("group", { name: "Label", exact: true }).getByRole("button", { name: "version" }).click();
    const row = page.getByRole("row", { name: /^2 / });
    await row.getByRole("button", { name: "compare with all others" }).click();
    await flame(page);
    const url = new URL(page.url());
    expect([url.searchParams.get("s"), url.searchParams.get("bs")]).toEqual(['service_name="cart", version="2"', 'service_name="cart", version!="2"']);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("takes Pyroscope v1's bookmarks", async () => {
    const q = encodeURIComponent(`${CPU}{service_name="cart"}`);
    const single = await open(`?query=${q}&from=${END - HOUR}&until=${END}`);
    await flame(single.page);
    expect(new URL(single.page.url()).pathname).toBe("/explore");
    expect(await single.page.getByTestId("total").innerText()).toBe("total 2.10 min");
    const diff = await open(`comparison-diff?leftQuery=${q}&leftFrom=${END - 2 * HOUR}&leftUntil=${END - HOUR - 1}&rightQuery=${q}&rightFrom=${END - HOUR}&rightUntil=${END}`);
    await flame(diff.page);
    expect(await diff.page.getByTestId("sums").innerText()).toContain("A 1.26 min, B 2.10 min");
    expect([...single.problems, ...diff.problems]).toEqual([]);
    await single.context.close();
    await diff.context.close();
  });

  inBrowser("shows times in any zone, and no question changes with it", async () => {
    const { page, requests, context } = await open(`explore?${RANGE}&${CART}`);
    await flame(page);
    const button = page.getByRole("button", { name: /^Time/ });
    const local = await button.innerText(), before = requests.filter((r) => r.method() === "POST").length;
    await button.click();
    await page.getByLabel("Zone").fill("utc");
    await page.keyboard.press("Escape");
    expect(await button.innerText()).toContain(new Date(END - 2 * HOUR).toISOString().slice(0, 19).replace("T", " "));
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
    await page.mouse.move(box.x + box.width / 4, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 40, { steps: 5 });
    await page.mouse.up();
    const p = new URL(page.url()).searchParams;
    expect(Math.abs(Number(p.get("f")) - (END - 1.5 * HOUR))).toBeLessThan(60_000);
    expect(Math.abs(Number(p.get("u")) - (END - HOUR))).toBeLessThan(60_000);
    await context.close();
  });
});

describe("numbers", () => {
  inBrowser("of the function table are exact: every row, with and without filters, recursion once", async () => {
    const selections = ["{service_name=\"cart\"}", "{service_name=\"cart\",region=\"eu\"}", "{service_name=~\"c.*\",pod!=\"cart-b\"}", "{service_name=\"checkout\"}", "{version=\"1\"}"]
      .flatMap((s): [string, number, number][] => [[s, END - 2 * HOUR, END], [s, END - HOUR, END], [s, END - 2 * HOUR, END - HOUR], [s, END - 1.5 * HOUR, END - 0.5 * HOUR]]);
    expect(selections.length).toBe(20);
    for (const [selector, from, until] of selections) {
      const { page, context } = await open(`explore?f=${from}&u=${until}&s=${encodeURIComponent(selector.slice(1, -1))}&pane=table&o=name&asc=1`);
      const wanted = await exact(selector, from, until), sum = [...wanted.values()].reduce((n, f) => n + f.self, 0);
      if (wanted.size > 0) await page.locator(".table-scroll [role=row]").first().waitFor();
      await settled(page);
      const rows = await page.locator(".table-scroll [role=row]").evaluateAll((all) => all.map((r) => [...r.querySelectorAll("[role=cell]")].map((c) => (c as HTMLElement).innerText.trim())));
      expect(rows.map((r) => r[0])).toEqual([...wanted.keys()].sort());
      for (const [name, , selfShare, , totalShare] of rows) {
        const f = wanted.get(name!)!, text = (v: number): string => `${(100 * v / sum >= 10 ? (100 * v / sum).toFixed(1) : (100 * v / sum).toFixed(2))} %`.replace(/^0\.00 %$/, "0 %");
        expect([name, selfShare, totalShare]).toEqual([name, text(f.self), text(f.total)]);
      }
      await context.close();
    }
  });

  inBrowser("of filters of functions: only, without, merged into callers", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&fn=json.Marshal`);
    await flame(page);
    const total = (): Promise<string> => page.getByTestId("total").innerText();
    expect(await total()).toBe("total 2.10 min");
    await page.keyboard.press("x");
    await settled(page);
    await page.waitForFunction(() => document.querySelector("[data-testid=total]")?.textContent === "total 54 s");
    await page.getByRole("button", { name: "Invert without json.Marshal" }).click();
    await page.waitForFunction(() => document.querySelector("[data-testid=total]")?.textContent === "total 1.20 min");
    await page.getByRole("button", { name: "Remove only json.Marshal" }).click();
    await page.goto(`${server.url}/explore?v=1&${LATE}&${CART}&pane=table&hi=json.Marshal`);
    await page.locator(".table-scroll [role=row]").first().waitFor();
    expect((await page.locator(".table-scroll [role=row]").first().innerText()).split("\n")[0]).toBe("cart.handle");
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("of a comparison are the Diff API's; each side opens in Explore", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}`);
    await flame(page);
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await flame(page);
    const side = (from: number, until: number): object => ({ profileTypeID: CPU, labelSelector: '{service_name="cart"}', start: String(from), end: String(until) });
    const { body } = await server.json("/querier.v1.QuerierService/Diff", { left: side(END - 2 * HOUR, END - HOUR), right: side(END - HOUR, END) });
    const { leftTicks, rightTicks } = body.flamegraph as { leftTicks: string; rightTicks: string };
    const minutes = (ns: string): string => `${(Number(ns) / 60e9).toFixed(2)} min`;
    expect(await page.getByTestId("sums").innerText()).toContain(`A ${minutes(leftTicks)}, B ${minutes(rightTicks)};`);
    await page.getByRole("group", { name: "A (before)" }).getByRole("button", { name: "Open in Explore" }).click();
    await flame(page);
    const p = new URL(page.url());
    expect([p.pathname, p.searchParams.get("f"), p.searchParams.get("u"), p.searchParams.get("s")]).toEqual(["/explore", String(END - 2 * HOUR), String(END - HOUR), 'service_name="cart"']);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("of single profiles: a cell of the heatmap, its profiles, one profile's graph, in three clicks; their sum is the cell's", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&pane=profiles`);
    await page.getByTestId("heatmap").waitFor();
    await settled(page);
    expect(await page.getByTestId("profile-count").innerText()).toBe("120 profiles, the largest 1.05 s");
    const box = (await page.getByTestId("heatmap").boundingBox())!;
    // All profiles are worth 1.05 s: they are in the topmost row, two (one of each pod) in each minute.
    await page.mouse.click(box.x + box.width * (30.5 / 60), box.y + box.height * (0.5 / 16));
    await page.waitForFunction(() => document.querySelector("[data-testid=profile-count]")?.textContent?.includes("in the cell: 2 profiles, 2.10 s"));
    const rows = page.locator(".profile-list tbody tr");
    expect(await rows.count()).toBe(2);
    expect(new URL(page.url()).searchParams.get("cell")).toBe("30.15");
    await rows.first().getByRole("button", { name: "Flame graph" }).click();
    await flame(page);
    expect(await page.getByTestId("total").innerText()).toBe("total 1.05 s");
    const id = new URL(page.url()).searchParams.get("id")!;
    await page.getByRole("tab", { name: "Functions" }).click();
    await page.locator(".table-scroll [role=row]").first().waitFor();
    expect(await page.locator(".table-scroll [role=row]").first().innerText()).toContain("600 ms");
    await page.getByRole("button", { name: `Remove profile ${id.slice(0, 8)}` }).click();
    await settled(page);
    expect(await page.locator(".table-scroll [role=row]").first().innerText()).toContain("1.20 min");
    // Every cell's sum is what its single profiles add up to.
    const selection = (from: number, until: number, ids: string[] = []): object => ({ profileTypeId: CPU, labelSelector: "{}", start: String(from), end: String(until), profileIdSelector: ids });
    const ask = async (method: string, body: object): Promise<Record<string, unknown>> => { const r = await server.json(`/cinderblock.explore.v1.ExploreService/${method}`, body); expect(r.status).toBe(200); return r.body; };
    const from = END - HOUR, h = await ask("Heatmap", { selection: selection(from, END), columns: 4, rows: 3 }) as { counts: number[]; maxValue: string; profiles: string };
    expect(h.counts.reduce((a, b) => a + b, 0)).toBe(Number(h.profiles));
    for (let c = 0; c < 4; c++) {
      const start = Math.ceil(from + c * (HOUR + 1) / 4), end = Math.ceil(from + (c + 1) * (HOUR + 1) / 4) - 1;
      for (let r = 0; r < 3; r++) {
        const cell = await ask("Profiles", { selection: selection(start, end), minValue: String(Math.floor(r * Number(h.maxValue) / 3)), maxValue: String(Math.floor((r + 1) * Number(h.maxValue) / 3)), limit: 1000 }) as { count?: string; total?: string; profiles?: { profileId: string; value: string }[] };
        expect(Number(cell.count ?? 0)).toBe(h.counts[c * 3 + r]);
        if (!cell.profiles) continue;
        const tree = await ask("CallTree", { selection: selection(start, end, cell.profiles.map((p) => p.profileId)), maxNodes: "10" }) as { total: string };
        expect(tree.total).toBe(cell.total);
      }
    }
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("of a profile with 200,000 nodes: a small stack is found by its name, with its exact value", async () => {
    // A tree of four levels below 20 roots; every leaf 1,000 ns, one of them a name of its own.
    const stacks: Stack[] = [];
    for (let i = 0; i < 40_000; i++) stacks.push({ frames: [`r${i % 20}`, `a${i % 400}`, `b${i % 4000}`, `c${i}`.slice(0, 4), `d${i % 37}`, `e${i}`.slice(0, 3)], values: [1000] });
    stacks.push({ frames: ["r7", "needle.one", "needle.two"], values: [1234] });
    await push(server, "huge", { pod: "x" }, END - 30_000, stacks);
    const v = await open(`explore?${LATE}&s=${encodeURIComponent('service_name="huge"')}`);
    const { page, context } = v;
    await flame(page);
    await page.waitForFunction(() => document.querySelector("[data-testid=coverage]")?.textContent === "shown 100.0 %", undefined, { timeout: 30_000 });
    await page.keyboard.press("/");
    await page.keyboard.type("needle.two");
    await page.keyboard.press("Enter");
    expect(await spoken(page)).toMatch(/^needle\.two: total 1\.23 µs, < 0\.01 %, self 1\.23 µs, level 3, 1 of 1$/);
    // What the overview cuts off is told, to a tenth of a percent.
    const { body } = await server.json("/cinderblock.explore.v1.ExploreService/CallTree", { selection: { profileTypeId: CPU, labelSelector: '{service_name="huge"}', start: String(END - HOUR), end: String(END) }, maxNodes: "1000" });
    const tree = body as { folded: string[]; total: string; nodes: string };
    expect([tree.total, Number(tree.nodes) > 100_000]).toEqual(["40001234", true]);
    await context.close();
  }, 120_000);

  inBrowser("of stacks of 5,000 levels: drawn, scrolled to the end, exported", async () => {
    await push(server, "deep", { pod: "x" }, END - 30_000, [{ frames: Array.from({ length: 5000 }, (_, i) => `level${i}`), values: [1_000_000] }]);
    const { page, context, problems } = await open(`explore?${LATE}&s=${encodeURIComponent('service_name="deep"')}`);
    await flame(page);
    const scroller = page.locator(".flame-scroll");
    expect(await scroller.evaluate((el) => el.scrollHeight)).toBeGreaterThanOrEqual(5001 * 20);
    await scroller.evaluate((el) => { el.scrollTop = el.scrollHeight; });
    await page.waitForTimeout(200);
    await scroller.evaluate((el) => el.scrollIntoView({ block: "end" }));
    const box = (await scroller.boundingBox())!;
    await page.mouse.move(box.x + 50, box.y + box.height - 8);
    expect(await page.locator(".tip strong").innerText()).toBe("level4999");
    const lit = await page.locator(".flame-layer canvas").first().evaluate((c: HTMLCanvasElement) => { const d = c.getContext("2d")!.getImageData(20, c.height - 8, 1, 1).data; return d[0]! + d[1]! + d[2]!; });
    expect(lit).toBeLessThan(765);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Folded stacks" }).click()]);
    const folded = readFileSync((await file.path())!, "utf8");
    expect([folded.split(";").length, folded.trimEnd().endsWith("level4999 1000000")]).toEqual([5000, true]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("files", () => {
  inBrowser("are what is on screen: folded, speedscope, pprof, CSV, PNG", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&wo=db.query`);
    await flame(page);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const save = async (name: string): Promise<Buffer> => { const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name, exact: true }).click()]); return readFileSync((await file.path())!); };
    const folded = (await save("Folded stacks")).toString().trim().split("\n");
    // 120 profiles of 750 ms without the 300 of db.query.
    expect(folded.reduce((n, l) => n + Number(l.slice(l.lastIndexOf(" "))), 0)).toBe(120 * 750e6);
    expect(folded.some((l) => l.includes("db.query"))).toBe(false);
    const speedscope = JSON.parse((await save("speedscope")).toString()) as { profiles: { endValue: number }[] };
    expect(speedscope.profiles[0]!.endValue).toBe(120 * 750e6);
    const csv = (await save("CSV")).toString().split("\n");
    expect(csv).toContain(`"json.Marshal",${120 * 600e6},${120 * 600e6}`);
    const bytes = await save("pprof");
    const pprof: MessageShape<typeof ProfileSchema> = fromBinary(ProfileSchema, bytes);
    expect(pprof.sample.reduce((n, s) => n + Number(s.value[0]), 0)).toBe(120 * 1050e6);
    const path = join(folder(), "cart.pb");
    writeFileSync(path, bytes);
    let go = true;
    try { execFileSync("go", ["version"]); } catch { go = false; }
    if (go) expect(execFileSync("go", ["tool", "pprof", "-top", path], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })).toMatch(/57\.14%.*json\.Marshal/);
    const dot = (await save("DOT")).toString();
    expect(dot).toContain("digraph");
    expect((await save("PNG")).subarray(1, 4).toString()).toBe("PNG");
    const svg = (await save("SVG")).toString(), page2 = await context.newPage(), asked: string[] = [];
    expect([svg.includes("<title>json.Marshal: 1.20 min, 80.0 %"), svg.includes("db.query")]).toEqual([true, false]);
    // The page works where there is no network.
    const html = join(folder(), "cart.html");
    writeFileSync(html, await save("HTML"));
    page2.on("request", (r) => { if (!r.url().startsWith("file:")) asked.push(r.url()); });
    await page2.goto(`file://${html}`);
    const box = page2.locator("g.b", { hasText: /json\.Marshal/ }).first().locator("rect");
    const before = Number(await box.getAttribute("width"));
    await box.click();
    expect([Number(await box.getAttribute("width")) > before, asked]).toEqual([true, []]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("uploaded files", () => {
  const pprof = (stacks: Stack[], gzip = false): Buffer => { const b = Buffer.from(tinyPprof({ types: [["samples", "count"], ["cpu", "nanoseconds"]], stacks })); return gzip ? gzipSync(b) : b; };
  inBrowser("are opened, drawn, compared, and refused with the server's reason", async () => {
    const { page, context, problems } = await open("files", { expected: /500 .*Upload/ });
    const give = async (...files: { name: string; buffer: Buffer }[]): Promise<void> => page.getByLabel("Files", { exact: true }).setInputFiles(files.map((f) => ({ ...f, mimeType: "application/octet-stream" })));
    await page.getByText("No files yet.").waitFor();
    await give({ name: "one.pb.gz", buffer: pprof([{ frames: ["main", "a"], values: [1, 3_000_000_000] }], true) });
    await page.getByTestId("total").waitFor();
    expect(await page.getByTestId("total").innerText()).toBe("total 1");
    await page.getByLabel("Type").selectOption("cpu");
    await page.waitForFunction(() => document.querySelector("[data-testid=total]")?.textContent === "total 3 s");
    await give({ name: "before.folded", buffer: Buffer.from("main;a 3\nmain;b 1\n") }, { name: "after.folded", buffer: Buffer.from("main;a 3\nmain;c 9\n") });
    await page.waitForFunction(() => document.querySelector("[data-testid=total]")?.textContent === "A 4, B 12");
    await give({ name: "two.pb", buffer: pprof([{ frames: ["main", "a"], values: [1, 1_000_000_000] }, { frames: ["main", "b"], values: [2, 5_000_000_000] }]) });
    await page.getByTestId("total").waitFor();
    await page.getByRole("checkbox", { name: "Open one.pb.gz" }).check();
    await page.getByLabel("Type").selectOption("cpu");
    await page.waitForFunction(() => /^A .* s, B .* s$/.test(document.querySelector("[data-testid=total]")?.textContent ?? ""));
    expect(await page.getByTestId("total").innerText()).toBe("A 6 s, B 3 s");
    await page.getByRole("button", { name: "Swap A and B" }).click();
    await page.waitForFunction(() => document.querySelector("[data-testid=total]")?.textContent === "A 3 s, B 6 s");
    const again = await visit(browser!, page.url());
    await again.page.getByTestId("total").waitFor();
    expect(await again.page.getByTestId("total").innerText()).toBe("A 3 s, B 6 s");
    await again.context.close();
    await give({ name: "broken.pb", buffer: Buffer.from([0, 1, 2, 3]) });
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").innerText()).toContain("failed to parse profile: this is no pprof, JFR, JSON or text that is known");
    expect(problems.filter((p) => !/400 .*Diff/.test(p))).toEqual([]);
    await context.close();
  });
});

describe("in front of a plain Pyroscope v1", () => {
  inBrowser("works with what that has, and says what is missing", async () => {
    // No v1 can be run here: a server without our own API stands in for it.
    const { page, context, problems } = await open(`explore?${LATE}&${CART}`, { expected: /404 .*ExploreService/, prepare: async (p) => { await p.route("**/cinderblock.explore.v1.ExploreService/**", (r) => r.fulfill({ status: 404, body: "404 page not found" })); } });
    await flame(page);
    expect(await page.getByText("This server is a plain Pyroscope v1").isVisible()).toBe(true);
    expect(await page.getByTestId("total").innerText()).toBe("total 2.10 min");
    await page.getByRole("tab", { name: "Functions" }).click();
    expect(await page.getByText("has no exact function table").isVisible()).toBe(true);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describe("wherever it is mounted", () => {
  for (const prefix of ["/", "/a/", "/a/b/c/"]) {
    for (const strips of [true, false]) {
      inBrowser(`works under ${prefix} behind a proxy that ${strips ? "strips" : "keeps"} the prefix`, async () => {
        const proxy = new Proxy(server, prefix, strips);
        const v = await visit(browser!, `${await proxy.start()}?${LATE}`);
        try {
          await v.page.getByRole("button", { name: "cart", exact: true }).click();
          await flame(v.page);
          await v.page.reload();
          await flame(v.page);
          await v.page.getByRole("link", { name: "Status" }).click();
          await v.page.waitForFunction(() => document.querySelector("[data-testid=ready]")?.textContent === "ready");
          expect(new URL(v.page.url()).pathname).toBe(`${prefix}status`);
          // One process has no rings and no file of overrides: the page asks, and is told so.
          expect(v.problems.filter((p) => !/404 .*\/(ring|runtime_config)$/.test(p))).toEqual([]);
          expect(proxy.outside.filter((u) => u !== "/favicon.ico")).toEqual([]);
        } finally { await v.context.close(); proxy.stop(); }
      });
    }
  }
});

describe("when things go wrong", () => {
  const faults: [name: string, status: number, code: string, message: string, next: RegExp][] = [
    ["a range that is too long", 400, "invalid_argument", "the query time range exceeds the limit (max_query_length, actual: 721h0m0s, limit: 1d)", /shorter time range/],
    ["a refused token", 401, "unauthenticated", "a token is required", /Sign in/], ["a query that cannot be processed", 422, "invalid_argument", "bad selector", /Change the query/],
    ["too many requests", 429, "resource_exhausted", "too many outstanding requests: 100 are waiting; the limit is 100", /Wait a moment/], ["an internal error", 500, "internal", "something broke", /log says more/], ["a timeout", 504, "deadline_exceeded", "context deadline exceeded", /Narrow/],
  ];
  for (const [name, status, code, message, next] of faults) {
    inBrowser(`${name} shows what happened and the next step`, async () => {
      const { page, context } = await open(`explore?${LATE}&${CART}`, { expected: /./, prepare: async (p) => { await p.route("**/CallTree", (r) => r.fulfill({ status, contentType: "application/json", body: JSON.stringify({ code, message }) })); } });
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.innerText()).toContain(message);
      expect(await alert.innerText()).toMatch(next);
      await context.close();
    });
  }

  inBrowser("an answer that is not complete says so", async () => {
    const { page, context } = await open(`explore?${LATE}&${CART}`, { prepare: async (p) => { await p.route("**/CallTree", async (r) => { const a = await r.fetch(); await r.fulfill({ response: a, headers: { ...a.headers(), "x-cinderblock-partial": "ingester-2 did not answer" } }); }); } });
    await flame(page);
    expect(await page.getByText("This answer is not complete: ingester-2 did not answer").isVisible()).toBe(true);
    await context.close();
  });

  inBrowser("slow, crossing and aborted answers never show what is old: 200 random schedules", async () => {
    let seed = 7;
    const random = (): number => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed / 0x7fffffff; };
    const { page, context } = await open(`explore?${LATE}&${CART}`, { prepare: async (p) => { await p.route("**/CallTree", async (r) => { await new Promise((w) => { setTimeout(w, random() * 40); }); await r.continue().catch(() => undefined); }); } });
    await flame(page);
    const box = page.getByRole("textbox", { name: "Query" });
    const totals: Record<string, string> = { cart: "total 2.10 min", checkout: "total 15 s", absent: "total 0 ns" };
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
  }, 120_000);

  inBrowser("an empty install says where to send profiles, and sees the first one come", async () => {
    const fresh = new Server();
    await fresh.start();
    const { page, context, problems } = await visit(browser!, fresh.url);
    await page.getByRole("heading", { name: "Waiting for the first profile" }).waitFor();
    expect(await page.getByLabel("By hand").innerText()).toContain(`${fresh.url}/ingest?name=first.cpu`);
    await push(fresh, "first", {}, Date.now() - 1000, [{ frames: ["main"], values: [1e9] }]);
    await page.getByRole("button", { name: "Refresh now" }).click();
    await page.getByRole("button", { name: "first", exact: true }).waitFor();
    expect(problems).toEqual([]);
    await context.close();
    await fresh.stop();
  });
});

describe("with tokens", () => {
  inBrowser("asks for one, shows nothing without it, and hides Status from readers", async () => {
    const guarded = new Server(), READER = "reader-token-0123456789", AGENT = "agent-token-0123456789", ADMIN = "admin-token-0123456789";
    const file = join(guarded.dir, "tokens.yaml");
    writeFileSync(file, `tokens:\n  - {name: agents, token: ${AGENT}, roles: [write]}\n  - {name: people, token: ${READER}, roles: [read]}\n  - {name: ops, token: ${ADMIN}, roles: [admin, read]}\n`);
    await guarded.start(`-auth.tokens-file=${file}`);
    await push(guarded, "cart", {}, Date.now() - 60_000, [{ frames: ["main"], values: [1e9] }], { authorization: `Bearer ${AGENT}` });
    const none = await visit(browser!, guarded.url, { expected: /^401/ });
    await none.page.getByRole("alert").first().waitFor();
    expect(await none.page.getByRole("alert").first().innerText()).toContain("Sign in with a token that may read");
    await none.page.getByRole("button", { name: "Settings" }).click();
    await none.page.getByLabel("Token").fill(READER);
    await none.page.keyboard.press("Enter");
    await none.page.getByRole("button", { name: "cart", exact: true }).waitFor();
    await none.context.close();
    const reader = await visit(browser!, `${guarded.url}/status`, { token: READER, expected: /^403/ });
    await reader.page.getByRole("alert").waitFor();
    expect(await reader.page.getByRole("alert").innerText()).toContain("ask for one with the role");
    await reader.context.close();
    const admin = await visit(browser!, `${guarded.url}/status`, { token: ADMIN, expected: /^404 .*(ring|runtime_config)$/ });
    await admin.page.getByLabel("Configuration").waitFor();
    expect(await admin.page.getByLabel("Configuration").innerText()).not.toContain(READER);
    await admin.context.close();
    await guarded.stop();
  });
});

describe("with tenants", () => {
  inBrowser("asks for one, joins several, keeps them in the address, and knows their longest range", async () => {
    const many = new Server(), at = Date.now() - 60_000;
    await many.start("-auth.multitenancy-enabled=true", "-querier.max-query-length=24h");
    for (const t of ["a", "b"]) await push(many, `of-${t}`, {}, at, [{ frames: ["main"], values: [1e9] }], { "x-scope-orgid": t });
    const { page, context, problems } = await visit(browser!, many.url, { expected: /^401/ });
    expect(await page.getByRole("alert").innerText()).toContain("Name a tenant");
    await page.getByLabel("Tenant").fill("a");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "of-a", exact: true }).waitFor();
    expect(await page.getByRole("button", { name: "of-b", exact: true }).count()).toBe(0);
    await page.getByLabel("Tenant").fill("a|b");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "of-b", exact: true }).waitFor();
    expect([new URL(page.url()).searchParams.get("t"), await page.getByRole("button", { name: "of-a", exact: true }).count()]).toEqual(["a|b", 1]);
    await page.goto(`${many.url}/explore?v=1&t=a&f=now-7d`);
    expect(await page.getByRole("alert").innerText()).toContain("The limit of this tenant is 1 d (max_query_length)");
    await page.getByRole("button", { name: "Show the last 1 d" }).click();
    await flame(page);
    expect(await page.getByTestId("total").innerText()).toBe("total 1 s");
    expect(problems).toEqual([]);
    await context.close();
    await many.stop();
  });
});

describe("accessibility", () => {
  const axe = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
  const states: [name: string, path: string, act?: (p: Page) => Promise<void>][] = [
    ["services", `?${LATE}`], ["services, nothing", "?f=1000000000000&u=1000000100000"], ["explore", `explore?${LATE}&${CART}&fn=json.Marshal`], ["explore, nothing", `explore?${LATE}&s=${encodeURIComponent('service_name="absent"')}`],
    ["functions", `explore?${LATE}&${CART}&pane=table`], ["call tree", `explore?${LATE}&${CART}&pane=tree`], ["callers", `explore?${LATE}&${CART}&pane=sandwich&fn=json.Marshal`], ["labels", `explore?${LATE}&${CART}&pane=labels`], ["profiles", `explore?${LATE}&${CART}&pane=profiles&cell=30.15`],
    ["compare", `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}`], ["status", "status"], ["files", "files"],
    ["an error", `explore?${LATE}&${CART}`, async (p) => { await p.getByRole("textbox", { name: "Query" }).fill("x="); await p.keyboard.press("Enter"); }],
    ["a dialog", `explore?${LATE}&${CART}`, async (p) => { await p.getByRole("button", { name: "Export", exact: true }).click(); }], ["time", `explore?${LATE}&${CART}`, async (p) => { await p.getByRole("button", { name: /^Time/ }).click(); }],
  ];
  for (const theme of ["light", "dark"] as const) {
    inBrowser(`axe finds nothing on ${states.length} states, ${theme}`, async () => {
      for (const [name, path, act] of states) {
        const { page, context } = await open(path, { theme, expected: /404 .*(ring|runtime_config)$/ });
        await page.getByRole("main").waitFor();
        await page.waitForTimeout(400);
        await settled(page);
        await act?.(page);
        await page.evaluate(axe.replace(/^/, "")).catch(() => undefined);
        const found = await page.evaluate(async () => (await (globalThis as unknown as { axe: { run: (o: object) => Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> } }).axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] })).violations.map((x) => `${x.id}: ${x.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} – ${n.failureSummary.slice(0, 200)}`).join(" | ")}`));
        expect([name, found]).toEqual([name, []]);
        await context.close();
      }
    }, 120_000);
  }
});

describe("pictures for the documentation", () => {
  inBrowser("of the screens, light and dark", async () => {
    // CINDERBLOCK_SCREENSHOTS=1 keeps them in docs/images; without it they are only taken.
    const out = process.env.CINDERBLOCK_SCREENSHOTS === "1" ? "docs/images" : folder();
    mkdirSync(out, { recursive: true });
    for (const theme of ["light", "dark"] as const) {
      for (const [name, path] of [["services", `?${LATE}`], ["explore", `explore?${LATE}&${CART}&fn=json.Marshal&z=utc`], ["compare", `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}&z=utc`], ["functions", `explore?${LATE}&${CART}&pane=table&z=utc`]] as const) {
        const { page, context, problems } = await open(path, { theme, width: 1280, height: 800 });
        await page.waitForTimeout(700);
        await settled(page);
        const png = await page.screenshot({ path: join(out, `web-${name}-${theme}.png`) });
        expect(png.length).toBeGreaterThan(10_000);
        expect(problems).toEqual([]);
        await context.close();
      }
    }
  });
});
