import type { ReactNode, RefObject } from "react";
import { isCpuTime, isGauge } from "@cinderblock/flame";
import { useApp } from "../state/app.tsx";
import { basisOf } from "../state/compare.ts";
import type { Pane, State } from "../state/state.ts";
import { FilterPresets } from "./Chips.tsx";
import { IconButton, IconSelect, Segmented } from "./Controls.tsx";
import type { FlameHandle } from "./FlameCanvas.tsx";
import { Icon } from "./Icon.tsx";

/** Views of a selection, in the order of their keys. */
export const PANES: readonly [Pane, string][] = [
  ["flame", "Flame graph"],
  ["table", "Top functions"],
  ["tree", "Call tree"],
  ["sandwich", "Callers & callees"],
  ["graph", "Call graph"],
  ["labels", "Labels"],
  ["profiles", "Profiles"],
];

/** Whether a view exists: a comparison has neither labels nor single profiles. */
export function isShown(pane: Pane, compare: boolean): boolean {
  return !compare || (pane !== "labels" && pane !== "profiles");
}

/** Views as tabs: one stop of the Tab key, arrows move between them. */
function ViewTabs({ compare }: { compare: boolean }): ReactNode {
  const { state, go } = useApp(),
    panes = PANES.filter(([p]) => isShown(p, compare));
  return (
    <div role="tablist" aria-label="Views">
      {panes.map(([pane, name], i) => (
        <button
          key={pane}
          type="button"
          role="tab"
          id={`tab-${pane}`}
          aria-selected={state.pane === pane}
          aria-controls="pane"
          tabIndex={state.pane === pane ? 0 : -1}
          title={`${name} (${i + 1})`}
          onClick={() => go({ pane })}
          onKeyDown={(e) => {
            const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
            if (by === 0) return;
            const next = panes[(i + by + panes.length) % panes.length]![0];
            go({ pane: next });
            document.getElementById(`tab-${next}`)?.focus();
          }}
        >
          {name}
        </button>
      ))}
    </div>
  );
}

/** The search of functions, in the views that it filters. */
function SearchBox({
  box,
  handle,
}: {
  box: RefObject<HTMLInputElement | null>;
  handle: RefObject<FlameHandle | null>;
}): ReactNode {
  const { state, go } = useApp();
  return (
    <span className="search-box">
      <Icon name="search" />
      <label className="sr" htmlFor="search">
        Search functions
      </label>
      <input
        id="search"
        ref={box}
        type="search"
        placeholder="Search or /regex/"
        title="Search functions (/)"
        value={state.search}
        onChange={(e) => go({ search: e.target.value }, true)}
        onKeyDown={(e) => {
          if (e.key === "Enter") {
            handle.current?.next(e.shiftKey ? -1 : 1);
            e.preventDefault();
          } else if (e.key === "Escape") {
            go({ search: "" }, true);
            e.currentTarget.blur();
          }
        }}
      />
    </span>
  );
}

/** The measure of values: total, rate or share; gauges have averages alone. */
function MeasureSelect({ compare }: { compare: boolean }): ReactNode {
  const { state, go } = useApp();
  if (isGauge(state.type) && !compare)
    return (
      <span className="measure quiet" data-testid="averaged" title="Average of the snapshots">
        Avg
      </span>
    );
  return (
    <span className="measure">
      <label className="sr" htmlFor="values">
        Measure
      </label>
      <select
        id="values"
        title="Measure"
        value={basisOf(state)}
        onChange={(e) => go({ basis: e.target.value as State["basis"] }, true)}
      >
        {isGauge(state.type) ? null : <option value="total">Total</option>}
        <option value="rate">
          {isGauge(state.type) ? "Avg" : isCpuTime(state.type) ? "Rate (cores)" : "Rate"}
        </option>
        {compare ? <option value="share">Share</option> : null}
      </select>
    </span>
  );
}

/** Toggles of the flame graph's picture. */
function GraphToggles({ compare }: { compare: boolean }): ReactNode {
  const { state, go } = useApp(),
    trees = state.pane === "flame" || state.pane === "tree";
  return (
    <>
      <IconButton
        icon="invert"
        name="Invert (bottom-up)"
        shortcut="i"
        pressed={trees && state.inverted}
        disabled={!trees}
        onClick={() => go({ inverted: !state.inverted }, true)}
      />
      <IconButton
        icon="icicle"
        name="Flame (root at bottom)"
        pressed={state.upwards}
        disabled={state.pane !== "flame"}
        onClick={() => go({ upwards: !state.upwards }, true)}
      />
      <IconButton
        icon="recursion"
        name="Collapse recursion"
        shortcut="r"
        pressed={state.collapsed}
        disabled={!trees && state.pane !== "sandwich"}
        onClick={() => go({ collapsed: !state.collapsed }, true)}
      />
      {compare ? null : (
        <IconSelect
          icon="colors"
          name="Colors"
          value={state.colour === "change" ? "package" : state.colour}
          onChange={(v) => go({ colour: v as State["colour"] }, true)}
        >
          <option value="package">Colors: package</option>
          <option value="value">Colors: value</option>
        </IconSelect>
      )}
    </>
  );
}

/** The row above the views: which view, and how it shows its values. Controls keep their places. */
export function ViewBar({
  compare,
  searchBox,
  handle,
  onExport,
}: {
  compare: boolean;
  searchBox: RefObject<HTMLInputElement | null>;
  handle: RefObject<FlameHandle | null>;
  onExport: () => void;
}): ReactNode {
  const { state, go, can } = useApp();
  return (
    <div className="toolbar">
      <button
        type="button"
        className="table-toggle"
        aria-pressed={state.table}
        title="Table of functions next to the view (b)"
        onClick={() => go({ table: !state.table }, true)}
      >
        <Icon name="table" />
        Table
      </button>
      <ViewTabs compare={compare} />
      <span className="grow" />
      {compare && state.pane === "flame" ? (
        <Segmented
          name="Layout"
          value={state.beside ? "beside" : "overlay"}
          options={[
            ["overlay", "Overlay"],
            ["beside", "Side by side"],
          ]}
          onChange={(v) => go({ beside: v === "beside" }, true)}
        />
      ) : null}
      <SearchBox box={searchBox} handle={handle} />
      {state.pane === "profiles" ? null : <MeasureSelect compare={compare} />}
      <span className="tools">
        <GraphToggles compare={compare} />
        {can?.explore ? <FilterPresets /> : null}
        <IconButton icon="export" name="Export" shortcut="e" onClick={onExport} />
      </span>
    </div>
  );
}
