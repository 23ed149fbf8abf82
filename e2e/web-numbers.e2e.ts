import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { ProfileSchema } from "@cinderblock/api";
import { describeWith, firefoxProfiler, freePort, part, tinyPprof } from "@cinderblock/testkit";
import type { Locator } from "playwright-core";
import { CART, END, flame, HOUR, LATE, push, settled, shop, spoken, type Stack, visit } from "./browser.ts";
import { CPU, folder } from "./server.ts";

const { server, open, inBrowser, theBrowser } = shop();

/** Self and total of each function, from the merged pprof: computed independently of the server's table. */
async function exact(
  selector: string,
  startMs: number,
  endMs: number,
): Promise<Map<string, { self: number; total: number }>> {
  const r = await fetch(`${server.url}/querier.v1.QuerierService/SelectMergeProfile`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({
      profileTypeID: CPU,
      labelSelector: selector,
      start: String(startMs),
      end: String(endMs),
    }),
  });
  // An empty selection has no functions.
  const p = {
    stringTable: [""],
    function: [],
    location: [],
    sample: [],
    ...((await r.json()) as object),
  } as {
    stringTable: string[];
    function: { id: string; name: string }[];
    location: { id: string; line: { functionId: string }[] }[];
    sample: { locationId: string[]; value: string[] }[];
  };
  const fn = new Map(p.function.map((f) => [f.id, p.stringTable[Number(f.name)]!])),
    lines = new Map(p.location.map((l) => [l.id, l.line.map((x) => fn.get(x.functionId)!)]));
  const out = new Map<string, { self: number; total: number }>();
  const row = (n: string): { self: number; total: number } => {
    let x = out.get(n);
    if (!x) out.set(n, (x = { self: 0, total: 0 }));
    return x;
  };
  for (const s of p.sample) {
    const frames = s.locationId.flatMap((l) => lines.get(l)!);
    row(frames[0]!).self += Number(s.value[0]);
    for (const f of new Set(frames)) row(f).total += Number(s.value[0]);
  }
  return out;
}

