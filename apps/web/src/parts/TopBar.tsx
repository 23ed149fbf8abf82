import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { useApp } from "../state/app.tsx";
import { ApiError } from "../api/types.ts";
import { IconButton } from "./Controls.tsx";

/** Actions of the shell for the bars of the screens. */
export const ShellActions = createContext<{ copyLink: () => void }>({ copyLink: () => undefined });

/** The bar above a screen: its controls, and on the right refresh and sharing. */
export function TopBar({
  children,
  primary,
}: {
  children: ReactNode;
  /** the main action, between refresh and sharing */
  primary?: ReactNode;
}): ReactNode {
  const { can, cannot, state } = useApp(),
    { copyLink } = useContext(ShellActions);
  // A multi-tenant server refuses requests without a tenant, also the request for its capabilities.
  const noTenant = cannot?.error instanceof ApiError && cannot.error.condition === "no-tenant";
  return (
    <div className="top">
      {can?.multitenancy || state.tenant !== "" || noTenant ? <TenantField /> : null}
      {children}
      <RefreshSplit />
      {primary}
      <IconButton icon="share" name="Copy link" shortcut="y" onClick={copyLink} />
    </div>
  );
}

/** Refresh now, and the interval of refreshes. */
function RefreshSplit(): ReactNode {
  const { state, go, refresh } = useApp();
  return (
    <span className="split">
      <IconButton icon="refresh" name="Refresh" onClick={refresh} />
      <label className="sr" htmlFor="refresh">
        Auto-refresh
      </label>
      <select
        id="refresh"
        title="Auto-refresh"
        value={state.refresh}
        onChange={(e) => go({ refresh: Number(e.target.value) }, true)}
      >
        <option value={0}>Off</option>
        <option value={15}>15 s</option>
        <option value={60}>1 min</option>
        <option value={300}>5 min</option>
        {[0, 15, 60, 300].includes(state.refresh) ? null : (
          <option value={state.refresh}>{state.refresh} s</option>
        )}
      </select>
    </span>
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
      className="tenant"
      onSubmit={(e) => {
        e.preventDefault();
        take();
      }}
    >
      <label className="sr" htmlFor="tenant">
        Tenant
      </label>
      <input
        id="tenant"
        value={draft}
        placeholder="Tenant: a or a|b"
        title="Tenant; several are joined with |"
        size={12}
        onChange={(e) => setDraft(e.target.value)}
        onBlur={take}
      />
    </form>
  );
}
