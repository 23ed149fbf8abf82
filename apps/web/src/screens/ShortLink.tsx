import { type ReactNode, useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { Client } from "../api/client.ts";
import { ApiError } from "../api/types.ts";
import { SignIn } from "../parts/SignIn.tsx";
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
          {error instanceof ApiError && error.status === 401 ? (
            <SignIn onToken={() => void refetch()} />
          ) : (
            <Failure error={error} retry={() => void refetch()} />
          )}
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