describeWith(["chromium"], "numbers", () => {
  inBrowser(
    "of the function table are exact: every row, with and without filters, recursion once",
    async () => {
      const selections = [
        '{service_name="cart"}',
        '{service_name="cart",region="eu"}',
        '{service_name=~"c.*",pod!="cart-b"}',
        '{service_name="checkout"}',
        '{version="1"}',
      ].flatMap((s): [string, number, number][] => [
        [s, END - 2 * HOUR, END],
        [s, END - HOUR, END],
        [s, END - 2 * HOUR, END - HOUR],
        [s, END - 1.5 * HOUR, END - 0.5 * HOUR],
      ]);
      expect(selections.length).toBe(20);
      for (const [selector, from, until] of selections) {
        const { page, context } = await open(
          `explore?f=${from}&u=${until}&s=${encodeURIComponent(selector.slice(1, -1))}&pane=table&o=name&asc=1`,
        );
        const wanted = await exact(selector, from, until),
          sum = [...wanted.values()].reduce((n, f) => n + f.self, 0);
        if (wanted.size > 0) await page.locator(".table-scroll [role=row]").first().waitFor();
        await settled(page);
        const rows = await page
          .locator(".table-scroll [role=row]")
          .evaluateAll((all) =>
            all.map((r) =>
              [...r.querySelectorAll("[role=cell]")].map((c) => (c as HTMLElement).innerText.trim()),
            ),
          );
        expect(rows.map((r) => r[0])).toEqual([...wanted.keys()].sort());
        for (const [name, , selfShare, , totalShare] of rows) {
          const f = wanted.get(name!)!,
            p = (v: number): number => (100 * v) / sum,
            text = (v: number): string =>
              `${p(v) >= 99.95 ? "100" : p(v) >= 9.995 ? p(v).toFixed(1) : v === 0 ? "0" : p(v).toFixed(2)}%`;
          expect([name, selfShare, totalShare]).toEqual([name, text(f.self), text(f.total)]);
        }
        await context.close();
      }
    },
  );

  inBrowser(
    "are the same in every view of a selection: time line, labels, functions, flame graph, services, comparison",
    async () => {
      const windows: [number, number][] = [
          [END - HOUR, END],
          [END - 45 * 60_000 - 12_345, END - 7_777],
          [END - 2 * HOUR, END - 30_000],
          [END - 10 * 60_000, END],
        ],
        number = async (at: Locator): Promise<number> => {
          await at.and(at.page().locator("[data-total]")).waitFor(); // a time line loads by itself
          return Number(await at.getAttribute("data-total"));
        };
      for (const [from, until] of windows) {
        const range = `f=${from}&u=${until}`;
        const wanted = [...(await exact('{service_name="cart"}', from, until)).values()].reduce(
          (n, f) => n + f.self,
          0,
        );
        const { page, context, problems } = await open(`explore?${range}&${CART}&pane=labels&g=version`);
        for (const label of ["version", "pod", "region"]) {
          await page.getByRole("button", { name: label, exact: true }).click();
          await page.locator(".by-label tbody tr").first().waitFor();
          await settled(page);
          const rows = await page
            .locator(".by-label tbody tr")
            .evaluateAll((all) => all.map((r) => Number(r.getAttribute("data-total"))));
          expect([label, rows.reduce((n, v) => n + v, 0)]).toEqual([label, wanted]);
          expect(await number(page.getByRole("region", { name: "Labels" }))).toBe(wanted);
          expect(await number(page.locator(".course"))).toBe(wanted);
          // The bars are shares of one track.
          const bars = await page
            .locator(".by-label .bar")
            .evaluateAll((all) =>
              all.map(
                (b) => b.getBoundingClientRect().width / b.parentElement!.getBoundingClientRect().width,
              ),
            );
          bars.forEach((width, i) => expect(width).toBeCloseTo(rows[i]! / wanted, 2));
        }
        await page.getByRole("tab", { name: "Top functions" }).click();
        await page.locator(".table-scroll [role=row]").first().waitFor();
        expect(await number(page.getByTestId("function-count"))).toBe(wanted);
        await page.getByRole("tab", { name: "Flame graph" }).click();
        await flame(page);
        expect(await number(page.getByTestId("total"))).toBe(wanted);
        await page.getByRole("button", { name: "Compare", exact: true }).click();
        await flame(page);
        expect(await number(page.getByTestId("total"))).toBe(wanted);
        expect(await number(page.locator(".course"))).toBe(wanted);
        await page.goto(`${server.url}/?v=1&${range}`);
        await page.getByRole("row", { name: /cart/ }).waitFor();
        expect(await number(page.getByRole("row", { name: /cart/ }).locator("[data-total]"))).toBe(wanted);
        // With a filter of functions, all views count the same stacks.
        await page.goto(`${server.url}/explore?v=1&${range}&${CART}&on=json.Marshal&pane=labels&g=version`);
        await page.locator(".by-label tbody tr").first().waitFor();
        await settled(page);
        const part = await number(page.getByRole("region", { name: "Labels" }));
        expect(part > 0 && part < wanted).toBe(true);
        expect(await number(page.locator(".course"))).toBe(part);
        await page.getByRole("tab", { name: "Flame graph" }).click();
        await flame(page);
        expect(await number(page.getByTestId("total"))).toBe(part);
        expect(problems).toEqual([]);
        await context.close();
      }
    },
    180_000,
  );

  inBrowser("of memory in use are averages of the snapshots, without totals and rates", async () => {
    const MiB = 1024 ** 2;
    for (let minute = 1; minute <= 50; minute++)
      for (const [pod, size] of [
        ["a", 100 * MiB],
        ["b", 50 * MiB],
      ] as const)
        await push(
          server,
          "heap",
          { pod },
          END - minute * 60_000 + 30_000,
          [{ frames: ["main", "cache"], values: [size] }],
          {},
          { name: "memory", types: [["inuse_space", "bytes"]], period: ["space", "bytes"] },
        );
    const HEAP = `p=${encodeURIComponent("memory:inuse_space:bytes:space:bytes")}`,
      SERVICE = `s=${encodeURIComponent('service_name="heap"')}`;
    // 50 minutes of the window's three hours have profiles.
    const range = `f=${END - 3 * HOUR}&u=${END}`;
    const { page, context, problems } = await open(`explore?${range}&${HEAP}&${SERVICE}&fn=cache&d=1`);
    await flame(page);
    await page.getByText("total 150 MiB avg").waitFor();
    await page.getByTestId("function-values").getByText("150 MiB avg").first().waitFor();
    expect(await page.getByLabel("Measure", { exact: true }).count()).toBe(0);
    await page.goto(`${server.url}/explore?v=1&${range}&${HEAP}&${SERVICE}&pane=labels&g=pod&per=s`);
    await page.locator(".by-label tbody tr").first().waitFor();
    await settled(page);
    expect(
      (await page.locator(".by-label tbody tr").allInnerTexts()).map((t) => t.split("\t").slice(0, 3)),
    ).toEqual([
      ["a", "100 MiB avg", "66.7%"],
      ["b", "50.0 MiB avg", "33.3%"],
    ]);
    await page.goto(`${server.url}/?v=1&${range}&${HEAP}`);
    await page.getByRole("row", { name: /heap/ }).getByText("150 MiB avg").waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("over time have the interval as step, gaps, and one axis and step in a comparison", async () => {
    // A profile a minute and pod: shorter windows must not get a shorter step.
    for (const minutes of [5, 15, 45, 120]) {
      const { page, context, problems } = await open(`explore?f=${END - minutes * 60_000}&u=${END}&${CART}`);
      await page.locator(".course[data-step]").waitFor();
      expect(Number(await page.locator(".course").getAttribute("data-step"))).toBeGreaterThanOrEqual(60);
      expect(problems).toEqual([]);
      await context.close();
    }
    const { page, context, problems } = await open(
      `compare?${LATE}&${CART}&b${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}`,
    );
    await flame(page);
    await page.getByTestId("averages").waitFor();
    expect(await page.locator(".timeline canvas").count()).toBe(1);
    expect(await page.getByTestId("averages").innerText()).toMatch(/A 0\.021 cores\s+B 0\.035 cores/);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("as cores and per second, averaged over the range, in every pane, and in the link", async () => {
    // 120 profiles of 1,050 ms in the late hour.
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&pane=table&fn=json.Marshal&d=1`);
    const drawer = page.getByTestId("function-values");
    await drawer.getByText("1.20 min").first().waitFor();
    await page.getByLabel("Measure", { exact: true }).selectOption("rate");
    await drawer
      .getByText(`${(72 / 3600).toFixed(3)} cores`)
      .first()
      .waitFor();
    expect(new URL(page.url()).searchParams.get("per")).toBe("s");
    await page.reload();
    await drawer
      .getByText(`${(72 / 3600).toFixed(3)} cores`)
      .first()
      .waitFor();
    expect(
      await page.locator(".table-scroll [role=row]", { hasText: "json.Marshal" }).first().innerText(),
    ).toContain(`${(72 / 3600).toFixed(3)} cores`);
    await page.getByLabel("Measure", { exact: true }).selectOption("total");
    await drawer.getByText("1.20 min").first().waitFor();
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "of a call graph: functions and calls as the merged pprof has them, by mouse and keyboard",
    async () => {
      const { page, context, problems } = await open(`explore?${LATE}&${CART}&pane=graph`);
      await page.getByTestId("call-graph").waitFor();
      const wanted = await exact('{service_name="cart"}', END - HOUR, END),
        sum = [...wanted.values()].reduce((n, f) => n + f.self, 0);
      const shown = await page
        .locator("[data-testid=call-graph] [data-fn]")
        .evaluateAll((all) =>
          all.map((g) => [g.getAttribute("data-fn")!, g.querySelector("title")!.textContent]),
        );
      expect(new Set(shown.map(([f]) => f))).toEqual(new Set(wanted.keys()));
      for (const [f, words] of shown)
        expect(words).toContain(
          `, ${((p) => (p >= 99.95 ? "100" : p.toFixed(p >= 9.995 ? 1 : 2)))((100 * wanted.get(f!)!.total) / sum)}%, self `,
        );
      const calls = await page
        .locator("[data-testid=call-graph] [data-call]")
        .evaluateAll((all) => all.map((g) => g.getAttribute("data-call")!));
      expect(new Set(calls)).toEqual(
        new Set([
          "main > http.serve",
          "http.serve > cart.handle",
          "http.serve > cart.walk",
          "cart.walk > cart.walk",
          "cart.handle > cart.load",
          "cart.load > db.query",
          "cart.handle > json.Marshal",
          "cart.handle > other",
          "cart.handle > cart.audit",
        ]),
      );
      await page.locator('[data-fn="json.Marshal"]').focus();
      await page.keyboard.press("Enter");
      await page.keyboard.press("d");
      await page.getByTestId("function-values").getByText("1.20 min").first().waitFor();
      expect(new URL(page.url()).searchParams.get("fn")).toBe("json.Marshal");
      // Compared with the previous hour: new functions are marked.
      await page.goto(
        `${server.url}/compare?v=1&${LATE}&${CART}&bf=${END - 2 * HOUR}&bu=${END - HOUR}&bs=${encodeURIComponent('service_name="cart"')}&pane=graph`,
      );
      await page.locator('[data-fn="cart.audit"].more').waitFor();
      expect(await page.locator('[data-fn="gc.old"].less title').textContent()).toContain(
        "total 0 cores, 0%",
      );
      expect(await page.locator('[data-call="main > gc.old"].gone').count()).toBe(1);
      expect(problems).toEqual([]);
      await context.close();
    },
  );

  inBrowser("of two sides next to each other, with a focus in both; and of a pinned baseline", async () => {
    const { page, context, problems } = await open(`explore?f=${END - 2 * HOUR}&u=${END - HOUR}&${CART}`);
    await flame(page);
    await page.getByLabel("Compare with").selectOption("pin");
    await page.goto(`${server.url}/explore?v=1&${LATE}&${CART}`);
    await flame(page);
    await page.getByLabel("Compare with").selectOption("pinned");
    await page.getByTestId("sums").waitFor();
    expect(await page.getByTestId("sums").innerText()).toContain(
      "A 0.021 cores (1.26 min in 1 h), B 0.035 cores (2.10 min in 1 h): +0.014 cores, ×1.67;",
    );
    await page.getByRole("button", { name: "Side by side" }).click();
    await page.waitForFunction(
      () =>
        [...document.querySelectorAll("[data-testid=total]")].map((x) => x.textContent).join() ===
        "total 0.021 cores,total 0.035 cores",
    );
    const link = page.url();
    expect(new URL(link).searchParams.get("two")).toBe("1");
    await page.goto(`${link}&cs=main&cs=http.serve&cs=cart.handle&cs=json.Marshal`);
    await settled(page);
    await page.waitForFunction(() => document.querySelectorAll("[data-testid=total]").length === 2);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "of hidden runtime functions: merged into callers by one choice, by patterns that are ordinary chips",
    async () => {
      await push(server, "preset", {}, END - 600_000, [
        { frames: ["main", "runtime.mallocgc", "shop.parse"], values: [3e9] },
        { frames: ["main", "runtime.gcBgMarkWorker"], values: [2e9] },
        { frames: ["main", "Runtimes.go"], values: [1e9] },
      ]);
      const { page, context, problems } = await open(
        `explore?f=${END - HOUR}&u=${END}&s=${encodeURIComponent('service_name="preset"')}&pane=table&o=name&asc=1`,
      );
      const rows = async (): Promise<string[][]> => {
        await settled(page);
        return page
          .locator(".table-scroll [role=row]")
          .evaluateAll((all) =>
            all.map((r) =>
              [...r.querySelectorAll("[role=cell]")]
                .map((c) => (c as HTMLElement).innerText.trim())
                .slice(0, 2),
            ),
          );
      };
      await page.getByText("runtime.gcBgMarkWorker").waitFor();
      await page.getByLabel("Hide frames").selectOption("Go runtime");
      await page.getByText("runtime.gcBgMarkWorker").waitFor({ state: "detached" });
      expect((await rows()).map((r) => r[0])).toEqual(["main", "Runtimes.go", "shop.parse"].sort());
      // The values of the hidden functions belong to their callers.
      expect(new Map((await rows()).map((r) => [r[0], r[1]])).get("main")).toContain("2");
      await page.getByRole("button", { name: "Remove Hidden: Go runtime" }).click();
      await page.getByText("runtime.gcBgMarkWorker").waitFor();
      expect(problems).toEqual([]);
      await context.close();
    },
  );

  inBrowser("of filters of functions: only, without, merged into callers", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&fn=json.Marshal`);
    await flame(page);
    const total = (): Promise<string> => page.getByTestId("total").innerText();
    expect(await total()).toBe("total 2.10 min");
    await page.keyboard.press("x");
    await settled(page);
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "total 54.0 s",
    );
    await page.getByRole("button", { name: "Invert Excludes json.Marshal" }).click();
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "total 1.20 min",
    );
    await page.getByRole("button", { name: "Remove Contains json.Marshal" }).click();
    await page.goto(`${server.url}/explore?v=1&${LATE}&${CART}&pane=table&hi=json.Marshal`);
    await page.locator(".table-scroll [role=row]").first().waitFor();
    expect((await page.locator(".table-scroll [role=row]").first().innerText()).split("\n")[0]).toBe(
      "cart.handle",
    );
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("of a comparison are the Diff API's; each side opens in Explore", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}`);
    await flame(page);
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await flame(page);
    const side = (from: number, until: number): object => ({
      profileTypeID: CPU,
      labelSelector: '{service_name="cart"}',
      start: String(from),
      end: String(until),
    });
    const { body } = await server.json("/querier.v1.QuerierService/Diff", {
      left: side(END - 2 * HOUR, END - HOUR),
      right: side(END - HOUR, END),
    });
    const { leftTicks, rightTicks } = body.flamegraph as { leftTicks: string; rightTicks: string };
    const minutes = (ns: string): string => `${(Number(ns) / 60e9).toFixed(2)} min`;
    await page.getByTestId("sums").waitFor();
    expect(await page.getByTestId("sums").innerText()).toContain(
      `A 0.021 cores (${minutes(leftTicks)} in 1 h), B 0.035 cores (${minutes(rightTicks)} in 1 h)`,
    );
    await page.getByLabel("Measure", { exact: true }).selectOption("total");
    expect(await page.getByTestId("sums").innerText()).toContain(
      `A ${minutes(leftTicks)} (1 h), B ${minutes(rightTicks)} (1 h): +50.4 s, ×1.67`,
    );
    expect(await page.getByTestId("total").innerText()).toBe(
      `total ${minutes(rightTicks)}, baseline ${minutes(leftTicks)}`,
    );
    await page
      .getByRole("group", { name: "Baseline (A)" })
      .getByRole("button", { name: "Open in Explore" })
      .click();
    await flame(page);
    const p = new URL(page.url());
    expect([p.pathname, p.searchParams.get("f"), p.searchParams.get("u"), p.searchParams.get("s")]).toEqual([
      "/explore",
      String(END - 2 * HOUR),
      String(END - HOUR),
      'service_name="cart"',
    ]);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser("of a comparison stay the same with a focus: color, change, factor and shares", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}`);
    await flame(page);
    // The link of the navigation compares with the previous period of this selection, not of all services.
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByTestId("sums").waitFor();
    await flame(page);
    expect(await page.getByTestId("sums").innerText()).toContain("A 0.021 cores (1.26 min in 1 h)");
    /** Tooltip and fill color of a call. */
    const figures = async (name: string, level: number): Promise<{ color: string; texts: string[] }> => {
      const box = (await page.getByTestId("flame-over").boundingBox())!,
        y = level * 20 + 3;
      for (let x = 2; x < box.width; x += 6) {
        await page.mouse.move(box.x + x, box.y + y);
        const found = await page
          .locator(".tip strong")
          .allInnerTexts()
          .then((t) => t[0] === name);
        if (!found) continue;
        const color = await page
          .locator(".flame-layer canvas")
          .first()
          .evaluate(
            (c, [px, py]) => {
              const k = devicePixelRatio,
                d = (c as HTMLCanvasElement).getContext("2d")!.getImageData(px! * k, py! * k, 1, 1).data;
              return [...d].join();
            },
            [x, y],
          );
        const texts = await page
          .locator(".tip dl")
          .evaluate((dl) =>
            (dl as HTMLElement).innerText
              .split(/\n+(?=Total|Self|Baseline|Δ|View|Focus)/)
              .map((t) => t.replace(/\s*\n\s*/, ": ").replace(/\s+/g, " ")),
          );
        return { color, texts };
      }
      throw new Error(`no box of ${name}`);
    };
    const before = await figures("json.Marshal", 4);
    // 600 ms of 1,050 in each profile of this hour, 200 of 630 in the hour before.
    expect(before.texts).toContain("Total: 0.020 cores 57.1% of total");
    expect(before.texts).toContain("Baseline: 0.007 cores 31.7% of total");
    expect(before.texts).toContain("Δ: +0.013 cores ×3.00 · +25.4 pp");
    await page.getByRole("tab", { name: "Top functions" }).click();
    const rows = async (): Promise<string[]> => {
      await page.locator(".table-scroll [role=row]").first().waitFor();
      await settled(page);
      return page.locator(".table-scroll [role=row]").allInnerTexts();
    };
    const table = await rows();
    await page.getByRole("tab", { name: "Flame graph" }).click();
    await flame(page);
    await figures("json.Marshal", 4);
    await page.mouse.down();
    await page.mouse.up();
    await page.waitForFunction(() => location.search.includes("cs=json.Marshal"));
    await settled(page);
    const after = await figures("json.Marshal", 4),
      figuresOf = (f: typeof after): string[] => f.texts.filter((t) => !/^(View|Focus)/.test(t));
    expect(figuresOf(after)).toEqual(figuresOf(before));
    expect(after.color).toBe(before.color);
    expect(after.texts).toContain("Focus: 100% of focus, baseline 100%");
    await page.keyboard.press("d");
    const drawer = page.getByTestId("function-values");
    await drawer.getByText("57.1%").first().waitFor();
    expect(await drawer.innerText()).toContain("31.7%; +0.013 cores, ×3.00");
    await page.getByRole("tab", { name: "Top functions" }).click();
    expect(await rows()).toEqual(table);
    expect(problems).toEqual([]);
    await context.close();
  });

  inBrowser(
    "of single profiles: a cell of the heatmap, its profiles, one profile's graph, in three clicks; their sum is the cell's",
    async () => {
      const { page, context, problems } = await open(`explore?${LATE}&${CART}&pane=profiles`);
      await page.getByTestId("heatmap").waitFor();
      await settled(page);
      expect(await page.getByTestId("profile-count").innerText()).toBe("120 profiles, max 1.05 s");
      const box = (await page.getByTestId("heatmap").boundingBox())!;
      // All profiles have 1.05 s: they are in the topmost row, two (one of each pod) in each minute.
      await page.mouse.click(box.x + box.width * (30.5 / 60), box.y + box.height * (0.5 / 16));
      await page.waitForFunction(() =>
        document
          .querySelector("[data-testid=profile-count]")
          ?.textContent?.includes("in the cell: 2 profiles, 2.10 s"),
      );
      const rows = page.locator(".profile-list tbody tr");
      expect(await rows.count()).toBe(2);
      expect(new URL(page.url()).searchParams.get("cell")).toBe("30.15");
      await rows.first().getByRole("button", { name: "Flame graph" }).click();
      await flame(page);
      expect(await page.getByTestId("total").innerText()).toBe("total 1.05 s");
      const id = new URL(page.url()).searchParams.get("id")!;
      await page.getByRole("tab", { name: "Top functions" }).click();
      await page.locator(".table-scroll [role=row]").first().waitFor();
      expect(await page.locator(".table-scroll [role=row]").first().innerText()).toContain("600 ms");
      await page.getByRole("button", { name: `Remove Profile ${id.slice(0, 8)}` }).click();
      await settled(page);
      expect(await page.locator(".table-scroll [role=row]").first().innerText()).toContain("1.20 min");
      // The sum of each cell equals the sum of its profiles.
      const selection = (from: number, until: number, ids: string[] = []): object => ({
        profileTypeId: CPU,
        labelSelector: "{}",
        start: String(from),
        end: String(until),
        profileIdSelector: ids,
      });
      const ask = async (method: string, body: object): Promise<Record<string, unknown>> => {
        const r = await server.json(`/cinderblock.explore.v1.ExploreService/${method}`, body);
        expect(r.status).toBe(200);
        return r.body;
      };
      const from = END - HOUR,
        h = (await ask("Heatmap", { selection: selection(from, END), columns: 4, rows: 3 })) as {
          counts: number[];
          maxValue: string;
          profiles: string;
        };
      expect(h.counts.reduce((a, b) => a + b, 0)).toBe(Number(h.profiles));
      for (let c = 0; c < 4; c++) {
        const start = Math.ceil(from + (c * (HOUR + 1)) / 4),
          end = Math.ceil(from + ((c + 1) * (HOUR + 1)) / 4) - 1;
        for (let r = 0; r < 3; r++) {
          const cell = (await ask("Profiles", {
            selection: selection(start, end),
            minValue: String(Math.floor((r * Number(h.maxValue)) / 3)),
            maxValue: String(Math.floor(((r + 1) * Number(h.maxValue)) / 3)),
            limit: 1000,
          })) as { count?: string; total?: string; profiles?: { profileId: string; value: string }[] };
          expect(Number(cell.count ?? 0)).toBe(h.counts[c * 3 + r]);
          if (!cell.profiles) continue;
          const tree = (await ask("CallTree", {
            selection: selection(
              start,
              end,
              cell.profiles.map((p) => p.profileId),
            ),
            maxNodes: "10",
          })) as { total: string };
          expect(tree.total).toBe(cell.total);
        }
      }
      expect(problems).toEqual([]);
      await context.close();
    },
  );

  inBrowser(
    "of a profile with 200,000 nodes: a small stack is found by its name, with its exact value",
    async () => {
      // A tree of four levels below 20 roots; every leaf has 1,000 ns, one leaf a unique name.
      const stacks: Stack[] = [];
      for (let i = 0; i < 40_000; i++)
        stacks.push({
          frames: [
            `r${i % 20}`,
            `a${i % 400}`,
            `b${i % 4000}`,
            `c${i}`.slice(0, 4),
            `d${i % 37}`,
            `e${i}`.slice(0, 3),
          ],
          values: [1000],
        });
      stacks.push({ frames: ["r7", "needle.one", "needle.two"], values: [1234] });
      await push(server, "huge", { pod: "x" }, END - 30_000, stacks);
      const v = await open(`explore?${LATE}&s=${encodeURIComponent('service_name="huge"')}`);
      const { page, context } = v;
      await flame(page);
      await page.waitForFunction(
        () => document.querySelector("[data-testid=coverage]")?.textContent === "100% visible",
        undefined,
        { timeout: 30_000 },
      );
      await page.keyboard.press("/");
      await page.keyboard.type("needle.two");
      await page.keyboard.press("Enter");
      expect(await spoken(page)).toMatch(
        /^needle\.two: total 1\.23 µs, <0\.01%, self 1\.23 µs, level 3, 1 of 1$/,
      );
      // A name that is a substring of a hundred others has its own values.
      await page.goto(
        `${server.url}/explore?v=1&${LATE}&s=${encodeURIComponent('service_name="huge"')}&fn=c1&d=1`,
      );
      expect(await page.getByTestId("function-values").innerText()).toMatch(/Self\s+0 ns/);
      // The overview reports the cut part, to a tenth of a percent.
      const { body } = await server.json("/cinderblock.explore.v1.ExploreService/CallTree", {
        selection: {
          profileTypeId: CPU,
          labelSelector: '{service_name="huge"}',
          start: String(END - HOUR),
          end: String(END),
        },
        maxNodes: "1000",
      });
      const tree = body as { folded: string[]; total: string; nodes: string };
      expect([tree.total, Number(tree.nodes) > 100_000]).toEqual(["40001234", true]);
      await context.close();
    },
    120_000,
  );

  inBrowser("of stacks of 5,000 levels: drawn, scrolled to the end, exported", async () => {
    await push(server, "deep", { pod: "x" }, END - 30_000, [
      { frames: Array.from({ length: 5000 }, (_, i) => `level${i}`), values: [1_000_000] },
    ]);
    const { page, context, problems } = await open(
      `explore?${LATE}&s=${encodeURIComponent('service_name="deep"')}`,
    );
    await flame(page);
    const scroller = page.locator(".flame-scroll");
    expect(await scroller.evaluate((el) => el.scrollHeight)).toBeGreaterThanOrEqual(5001 * 20);
    await scroller.evaluate((el) => {
      el.scrollTop = el.scrollHeight;
    });
    await page.waitForTimeout(200);
    await scroller.evaluate((el) => el.scrollIntoView({ block: "end" }));
    const box = (await scroller.boundingBox())!;
    await page.mouse.move(box.x + 50, box.y + box.height - 8);
    expect(await page.locator(".tip strong").innerText()).toBe("level4999");
    const lit = await page
      .locator(".flame-layer canvas")
      .first()
      .evaluate((c: HTMLCanvasElement) => {
        const d = c.getContext("2d")!.getImageData(20, c.height - 8, 1, 1).data;
        return d[0]! + d[1]! + d[2]!;
      });
    expect(lit).toBeLessThan(765);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Folded stacks" }).click(),
    ]);
    const folded = readFileSync((await file.path())!, "utf8");
    expect([folded.split(";").length, folded.trimEnd().endsWith("level4999 1000000")]).toEqual([5000, true]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

/** speedscope's own viewer, and one of our files to open in it. */
async function speedscopeWith(modules: string, bytes: Buffer): Promise<{ url: string; close(): void }> {
  const home = join(modules, "speedscope/dist/release"),
    types: Record<string, string> = {
      html: "text/html",
      js: "text/javascript",
      css: "text/css",
      wasm: "application/wasm",
    },
    port = await freePort();
  const viewer = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://x"),
      path = join(home, pathname === "/" ? "index.html" : pathname);
    if (pathname === "/exported.json") response.end(bytes);
    else if (!existsSync(path)) response.writeHead(404).end();
    else
      response
        .writeHead(200, { "content-type": types[path.split(".").at(-1)!] ?? "application/octet-stream" })
        .end(readFileSync(path));
  });
  await new Promise<void>((done) => {
    viewer.listen(port, "127.0.0.1", done);
  });
  return {
    url: `http://127.0.0.1:${port}/#profileURL=${encodeURIComponent(`http://127.0.0.1:${port}/exported.json`)}`,
    close: () => viewer.close(),
  };
}

describeWith(["chromium", "speedscope"], "files", () => {
  inBrowser("open in speedscope's own viewer, with the same functions, own and total times", async () => {
    const modules = part("speedscope");
    const { page, context } = await open(`explore?${LATE}&${CART}`);
    await flame(page);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "speedscope", exact: true }).click(),
    ]);
    const viewer = await speedscopeWith(modules, readFileSync((await file.path())!)),
      problems: string[] = [],
      other = await context.newPage();
    try {
      other.on("pageerror", (e) => problems.push(e.message));
      await other.goto(viewer.url);
      await other.waitForFunction(() => document.title.endsWith(" - speedscope"), undefined, {
        timeout: 30_000,
      });
      await other.keyboard.press("3"); // the function table
      await other.waitForSelector("tr td");
      const shown = await other.evaluate(() =>
        [...document.querySelectorAll("tr")]
          .map((r) => [...r.querySelectorAll("td")].map((d) => d.innerText))
          .filter((r) => r.length === 3),
      );
      const wanted = await exact('{service_name="cart"}', END - HOUR, END),
        all = [...wanted.values()].reduce((n, f) => n + f.self, 0),
        share = (n: number): number => Math.round((n / all) * 100);
      const percent = (text: string): number =>
        text.includes("<0.01%") ? 0 : Math.round(Number(/\(([\d.]+)%\)/.exec(text)![1]));
      expect(shown.map(([total, self, name]) => [name, percent(total!), percent(self!)]).sort()).toEqual(
        [...wanted].map(([name, f]) => [name, share(f.total), share(f.self)]).sort(),
      );
      expect(wanted.size).toBeGreaterThan(4);
      expect(problems).toEqual([]);
    } finally {
      viewer.close();
      await context.close();
    }
  });
});

