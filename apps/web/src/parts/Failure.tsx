import type { ReactNode } from "react";
import { ApiError } from "../api/types.ts";

/** An error: the server's message, and the next step. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }): ReactNode {
  const e =
    error instanceof ApiError
      ? error
      : new ApiError(error instanceof Error ? error.message : String(error), -1, "");
  return (
    <div className="failure" role="alert">
      <strong>
        {e.status === 504 ? "Query timed out" : e.status === 0 ? "Cannot reach the server" : "Query failed"}
      </strong>
      <p className="failure-message">{e.message}</p>
      <p>
        {e.next}
        {e.status > 0 ? (
          <span className="quiet">
            {" "}
            (HTTP {e.status}
            {e.code !== "" ? `, ${e.code}` : ""})
          </span>
        ) : null}
      </p>
      {retry ? (
        <button type="button" onClick={retry}>
          Retry
        </button>
      ) : null}
    </div>
  );
}

/** A failed refresh over data that stays: what happened, and a retry. */
export function Banner({ error, retry }: { error: unknown; retry: () => void }): ReactNode {
  const lost = error instanceof ApiError && error.status === 0;
  return (
    <div className="banner" role="alert">
      <span>
        <strong>{lost ? "Connection lost." : "Refresh failed."}</strong> Showing the last answer.{" "}
        {lost ? null : <span className="quiet">{(error as Error).message}</span>}
      </span>
      <button type="button" onClick={retry}>
        Retry
      </button>
    </div>
  );
}

/** Badge of a partial answer; its reason opens below it. */
export function PartialNotice({ reason }: { reason: string }): ReactNode {
  return reason === "" ? null : (
    <details className="notice" role="status">
      <summary>Partial answer</summary>
      <p>This answer is not complete: {reason}</p>
    </details>
  );
}

export function Loading({ active }: { active: boolean }): ReactNode {
  return (
    <div
      className={active ? "progress active" : "progress"}
      role="progressbar"
      aria-label="Loading"
      aria-hidden={!active}
    />
  );
}
