import { type ReactNode, useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { Client, tokenStore } from "../api/client.ts";
import { ApiError } from "../api/types.ts";
import { Failure } from "../parts/Failure.tsx";
import { addressOf } from "../state/app.tsx";
import { parseShortAddress, stateOfStored } from "../state/links.ts";

/** Screen of an address; first resolves a short link to its stored address. */
export function AddressScreen({ children }: { children: ReactNode }): ReactNode {
  const [short] = useState(() => parseShortAddress(location.search)),
    [open, setOpen] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: ["short-link", short],
    enabled: short !== undefined && !open,
    queryFn: async ({ signal }) => {
      const stored = await new Client(short!.tenant).shortLink(short!.id, signal);
      if (stored === undefined)
        throw new ApiError(
          `There is no short link ${short!.id} here. Another tenant has it, or the server deleted it with the oldest links.`,
          404,
          "not_found",
        );
      return stored;
    },
  });
  useEffect(() => {
    if (data === undefined) return;
    history.replaceState(null, "", addressOf(stateOfStored(data)));
    setOpen(true);
  }, [data]);
  if (!short || open) return children;
  return (
    <main id="main">
      <h1 className="sr">Cinderblock</h1>
      {error ? (
        <>
          <Failure error={error} retry={() => void refetch()} />
          {error instanceof ApiError && error.status === 401 ? (
            <TokenForm onToken={() => void refetch()} />
          ) : null}
          <p>
            <a href="./">To all services</a>
          </p>
        </>
      ) : (
        <p role="status">Opening the short link…</p>
      )}
    </main>
  );
}

/**
 * Token form for a server that requires a token before it resolves the link: settings are not available yet.
 */
function TokenForm({ onToken }: { onToken: () => void }): ReactNode {
  const [secret, setSecret] = useState(tokenStore.get());
  return (
    <form
      className="settings"
      onSubmit={(e) => {
        e.preventDefault();
        tokenStore.set(secret);
        onToken();
      }}
    >
      <label>
        Token
        <input
          type="password"
          value={secret}
          autoComplete="off"
          onChange={(e) => setSecret(e.target.value)}
        />
      </label>
      <button type="submit">Sign in</button>
    </form>
  );
}