describeWith(["chromium"], "files", () => {
  inBrowser("match the screen: folded, speedscope, pprof, CSV, PNG", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&wo=db.query`);
    await flame(page);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const save = async (name: string): Promise<Buffer> => {
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name, exact: true }).click(),
      ]);
      return readFileSync((await file.path())!);
    };
    const folded = (await save("Folded stacks")).toString().trim().split("\n");
    // 120 profiles of 750 ms without the 300 of db.query.
    expect(folded.reduce((n, l) => n + Number(l.slice(l.lastIndexOf(" "))), 0)).toBe(120 * 750e6);
    expect(folded.some((l) => l.includes("db.query"))).toBe(false);
    const speedscope = JSON.parse((await save("speedscope")).toString()) as {
      profiles: { endValue: number }[];
    };
    expect(speedscope.profiles[0]!.endValue).toBe(120 * 750e6);
    const csv = (await save("CSV")).toString().split("\n");
    expect(csv).toContain(`"json.Marshal",${120 * 600e6},${120 * 600e6}`);
    const bytes = await save("pprof");
    const pprof: MessageShape<typeof ProfileSchema> = fromBinary(ProfileSchema, bytes);
    expect(pprof.sample.reduce((n, s) => n + Number(s.value[0]), 0)).toBe(120 * 1050e6);
    const path = join(folder(), "cart.pb");
    writeFileSync(path, bytes);
    let go = true;
    try {
      execFileSync("go", ["version"]);
    } catch {
      go = false;
    }
    if (go)
      expect(
        execFileSync("go", ["tool", "pprof", "-top", path], {
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        }),
      ).toMatch(/57\.14%.*json\.Marshal/);
    const dot = (await save("DOT")).toString();
    expect(dot).toContain("digraph");
    expect((await save("PNG")).subarray(1, 4).toString()).toBe("PNG");
    const svg = (await save("SVG")).toString(),
      page2 = await context.newPage(),
      asked: string[] = [];
    expect([svg.includes("<title>json.Marshal: 1.20 min, 80.0%"), svg.includes("db.query")]).toEqual([
      true,
      false,
    ]);
    // The page works offline.
    const html = join(folder(), "cart.html");
    writeFileSync(html, await save("HTML"));
    page2.on("request", (r) => {
      if (!r.url().startsWith("file:")) asked.push(r.url());
    });
    await page2.goto(`file://${html}`);
    const box = page2
      .locator("g.b", { hasText: /json\.Marshal/ })
      .first()
      .locator("rect");
    const before = Number(await box.getAttribute("width"));
    await box.click();
    expect([Number(await box.getAttribute("width")) > before, asked]).toEqual([true, []]);
    expect(problems).toEqual([]);
    await context.close();
  });
});

