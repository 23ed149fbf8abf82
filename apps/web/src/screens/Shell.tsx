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
import { Explore } from "./Explore.tsx";
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
  ["← → ↑ ↓", "siblings, caller and callee in the flame graph"],
  ["Enter", "focus on the call"],
  ["Esc", "one call up"],
  ["Home", "everything"],
  ["+ − 0", "zoom in, out, fit; with Ctrl the wheel zooms"],
  ["Shift ← →, drag", "pan"],
  ["/", "search; n and N go through the matches"],
  ["1 … 6", "flame graph, functions, call tree, callers and callees, labels, profiles"],
  ["s", "callers and callees of the chosen function"],
  ["i", "upside down: callees first"],
  ["r", "collapse recursion"],
  ["o x h", "only stacks with the function, without them, merge it into its callers"],
  ["c", "compare with the previous period"],
  ["t", "time"],
  ["[ ]", "one window earlier, later"],
  ["y Y", "copy the link; with times that stay"],
  ["e", "export"],
  ["?", "this list"],
];

/** Header, navigation and dialogs around every screen. */
export function Shell(): ReactNode {
  const { state, go, refresh, client, can, cannot, range } = useApp();
  // A multi-tenant server refuses requests without a tenant, also the request for its capabilities.
  const noTenant = cannot?.error instanceof ApiError && /no org id/.test(cannot.error.message);
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
    copy(
      addressOf(state),
      hasRelativeTime(state)
        ? "The link is copied. Its times count from when it is opened."
        : "The link is copied.",
      true,
    );
  const copyFixed = (): Promise<void> =>
    copy(addressOf(withAbsoluteTimes(state, range)), "The link is copied, with times that stay.");
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
        "The short link is copied.",
      );
    } catch (err) {
      setSaid({ text: `Creating a short link failed: ${(err as Error).message}` });
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
        Skip to the content
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
            Refresh
          </label>
          <select
            id="refresh"
            value={state.refresh}
            onChange={(e) => go({ refresh: Number(e.target.value) }, true)}
          >
            <option value={0}>when asked</option>
            <option value={15}>every 15 s</option>
            <option value={60}>every minute</option>
            <option value={300}>every 5 min</option>
            {[0, 15, 60, 300].includes(state.refresh) ? null : (
              <option value={state.refresh}>every {state.refresh} s</option>
            )}
          </select>
          <button type="button" onClick={refresh} aria-label="Refresh now" title="Refresh now">
            ⟳
          </button>
          <button type="button" onClick={() => void copyLink()} title="Copy the link (y)">
            Copy link
          </button>
          <button type="button" aria-label="Settings" title="Settings" onClick={() => setSettings(true)}>
            ⚙
          </button>
          <button type="button" aria-label="Keyboard" title="Keyboard (?)" onClick={() => setHelp(true)}>
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
                Copy with times that stay
              </button>
            ) : null}
            <button type="button" onClick={() => void copyShort()}>
              Copy a short link
            </button>
          </>
        ) : null}
      </div>
      {shown !== "" ? (
        <Dialog title="The link" onClose={() => setShown("")}>
          <p>The browser does not allow copying: copy the link from here.</p>
          <input readOnly value={shown} aria-label="The link" size={60} ref={(e) => e?.select()} />
        </Dialog>
      ) : null}
      {help ? (
        <Dialog title="Keyboard" onClose={() => setHelp(false)}>
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
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
        <label>
          Colors of a comparison
          <select
            value={state.palette}
            onChange={(e) => go({ palette: e.target.value as typeof state.palette }, true)}
          >
            <option>blue-orange</option>
            <option>purple-green</option>
            <option>red-green</option>
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
          Only a server with access tokens needs one. The browser keeps the token until this tab is closed.
        </p>
        <button type="submit">Done</button>
      </form>
    </Dialog>
  );
}
