import { type ReactNode, useEffect, useState } from "react";
import { toCompareScreen } from "../state/compare.ts";
import { encodeState, initialState, type Screen, type State } from "../state/state.ts";
import { addressOf, useApp } from "../state/app.tsx";
import { withAbsoluteTimes, hasRelativeTime, newShortId, shortAddress } from "../state/links.ts";
import { BASE_URL, tokenStore } from "../api/client.ts";
import { ApiError } from "../api/types.ts";
import { copyText } from "../parts/clipboard.ts";
import { applyTheme, savedTheme, type ThemeChoice } from "../parts/theme.ts";
import { Failure } from "../parts/Failure.tsx";
import { Dialog } from "../parts/Dialog.tsx";
import { Services } from "./Services.tsx";
import { Explore, PANES } from "./Explore.tsx";
import { Files } from "./Files.tsx";
import { Status } from "./Status.tsx";

const SCREENS: readonly [Screen, string][] = [
  ["services", "Services"],
  ["explore", "Explore"],
  ["compare", "Compare"],
  ["files", "Files"],
  ["status", "Status"],
];

const KEYS: readonly [keys: string, does: string][] = [
  ["← → ↑ ↓", "Siblings, caller and callee in the flame graph"],
  ["Enter", "Focus"],
  ["Esc", "Focus on the caller"],
  ["Home", "Root"],
  ["+ − 0", "Zoom in, zoom out, reset zoom; Ctrl-wheel zooms"],
  ["Shift ← →, drag", "Pan"],
  ["/", "Search; n and N: next and previous match"],
  ["1 … 7", PANES.map(([, name]) => name).join(", ")],
  ["s", "Callers & callees of the selected function"],
  ["i", "Invert (bottom-up)"],
  ["r", "Collapse recursion"],
  ["o x h", "Show only stacks with the function, exclude these stacks, hide the frame"],
  ["c", "Compare with the previous period, or the set baseline"],
  ["t", "Time range"],
  ["[ ]", "Previous period, next period"],
  ["y Y", "Copy link; with absolute times"],
  ["e", "Export"],
  ["?", "Keyboard shortcuts"],
];