describeWith(["chromium"], "uploaded files", () => {
  const pprof = (stacks: Stack[], gzip = false): Buffer => {
    const b = Buffer.from(
      tinyPprof({
        types: [
          ["samples", "count"],
          ["cpu", "nanoseconds"],
        ],
        stacks,
      }),
    );
    return gzip ? gzipSync(b) : b;
  };
  inBrowser("are opened, drawn, compared, and refused with the server's reason", async () => {
    const { page, context, problems } = await open("files", { expected: /500 .*Upload/ });
    const give = async (...files: { name: string; buffer: Buffer }[]): Promise<void> =>
      page
        .getByLabel("Files", { exact: true })
        .setInputFiles(files.map((f) => ({ ...f, mimeType: "application/octet-stream" })));
    await page.getByText("No files yet.").waitFor();
    await give({
      name: "one.pb.gz",
      buffer: pprof([{ frames: ["main", "a"], values: [1, 3_000_000_000] }], true),
    });
    await page.getByTestId("total").waitFor();
    expect(await page.getByTestId("total").innerText()).toBe("total 1");
    await page.getByLabel("Type").selectOption("cpu");
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "total 3.00 s",
    );
    await give(
      { name: "before.folded", buffer: Buffer.from("main;a 3\nmain;b 1\n") },
      { name: "after.folded", buffer: Buffer.from("main;a 3\nmain;c 9\n") },
    );
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "A 4, B 12",
    );
    await give({
      name: "two.pb",
      buffer: pprof([
        { frames: ["main", "a"], values: [1, 1_000_000_000] },
        { frames: ["main", "b"], values: [2, 5_000_000_000] },
      ]),
    });
    // The page opens the new file alone: before that, it still shows the two others.
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "total 3",
    );
    await page.getByRole("checkbox", { name: "Open one.pb.gz" }).check();
    await page.getByLabel("Type").selectOption("cpu");
    await page.waitForFunction(() =>
      /^A .* s, B .* s$/.test(document.querySelector("[data-testid=total]")?.textContent ?? ""),
    );
    expect(await page.getByTestId("total").innerText()).toBe("A 6.00 s, B 3.00 s");
    await page.getByRole("button", { name: "Swap A and B" }).click();
    await page.waitForFunction(
      () => document.querySelector("[data-testid=total]")?.textContent === "A 3.00 s, B 6.00 s",
    );
    const again = await visit(theBrowser(), page.url());
    await again.page.getByTestId("total").waitFor();
    expect(await again.page.getByTestId("total").innerText()).toBe("A 3.00 s, B 6.00 s");
    await again.context.close();
    await give({ name: "broken.pb", buffer: Buffer.from([0, 1, 2, 3]) });
    await page.getByRole("alert").waitFor();
    expect(await page.getByRole("alert").innerText()).toContain(
      "failed to parse profile: unknown format, expected pprof, JFR, JSON or folded text",
    );
    expect(problems.filter((p) => !/400 .*Diff/.test(p))).toEqual([]);
    await context.close();
  });

  // The browser asks for permission after ten downloads of a page.
});

