import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { BASE_URL, Client } from "../api/client.ts";
import type { Capabilities, Selection } from "../api/types.ts";
import { selectorOf } from "./selector.ts";
import { withChange, decodeState, encodeState, type Side, type State } from "./state.ts";
import { resolveTime } from "./time.ts";

export interface App {
  state: State;
  /**
   * Changes the state: a decision adds an entry to the browser's history, a refinement (`replace`) does not.
   */
  go: (change: Partial<State> | ((s: State) => Partial<State>), replace?: boolean) => void;
  /** time of `now` until the next refresh */
  nowMs: number;
  /** moves `now` to the current time, which repeats relative queries */
  refresh: () => void;
  client: Client;
  can: Capabilities | undefined;
  /** why the capabilities are unknown */
  cannot: { error: unknown; retry: () => void } | undefined;
  /** [from, until] of a side in milliseconds; undefined if a time is invalid */
  range: (side: Side) => [fromMs: number, untilMs: number] | undefined;
  selection: (side: Side) => Selection | undefined;
}

const Context = createContext<App | undefined>(undefined);
export function useApp(): App {
  return useContext(Context)!;
}

const lastPart = (): string => location.pathname.slice(BASE_URL.pathname.length).replace(/\/$/, "");
const read = (): State => decodeState(lastPart(), location.search);
/** The absolute address of a state, as in the address bar. */
export function addressOf(s: State): string {
  return new URL(encodeState(s), BASE_URL).href;
}

export function AppProvider({ children }: { children: ReactNode }): ReactNode {
  const [state, setState] = useState(read);
  const [nowMs, setNow] = useState(() => Date.now());

  useEffect(() => {
    // Replaces an old address by the current address of the same state.
    history.replaceState(null, "", addressOf(read()));
    const back = (): void => setState(read());
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);

  const go = useCallback<App["go"]>((change, replace = false) => {
    setState((s) => {
      const next = withChange(s, typeof change === "function" ? change(s) : change);
      const url = addressOf(next);
      if (url !== location.href) history[replace ? "replaceState" : "pushState"](null, "", url);
      return next;
    });
  }, []);
  const refresh = useCallback(() => setNow(Date.now()), []);
  useEffect(() => {
    if (state.refresh <= 0) return;
    const timer = setInterval(refresh, Math.max(5, state.refresh) * 1000);
    return () => clearInterval(timer);
  }, [state.refresh, refresh]);

  const client = useMemo(() => new Client(state.tenant), [state.tenant]);
  const asked = useQuery({
    queryKey: ["capabilities", state.tenant],
    queryFn: ({ signal }) => client.capabilities(signal),
    staleTime: Infinity,
  });
  const can = asked.data,
    { error, refetch } = asked;
  const cannot = useMemo(
    () => (error ? { error: error as unknown, retry: () => void refetch() } : undefined),
    [error, refetch],
  );

  const app = useMemo<App>(() => {
    const range: App["range"] = (side) => {
      try {
        const a = resolveTime(side.from, nowMs, state.zone),
          b = resolveTime(side.until, nowMs, state.zone);
        return a < b ? [a, b] : undefined;
      } catch {
        return undefined;
      }
    };
    return {
      state,
      go,
      nowMs,
      refresh,
      client,
      can,
      cannot,
      range,
      selection: (side) => {
        const r = range(side);
        return (
          r && {
            type: state.type,
            selector: selectorOf(side.selector),
            startMs: Math.round(r[0]),
            endMs: Math.round(r[1]),
            stacks: state.stacks,
            profileIds: state.profile !== "" && side === state.side ? [state.profile] : [],
          }
        );
      },
    };
  }, [state, go, nowMs, refresh, client, can, cannot]);
  return <Context value={app}>{children}</Context>;
}