/** Header, navigation and dialogs around every screen. */
export function Shell(): ReactNode {
  const { state, go, refresh, client, can, cannot, range } = useApp();
  // A multi-tenant server refuses requests without a tenant, also the request for its capabilities.
  const noTenant = cannot?.error instanceof ApiError && cannot.error.condition === "no-tenant";
  const [help, setHelp] = useState(false),
    [settings, setSettings] = useState(false),
    [said, setSaid] = useState<{ text: string; more?: boolean }>(),
    [shown, setShown] = useState("");
  /** Copies an address; shows it if the browser does not allow copying. */
  const copy = async (href: string, text: string, more = false): Promise<void> => {
    if (await copyText(href)) setSaid({ text, more });
    else setShown(href);
  };
  const copyLink = (): Promise<void> =>
    copy(addressOf(state), hasRelativeTime(state) ? "Link copied (relative times)." : "Link copied.", true);
  const copyFixed = (): Promise<void> =>
    copy(addressOf(withAbsoluteTimes(state, range)), "Link copied (absolute times).");
  const copyShort = async (): Promise<void> => {
    try {
      await copy(
        new URL(
          shortAddress(
            await client.storeShortLink(
              encodeState(state),
              newShortId((b) => crypto.getRandomValues(b)),
            ),
            state.tenant,
          ),
          BASE_URL,
        ).href,
        "Short link copied.",
      );
    } catch (err) {
      setSaid({ text: `The short link could not be created: ${(err as Error).message}` });
    }
  };
  useEffect(() => {
    document.title = `${state.screen === "services" ? "" : `${state.side.selector.find((m) => m.name === "service_name")?.value ?? SCREENS.find(([s]) => s === state.screen)![1]} – `}Cinderblock`;
  }, [state.screen, state.side]);
  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (
        e.ctrlKey ||
        e.metaKey ||
        e.altKey ||
        (e.target as HTMLElement).matches("input, select, textarea") ||
        document.querySelector("dialog[open]")
      )
        return;
      if (e.key === "?") setHelp(true);
      else if (e.key === "y") void copyLink();
      else if (e.key === "Y") void copyFixed();
      else if (e.key === "t") document.querySelector<HTMLElement>("[data-shortcut=t]")?.click();
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [state, range, client]);
  useEffect(() => {
    if (!said) return;
    const t = setTimeout(() => setSaid(undefined), said.more ? 10_000 : 3000);
    return () => clearTimeout(t);
  }, [said]);
  /** Compare opens with the previous period of the current selection, unless a baseline was set. */
  const opening = (screen: Screen): Partial<State> =>
    screen === "compare" ? toCompareScreen(state) : { screen };
  const link = (screen: Screen): string =>
    encodeState({
      ...state,
      ...opening(screen),
      ...(screen === "services"
        ? { side: { ...state.side, selector: [] }, stacks: initialState.stacks, fn: "" }
        : {}),
    });
  return (
    <>
      <a className="skip" href="#main">
        Skip to main content
      </a>
      <header className="top">
        <a
          className="brand"
          href={link("services")}
          onClick={(e) => {
            e.preventDefault();
            go({ screen: "services", fn: "" });
          }}
        >
          <img src="./icon.svg" alt="" width="22" height="22" /> Cinderblock
        </a>
        <nav aria-label="Screens">
          {SCREENS.map(([screen, name]) => (
            <a
              key={screen}
              href={link(screen)}
              aria-current={state.screen === screen ? "page" : undefined}
              onClick={(e) => {
                if (e.ctrlKey || e.metaKey || e.shiftKey) return;
                e.preventDefault();
                go(opening(screen));
              }}
            >
              {name}
            </a>
          ))}
        </nav>
        <div className="top-right">
          {can?.multitenancy || state.tenant !== "" || noTenant ? <TenantField /> : null}
          <label className="sr" htmlFor="refresh">
            Auto-refresh
          </label>
          <select
            id="refresh"
            value={state.refresh}
            onChange={(e) => go({ refresh: Number(e.target.value) }, true)}
          >
            <option value={0}>Auto-refresh: Off</option>
            <option value={15}>Auto-refresh: 15 s</option>
            <option value={60}>Auto-refresh: 1 min</option>
            <option value={300}>Auto-refresh: 5 min</option>
            {[0, 15, 60, 300].includes(state.refresh) ? null : (
              <option value={state.refresh}>Auto-refresh: {state.refresh} s</option>
            )}
          </select>
          <button type="button" onClick={refresh} aria-label="Refresh" title="Refresh">
            ⟳
          </button>
          <button type="button" onClick={() => void copyLink()} title="Copy link (y)">
            Copy link
          </button>
          <button type="button" aria-label="Settings" title="Settings" onClick={() => setSettings(true)}>
            ⚙
          </button>
          <button
            type="button"
            aria-label="Keyboard shortcuts"
            title="Keyboard shortcuts (?)"
            onClick={() => setHelp(true)}
          >
            ?
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {state.screen === "status" ? (
          <Status />
        ) : cannot ? (
          <>
            <h1 className="sr">Cinderblock</h1>
            <Failure error={cannot.error} retry={cannot.retry} />
          </>
        ) : state.screen === "services" ? (
          <Services />
        ) : state.screen === "files" ? (
          <Files />
        ) : (
          <Explore compare={state.screen === "compare"} />
        )}
      </main>
      <div className={said ? "said shown" : "said"}>
        <span role="status">{said?.text}</span>
        {said?.more ? (
          <>
            {hasRelativeTime(state) ? (
              <button type="button" onClick={() => void copyFixed()}>
                Copy with absolute times
              </button>
            ) : null}
            <button type="button" onClick={() => void copyShort()}>
              Copy short link
            </button>
          </>
        ) : null}
      </div>
      {shown !== "" ? (
        <Dialog title="Copy link" onClose={() => setShown("")}>
          <p>Copying was blocked by the browser. Copy the link from here:</p>
          <input readOnly value={shown} aria-label="Link" size={60} ref={(e) => e?.select()} />
        </Dialog>
      ) : null}
      {help ? (
        <Dialog title="Keyboard shortcuts" onClose={() => setHelp(false)}>
          <table className="keys">
            <tbody>
              {KEYS.map(([k, does]) => (
                <tr key={k}>
                  <th scope="row">
                    <kbd>{k}</kbd>
                  </th>
                  <td>{does}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Dialog>
      ) : null}
      {settings ? <Settings onClose={() => setSettings(false)} /> : null}
    </>
  );
}

/** The tenant, or several joined by `|`; applies on blur or Enter, so the UI never queries a partial name. */
function TenantField(): ReactNode {
  const { state, go } = useApp();
  const [draft, setDraft] = useState(state.tenant);
  useEffect(() => setDraft(state.tenant), [state.tenant]);
  const take = (): void => {
    if (draft !== state.tenant) go({ tenant: draft.trim() });
  };
  return (
    <form
      onSubmit={(e) => {
        e.preventDefault();
        take();
      }}
    >
      <label className="tenant">
        Tenant{" "}
        <input
          value={draft}
          placeholder="a or a|b"
          size={12}
          onChange={(e) => setDraft(e.target.value)}
          onBlur={take}
        />
      </label>
    </form>
  );
}

function Settings({ onClose }: { onClose: () => void }): ReactNode {
  const { state, go } = useApp();
  const [theme, setTheme] = useState<ThemeChoice>(savedTheme()),
    [secret, setSecret] = useState(tokenStore.get());
  return (
    <Dialog title="Settings" onClose={onClose}>
      <form
        className="settings"
        onSubmit={(e) => {
          e.preventDefault();
          const changed = secret !== tokenStore.get();
          tokenStore.set(secret);
          onClose();
          if (changed) location.reload();
        }}
      >
        <label>
          Theme
          <select
            value={theme}
            onChange={(e) => {
              const t = e.target.value as ThemeChoice;
              setTheme(t);
              applyTheme(t);
            }}
          >
            <option value="system">System</option>
            <option value="light">Light</option>
            <option value="dark">Dark</option>
          </select>
        </label>
        <label>
          Diff palette
          <select
            value={state.palette}
            onChange={(e) => go({ palette: e.target.value as typeof state.palette }, true)}
          >
            <option value="blue-orange">Blue–orange</option>
            <option value="purple-green">Purple–green</option>
            <option value="red-green">Red–green</option>
          </select>
        </label>
        <label>
          Token
          <input
            type="password"
            value={secret}
            autoComplete="off"
            onChange={(e) => setSecret(e.target.value)}
          />
        </label>
        <p className="quiet">
          Needed only if the server requires a token. It is kept until this tab is closed.
        </p>
        <button type="submit">Done</button>
      </form>
    </Dialog>
  );
}
