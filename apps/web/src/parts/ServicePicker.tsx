import { type ReactNode, useId, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { useApp } from "../state/app.tsx";
import { withMatcher } from "../state/selector.ts";
import { initialState } from "../state/state.ts";
import { firstType } from "../state/type-names.ts";
import { plural } from "../state/words.ts";
import { Icon } from "./Icon.tsx";
import { Popover } from "./Popover.tsx";

/** Number of listed services: a longer list is searched. */
const SHOWN = 100;

/** The service of the selection, and a searchable list of all services of the time range. */
export function ServicePicker(): ReactNode {
  const { state } = useApp();
  const service = state.side.selector.find((m) => m.name === "service_name" && m.op === "=")?.value;
  return (
    <Popover
      name="Services"
      className="service-picker"
      label={
        <>
          <Icon name="server" />
          <span className="ellipsis">
            <span className="sr">Service: </span>
            {service ?? "Choose a service"}
          </span>
          <Icon name="down" size={12} />
        </>
      }
    >
      {(close) => <ServiceList onDone={close} current={service} />}
    </Popover>
  );
}

/** Search field and list of services; arrow keys choose, Enter opens. */
function ServiceList({ onDone, current }: { onDone: () => void; current: string | undefined }): ReactNode {
  const { state, go, client, range } = useApp(),
    r = range(state.side),
    [search, setSearch] = useState(""),
    [at, setAt] = useState(0),
    id = useId();
  const services = useQuery<ReadonlyMap<string, readonly string[]>>({
    queryKey: ["service types", client.tenant, r],
    enabled: r !== undefined,
    queryFn: ({ signal }) => client.serviceTypes(Math.round(r![0]), Math.round(r![1]), signal),
  });
  const all = [...(services.data?.keys() ?? [])]
      .filter((n) => n.toLowerCase().includes(search.toLowerCase()))
      .sort((a, b) => a.localeCompare(b)),
    shown = all.slice(0, SHOWN);
  const pick = (name: string | undefined): void => {
    if (name === undefined) return;
    const types = services.data?.get(name) ?? [];
    go({
      type: types.length === 0 || types.includes(state.type) ? state.type : firstType(types)!,
      side: {
        ...state.side,
        selector: withMatcher(state.side.selector, { name: "service_name", op: "=", value: name }),
      },
      stacks: initialState.stacks,
      fn: "",
    });
    onDone();
  };
  return (
    <>
      <input
        type="search"
        role="combobox"
        aria-label="Search services"
        aria-expanded="true"
        aria-controls={`${id}-list`}
        aria-activedescendant={shown[at] === undefined ? undefined : `${id}-${at}`}
        placeholder="Search services"
        autoFocus
        value={search}
        onChange={(e) => {
          setSearch(e.target.value);
          setAt(0);
        }}
        onKeyDown={(e) => {
          const by = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
          if (by !== 0) setAt(Math.max(0, Math.min(shown.length - 1, at + by)));
          else if (e.key === "Enter") pick(shown[at]);
          else return;
          e.preventDefault();
        }}
      />
      <ul id={`${id}-list`} className="pick" role="listbox" aria-label="Services">
        {shown.map((name, i) => (
          <li
            key={name}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === at}
            aria-current={name === current}
            onClick={() => pick(name)}
          >
            {name}
          </li>
        ))}
      </ul>
      <p className="quiet">
        {services.data
          ? all.length > shown.length
            ? `${shown.length} of ${plural(all.length, "service")}`
            : plural(all.length, "service")
          : "…"}
      </p>
    </>
  );
}
