import { type ReactNode, useState } from "react";
import { tokenStore } from "../api/client.ts";

/** Card that asks for a token where the server refuses requests without one; the address stays. */
export function SignIn({ onToken }: { onToken: () => void }): ReactNode {
  const [secret, setSecret] = useState(tokenStore.get()),
    [keep, setKeep] = useState(false);
  return (
    <form
      className="card sign-in"
      aria-label="Sign in"
      onSubmit={(e) => {
        e.preventDefault();
        tokenStore.set(secret.trim(), keep);
        onToken();
      }}
    >
      <h2>Sign in</h2>
      <p role="alert">
        {tokenStore.get() === "" ? "" : "The server refused this token. "}Sign in with a token that has the
        read role.
      </p>
      <label>
        Token
        <input
          type="password"
          value={secret}
          autoFocus
          autoComplete="off"
          onChange={(e) => setSecret(e.target.value)}
        />
      </label>
      <label className="check">
        <input type="checkbox" checked={keep} onChange={(e) => setKeep(e.target.checked)} />
        Keep me signed in on this device
      </label>
      <button type="submit" className="primary">
        Sign in
      </button>
    </form>
  );
}
