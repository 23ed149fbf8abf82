import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useApp } from "../state/app.tsx";
import { hiddenOf, FILTER_PRESETS } from "../state/presets.ts";
import {
  invertMatcher,
  type Matcher,
  matcherText,
  type Operator,
  parseSelector,
  type SelectorError,
  selectorOf,
  selectorText,
  withMatcher,
} from "../state/selector.ts";
import type { Side, StackFilters } from "../state/state.ts";
import { Dialog } from "./Dialog.tsx";

/** One filter: removable, invertible where inversion makes sense, reachable by keyboard. */
function Chip({
  kind,
  text,
  onRemove,
  onInvert,
  onEdit,
}: {
  kind: string;
  text: string;
  onRemove: () => void;
  onInvert?: () => void;
  onEdit?: () => void;
}): ReactNode {
  return (
    <li className={`chip chip-${kind}`}>
      {onEdit ? (
        <button type="button" className="chip-text" onClick={onEdit} title="Edit">
          {text}
        </button>
      ) : (
        <span className="chip-text">{text}</span>
      )}
      {onInvert ? (
        <button type="button" aria-label={`Invert ${text}`} title="Invert" onClick={onInvert}>
          ≠
        </button>
      ) : null}
      <button type="button" aria-label={`Remove ${text}`} title="Remove" onClick={onRemove}>
        ✕
      </button>
    </li>
  );
}

/** The labels of a side as chips and as text: two views of one value. An unreadable text never runs. */
export function SelectorBar({
  side,
  onChange,
  name,
}: {
  side: Side;
  onChange: (matchers: Matcher[]) => void;
  name: string;
}): ReactNode {
  const text = selectorText(side.selector);
  const [draft, setDraft] = useState(text);
  const [problem, setProblem] = useState<SelectorError>();
  const [adding, setAdding] = useState<Matcher | "new">();
  const input = useRef<HTMLInputElement>(null),
    id = useId();
  useEffect(() => {
    setDraft(text);
    setProblem(undefined);
  }, [text]);
  const run = (): void => {
    try {
      const m = parseSelector(draft);
      setProblem(undefined);
      onChange(m);
    } catch (err) {
      const e = err as SelectorError;
      setProblem(e);
      input.current?.setSelectionRange(e.at, e.at + 1);
    }
  };
  return (
    <div className="selector">
      <ul className="chips" aria-label={`Labels ${name}`}>
        {side.selector.map((m, i) => (
          <Chip
            key={`${matcherText(m)}${i}`}
            kind="label"
            text={matcherText(m)}
            onRemove={() => onChange(side.selector.filter((_, k) => k !== i))}
            onInvert={() => onChange(side.selector.map((x, k) => (k === i ? invertMatcher(x) : x)))}
            onEdit={() => setAdding(m)}
          />
        ))}
        <li>
          <button type="button" className="chip-add" onClick={() => setAdding("new")}>
            + label
          </button>
        </li>
      </ul>
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
          spellCheck={false}
          autoComplete="off"
          placeholder={'service_name="…", pod!="…"'}
          aria-invalid={problem !== undefined}
          aria-describedby={problem ? `${id}-problem` : undefined}
          onChange={(e) => setDraft(e.target.value)}
        />
        <button type="submit">Run</button>
      </form>
      {problem ? (
        <p id={`${id}-problem`} className="problem" role="alert">
          {problem.message}
          <code>
            {draft.slice(0, problem.at)}
            <mark>{draft[problem.at] ?? "␣"}</mark>
            {draft.slice(problem.at + 1)}
          </code>
        </p>
      ) : null}
      {adding ? (
        <LabelDialog
          side={side}
          initial={adding === "new" ? undefined : adding}
          onClose={() => setAdding(undefined)}
          onPick={(m) => {
            onChange(
              adding === "new"
                ? withMatcher(side.selector, m)
                : side.selector.map((x) => (x === adding ? m : x)),
            );
            setAdding(undefined);
          }}
        />
      ) : null}
    </div>
  );
}

