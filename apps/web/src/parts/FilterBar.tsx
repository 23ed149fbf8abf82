import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import {
  invertMatcher,
  type Matcher,
  matcherText,
  parseSelector,
  type SelectorError,
  selectorText,
  withMatcher,
} from "../state/selector.ts";
import type { Side } from "../state/state.ts";
import { Chip } from "./Chips.tsx";
import { IconButton } from "./Controls.tsx";
import { Icon } from "./Icon.tsx";
import { LabelDialog } from "./LabelDialog.tsx";

/** Whether a matcher is what the service picker shows. */
function isService(m: Matcher): boolean {
  return m.name === "service_name" && m.op === "=";
}

/**
 * The filters of a side in one row: label matchers as tokens, or as a text that runs with Enter. An unreadable
 * text never runs.
 */
export function FilterBar({
  side,
  matchers = side.selector,
  onChange,
  name,
  hidesService = false,
  children,
}: {
  /** selection whose label values are offered */
  side: Side;
  /** edited matchers: those of the side, or a part of them */
  matchers?: Matcher[];
  onChange: (matchers: Matcher[]) => void;
  name: string;
  /** the service stands in a picker next to this row */
  hidesService?: boolean;
  /** further tokens */
  children?: ReactNode;
}): ReactNode {
  const [asText, setAsText] = useState(false),
    [adding, setAdding] = useState<Matcher | "new">();
  return (
    <div className="filter-bar">
      <Icon name="filter" />
      {asText ? (
        <QueryText text={selectorText(matchers)} name={name} onRun={onChange} />
      ) : (
        <div className="tokens">
          <ul className="chips" aria-label={`Labels ${name}`.trim()}>
            {matchers.map((m, i) =>
              hidesService && isService(m) ? null : (
                <Chip
                  key={`${matcherText(m)}${i}`}
                  kind="label"
                  text={matcherText(m)}
                  onRemove={() => onChange(matchers.filter((_, k) => k !== i))}
                  onInvert={() => onChange(matchers.map((x, k) => (k === i ? invertMatcher(x) : x)))}
                  onEdit={() => setAdding(m)}
                />
              ),
            )}
          </ul>
          {children}
          <button type="button" className="chip-add" onClick={() => setAdding("new")}>
            Add filter
          </button>
        </div>
      )}
      <IconButton
        icon="code"
        name={asText ? `Show filters ${name}`.trim() : `Edit as text ${name}`.trim()}
        pressed={asText}
        onClick={() => setAsText(!asText)}
      />
      {adding ? (
        <LabelDialog
          side={side}
          initial={adding === "new" ? undefined : adding}
          onClose={() => setAdding(undefined)}
          onPick={(m) => {
            onChange(
              adding === "new" ? withMatcher(matchers, m) : matchers.map((x) => (x === adding ? m : x)),
            );
            setAdding(undefined);
          }}
        />
      ) : null}
    </div>
  );
}

/** Matchers as a text; a problem is marked below the field, at its position. */
function QueryText({
  text,
  name,
  onRun,
}: {
  text: string;
  name: string;
  onRun: (matchers: Matcher[]) => void;
}): ReactNode {
  const [draft, setDraft] = useState(text),
    [problem, setProblem] = useState<SelectorError>(),
    input = useRef<HTMLInputElement>(null),
    id = useId();
  useEffect(() => {
    setDraft(text);
    setProblem(undefined);
  }, [text]);
  const run = (): void => {
    try {
      const m = parseSelector(draft);
      setProblem(undefined);
      onRun(m);
    } catch (err) {
      const e = err as SelectorError;
      setProblem(e);
      input.current?.setSelectionRange(e.at, e.at + 1);
    }
  };
  return (
    <form
      className="query"
      onSubmit={(e) => {
        e.preventDefault();
        run();
      }}
    >
      <label htmlFor={id} className="sr">
        Query {name}
      </label>
      <input
        ref={input}
        id={id}
        value={draft}
        autoFocus
        spellCheck={false}
        autoComplete="off"
        placeholder={'service_name="…", pod!="…"'}
        aria-invalid={problem !== undefined}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onChange={(e) => setDraft(e.target.value)}
      />
      <button type="submit" className="sr">
        Run
      </button>
      {problem ? (
        <p id={`${id}-problem`} className="problem floating" role="alert">
          {problem.message}
          <code>
            {draft.slice(0, problem.at)}
            <mark>{draft[problem.at] ?? "␣"}</mark>
            {draft.slice(problem.at + 1)}
          </code>
        </p>
      ) : null}
    </form>
  );
}
