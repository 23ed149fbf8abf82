import { type ReactNode, useId, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useApp } from "../state/app.tsx";
import { type Matcher, type Operator, selectorOf } from "../state/selector.ts";
import type { Side } from "../state/state.ts";
import { Dialog } from "./Dialog.tsx";

/** Dialog for one label matcher: its label, operator and value, with the values of the selection. */
export function LabelDialog({
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
