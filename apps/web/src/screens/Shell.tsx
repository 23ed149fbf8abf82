import { lazy, type ReactNode, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { toCompareScreen } from "../state/compare.ts";
import { encodeState, initialState, type Screen, type State } from "../state/state.ts";
import { addressOf, useApp } from "../state/app.tsx";
import { withAbsoluteTimes, hasRelativeTime, newShortId, shortAddress } from "../state/links.ts";
import { BASE_URL, tokenStore } from "../api/client.ts";
import { copyText } from "../parts/clipboard.ts";
import { IconButton } from "../parts/Controls.tsx";
import { Icon } from "../parts/Icon.tsx";
import { ShellActions, TopBar } from "../parts/TopBar.tsx";
import { applyTheme, savedTheme, type ThemeChoice, useTheme } from "../parts/theme.ts";
import { ApiError } from "../api/types.ts";
import { SignIn } from "../parts/SignIn.tsx";
import { Failure, Loading } from "../parts/Failure.tsx";
import { Dialog } from "../parts/Dialog.tsx";
import { Services } from "./Services.tsx";
import { Explore } from "./Explore.tsx";
import { PANES } from "../parts/ViewBar.tsx";

/** Screens that load when they are opened. */
const Files = lazy(() => import("./Files.tsx").then((m) => ({ default: m.Files }))),
  Status = lazy(() => import("./Status.tsx").then((m) => ({ default: m.Status })));

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
  ["b", "Table of functions next to the view"],
  ["d", "Details of the selected function"],
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
  const { state, go, client, cannot, range } = useApp(),
    theme = useTheme();
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
  const latest = useRef(copyLink);
  latest.current = copyLink;
  const actions = useMemo(() => ({ copyLink: () => void latest.current() }), []);
  // Explore and Compare fill the window and never scroll as a page.
  const fixed = !cannot && (state.screen === "explore" || state.screen === "compare");
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
    screen === "compare"
      ? toCompareScreen(state)
      : // The search of functions is no search of services.
        { screen, ...(screen === "services" ? { search: "" } : {}) };
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
      <header className="rail">
        <a
          className="brand"
          href={link("services")}
          aria-label="Cinderblock"
          title="Cinderblock"
          onClick={(e) => {
            e.preventDefault();
            go({ screen: "services", fn: "" });
          }}
        >
          <img src="./icon.svg" alt="" width="24" height="24" />
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
              <Icon name={screen} size={20} />
              {name}
            </a>
          ))}
        </nav>
        <div className="rail-end">
          <IconButton icon="keyboard" name="Keyboard shortcuts" shortcut="?" onClick={() => setHelp(true)} />
          <IconButton
            icon={theme === "dark" ? "sun" : "moon"}
            name={theme === "dark" ? "Light theme" : "Dark theme"}
            onClick={() => applyTheme(theme === "dark" ? "light" : "dark")}
          />
          <IconButton icon="settings" name="Settings" onClick={() => setSettings(true)} />
        </div>
      </header>
      <ShellActions value={actions}>
        <main id="main" tabIndex={-1} className={fixed ? "fixed" : undefined}>
          <Suspense fallback={<Loading active />}>
            {state.screen === "status" ? (
              <Status />
            ) : cannot ? (
              <>
                <TopBar>
                  <h1>{SCREENS.find(([x]) => x === state.screen)![1]}</h1>
                  <span className="grow" />
                </TopBar>
                <div className="page">
                  {cannot.error instanceof ApiError &&
                  cannot.error.status === 401 &&
                  cannot.error.condition !== "no-tenant" ? (
                    <SignIn onToken={cannot.retry} />
                  ) : (
                    <Failure error={cannot.error} retry={cannot.retry} />
                  )}
                </div>
              </>
            ) : state.screen === "services" ? (
              <Services />
            ) : state.screen === "files" ? (
              <Files />
            ) : (
              <Explore compare={state.screen === "compare"} />
            )}
          </Suspense>
        </main>
      </ShellActions>
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