describeWith(["chromium", "firefox-profiler"], "uploaded files", () => {
  inBrowser("of other programs: Firefox Profiler, Parquet, OTLP", async () => {
    const { page, context, problems } = await open(`explore?${LATE}&${CART}&wo=db.query`);
    await flame(page);
    await page.getByRole("button", { name: "Export", exact: true }).click();
    const save = async (name: string): Promise<Buffer> => {
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name, exact: true }).click(),
      ]);
      return readFileSync((await file.path())!);
    };
    const file = join(folder(), "cart.firefox.json");
    writeFileSync(file, await save("Firefox Profiler"));
    const firefox = JSON.parse(readFileSync(file, "utf8")) as {
      threads: { samples: { weight: number[] } }[];
    };
    expect(Math.round(firefox.threads[0]!.samples.weight.reduce((a, b) => a + b, 0))).toBe(120 * 750);
    // As opened by the Firefox Profiler: every stack on the screen with its value.
    const viewed = await firefoxProfiler(file),
      folded = (await save("Folded stacks")).toString().trim().split("\n");
    expect(viewed.sum).toBe(120 * 750);
    expect(
      [...viewed.stacks].map(([k, ms]) => `${k.split("\u0000").join(";")} ${Math.round(ms * 1e6)}`).sort(),
    ).toEqual(folded.sort());
    expect([...viewed.stacks.keys()].some((k) => k.includes("db.query"))).toBe(false);
    expect([(await save("Parquet")).subarray(0, 4).toString(), (await save("OTLP")).length > 100]).toEqual([
      "PAR1",
      true,
    ]);
    expect(problems).toEqual([]);
    await context.close();
  });
});
