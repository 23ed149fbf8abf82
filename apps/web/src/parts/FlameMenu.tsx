import { type ReactNode, useEffect, useRef } from "react";
import { useApp } from "../state/app.tsx";
import { toCompareScreen } from "../state/compare.ts";
import { copyText } from "./clipboard.ts";
import { type MenuPlace } from "./FlameCanvas.tsx";
import { usePlace } from "./FlameTip.tsx";
import { Icon, type IconName } from "./Icon.tsx";

interface Item {
  icon: IconName;
  text: string;
  shortcut?: string;
  /** why the item has no effect here */
  disabled?: string | undefined;
  act: () => void;
}

/** Menu of a call in the flame graph: arrow keys move, Escape closes. */
export function FlameMenu({ place, onClose }: { place: MenuPlace; onClose: () => void }): ReactNode {
  const { state, go, can } = useApp(),
    { name, path } = place,
    host = useRef<HTMLDivElement | null>(null),
    position = usePlace(place, 2);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    host.current?.querySelector<HTMLElement>("[role=menuitem]:not([aria-disabled])")?.focus();
    const outside = (e: Event): void => {
      if (!host.current?.contains(e.target as Node)) onClose();
    };
    addEventListener("pointerdown", outside);
    addEventListener("resize", onClose);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("resize", onClose);
      before?.focus();
    };
  }, [onClose]);
  const v1 = can?.explore === false ? "A plain Pyroscope v1 has no function filters" : undefined;
  const filter = (kind: "only" | "without" | "hide", already: string): Partial<Item> => ({
    disabled: v1 ?? (state.stacks[kind].includes(name) ? already : undefined),
    act: () => go((s) => ({ stacks: { ...s.stacks, [kind]: [...s.stacks[kind], name] } })),
  });
  const groups: Item[][] = [
    [
      {
        icon: "focus",
        text: "Focus",
        shortcut: "Enter",
        disabled: state.inverted ? "Not in a bottom-up graph" : undefined,
        act: () => go((s) => ({ fn: name, stacks: { ...s.stacks, callSite: path } })),
      },
      {
        icon: "callers",
        text: "Callers & callees",
        shortcut: "S",
        disabled: v1 && "A plain Pyroscope v1 has no callers & callees",
        act: () => go({ fn: name, pane: "sandwich" }),
      },
      {
        icon: "info",
        text: "Details and source",
        shortcut: "D",
        act: () => go({ fn: name, details: true }, true),
      },
    ],
    [
      {
        icon: "filter",
        text: "Show only stacks with this function",
        shortcut: "O",
        ...filter("only", "Already shown alone"),
      } as Item,
      {
        icon: "exclude",
        text: "Exclude these stacks",
        shortcut: "X",
        ...filter("without", "Already excluded"),
      } as Item,
      {
        icon: "hide",
        text: "Hide frame (attribute to caller)",
        shortcut: "H",
        ...filter("hide", "Already hidden"),
      } as Item,
    ],
    [
      {
        icon: "compare",
        text: "Compare over time",
        shortcut: "C",
        disabled: state.screen === "compare" ? "Already comparing" : undefined,
        act: () => go((s) => ({ ...toCompareScreen(s), fn: name })),
      },
      { icon: "copy", text: "Copy name", act: () => void copyText(name) },
      { icon: "stack", text: "Copy stack", act: () => void copyText(path.join("\n")) },
    ],
  ];
  const move = (by: number): void => {
    const items = [...host.current!.querySelectorAll<HTMLElement>("[role=menuitem]")],
      at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + by + items.length) % items.length]?.focus();
  };
  return (
    <div
      className="menu"
      role="menu"
      aria-label={name}
      ref={(e) => {
        host.current = e;
        position(e);
      }}
      onKeyDown={(e) => {
        if (e.key === "Escape" || e.key === "Tab") onClose();
        else if (e.key === "ArrowDown") move(1);
        else if (e.key === "ArrowUp") move(-1);
        else return;
        e.preventDefault();
        e.stopPropagation();
      }}
      onContextMenu={(e) => e.preventDefault()}
    >
      <div className="menu-title">{name}</div>
      {groups.map((items) => (
        <div key={items[0]!.text} role="group" aria-label={items[0]!.text}>
          {items.map((item) => (
            <button
              key={item.text}
              type="button"
              role="menuitem"
              tabIndex={-1}
              title={item.disabled}
              {...(item.disabled === undefined ? {} : { "aria-disabled": true })}
              onClick={() => {
                if (item.disabled !== undefined) return;
                onClose();
                item.act();
              }}
            >
              <Icon name={item.icon} />
              <span>
                {item.text}
                {item.disabled === undefined ? null : <small>{item.disabled}</small>}
              </span>
              {item.shortcut ? <kbd aria-hidden="true">{item.shortcut}</kbd> : null}
            </button>
          ))}
        </div>
      ))}
    </div>
  );
}