function LabelDialog({
  side,
  initial,
  onClose,
  onPick,
}: {
  side: Side;
  initial: Matcher | undefined;
  onClose: () => void;
  onPick: (m: Matcher) => void;
}): ReactNode {
  const { client, range, state, can } = useApp();
  const [name, setName] = useState(initial?.name ?? ""),
    [op, setOp] = useState<Operator>(initial?.op ?? "="),
    [value, setValue] = useState(initial?.value ?? "");
  const r = range(side),
    id = useId();
  const matchers = [
    selectorOf([
      ...side.selector.filter((m) => m !== initial && m.name !== name),
      { name: "__profile_type__", op: "=", value: state.type },
    ]),
  ];
  const names = useQuery({
    queryKey: ["names", state.tenant, matchers, r],
    enabled: r !== undefined,
    queryFn: ({ signal }) => client.labelNames(matchers, ...r!, signal),
  });
  const prefix = op === "=" || op === "!=" ? value : "";
  const values = useQuery({
    queryKey: ["counts", state.tenant, name, prefix, matchers, r],
    enabled: r !== undefined && name !== "" && can?.explore === true,
    queryFn: ({ signal }) =>
      client.labelCounts(name, prefix === initial?.value ? "" : prefix, matchers, ...r!, 200, signal),
  });
  return (
    <Dialog title={initial ? "Edit label" : "Filter by label"} onClose={onClose}>
      <form
        className="label-form"
        onSubmit={(e) => {
          e.preventDefault();
          if (name !== "") onPick({ name, op, value });
        }}
      >
        <label>
          Label
          <input
            list={`${id}-names`}
            value={name}
            autoFocus={!initial}
            onChange={(e) => setName(e.target.value)}
          />
        </label>
        <datalist id={`${id}-names`}>
          {(names.data ?? []).map((n) => (
            <option key={n} value={n} />
          ))}
        </datalist>
        <label>
          Operator
          <select value={op} onChange={(e) => setOp(e.target.value as Operator)}>
            <option>=</option>
            <option>!=</option>
            <option>=~</option>
            <option>!~</option>
          </select>
        </label>
        <label>
          Value
          <input value={value} onChange={(e) => setValue(e.target.value)} />
        </label>
        <button type="submit" disabled={name === ""}>
          {initial ? "Change" : "Add"}
        </button>
      </form>
      {name === "" ? (
        <ul className="pick" aria-label="Label names">
          {(names.data ?? []).map((n) => (
            <li key={n}>
              <button type="button" onClick={() => setName(n)}>
                {n}
              </button>
            </li>
          ))}
        </ul>
      ) : (
        <>
          <p className="quiet">
            {values.data
              ? `${values.data.cardinality} values of ${name}${values.data.values.length < values.data.cardinality ? `, the first ${values.data.values.length} shown: type a prefix` : ""}`
              : "…"}
          </p>
          <ul className="pick" aria-label={`Values of ${name}`}>
            {(values.data?.values ?? []).map((v) => (
              <li key={v.value}>
                <button
                  type="button"
                  onClick={() =>
                    onPick({ name, op: op === "!=" || op === "!~" ? "!=" : "=", value: v.value })
                  }
                >
                  {v.value}
                  <span className="quiet"> {v.series} series</span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}

/** Menu of frequent function filters; each choice adds ordinary chips. */
export function FilterPresets(): ReactNode {
  const { state, go } = useApp();
  const { stacks } = state,
    hidden = (patterns: readonly string[]): boolean => patterns.every((p) => stacks.hide.includes(p));
  return (
    <select
      className="presets"
      aria-label="Hide frames"
      value=""
      onChange={(e) => {
        const chosen = FILTER_PRESETS.find(([name]) => name === e.target.value);
        if (chosen)
          go({
            stacks: { ...stacks, hide: [...stacks.hide.filter((h) => !chosen[1].includes(h)), ...chosen[1]] },
          });
      }}
    >
      <option value="">Hide frames…</option>
      {FILTER_PRESETS.map(([name, patterns]) => (
        <option key={name} value={name} disabled={hidden(patterns)}>
          {name}
        </option>
      ))}
    </select>
  );
}

/** Filters of stacks: the focused path and filters of functions. */
export function StackChips(): ReactNode {
  const { state, go, can } = useApp();
  const { stacks } = state;
  const filters = stacks.only.length + stacks.without.length + stacks.hide.length;
  const set = (change: Partial<StackFilters>): void => go({ stacks: { ...stacks, ...change } });
  const without = (list: string[], f: string): string[] => list.filter((x) => x !== f);
  if (stacks.callSite.length + filters === 0 && state.profile === "") return null;
  return (
    <ul className="chips" aria-label="Stacks">
      {state.profile !== "" ? (
        <Chip
          kind="profile"
          text={`Profile ${state.profile.slice(0, 8)}`}
          onRemove={() => go({ profile: "" })}
        />
      ) : null}
      {stacks.callSite.length > 0 ? (
        <Chip
          kind="path"
          text={`Focus: ${stacks.callSite.length > 2 ? "… › " : ""}${stacks.callSite.slice(-2).join(" › ")}`}
          onRemove={() => set({ callSite: [] })}
        />
      ) : null}
      {stacks.only.map((f) => (
        <Chip
          key={f}
          kind="frame"
          text={`Contains ${f}`}
          onRemove={() => set({ only: without(stacks.only, f) })}
          onInvert={() => set({ only: without(stacks.only, f), without: [...stacks.without, f] })}
        />
      ))}
      {stacks.without.map((f) => (
        <Chip
          key={f}
          kind="frame"
          text={`Excludes ${f}`}
          onRemove={() => set({ without: without(stacks.without, f) })}
          onInvert={() => set({ without: without(stacks.without, f), only: [...stacks.only, f] })}
        />
      ))}
      {hiddenOf(stacks.hide).map(({ name, frames }) => (
        <Chip
          key={name}
          kind="frame"
          text={`Hidden: ${name}`}
          onRemove={() => set({ hide: stacks.hide.filter((f) => !frames.includes(f)) })}
        />
      ))}
      {can?.explore === false && filters > 0 ? (
        <li className="quiet">Not applied: a plain Pyroscope v1 has no function filters</li>
      ) : null}
    </ul>
  );
}
