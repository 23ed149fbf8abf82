import type { ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { formatShare, formatValue, sidesOf } from "@cinderblock/flame";
import type { FunctionFile } from "../api/types.ts";
import { useValueUnit } from "../api/use-timeline.ts";
import { useApp } from "../state/app.tsx";
import { changeTexts, type ComparisonFigures } from "../state/compare.ts";
import { sourceLink } from "../state/source-link.ts";
import { plural } from "../state/words.ts";
import { CopyButton } from "./CopyButton.tsx";
import { useFunctionRow } from "./function-row.ts";
import { Icon } from "./Icon.tsx";
import type { PaneProps } from "./tree.ts";

const V1_FILTERS = "A plain Pyroscope v1 has no callers & callees and no function filters.";
/** Maximum number of shown lines of a file: those with the largest values, in line order. */
const LINES_SHOWN = 12,
  FILES_SHOWN = 3;

/** The last three parts of a longer path, since the end is the most specific part. */
function shortName(filename: string): string {
  const parts = filename.split(/[/\\]/);
  return parts.length > 3 ? `…/${parts.slice(-3).join("/")}` : filename;
}

function SourceFile({
  file,
  format,
  share,
}: {
  file: FunctionFile;
  format: (v: number) => string;
  share: (v: number) => string;
}): ReactNode {
  const first = file.lines.find((l) => l.line > 0)?.line ?? 0,
    at = file.startLine > 0 ? file.startLine : first,
    link = sourceLink(file.filename, at, file.buildId),
    name = `${shortName(file.filename)}${at > 0 ? `:${at}` : ""}`;
  const shown = [...file.lines]
    .sort((a, b) => b.total - a.total)
    .slice(0, LINES_SHOWN)
    .sort((a, b) => a.line - b.line);
  return (
    <section className="source">
      <h3 title={file.filename}>
        {link ? (
          <a href={link} target="_blank" rel="noreferrer">
            {name}
          </a>
        ) : (
          name
        )}
      </h3>
      {shown.some((l) => l.line > 0) ? (
        <table>
          <thead>
            <tr>
              <th>Line</th>
              <th>Self</th>
              <th>Total</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((l) => {
              const to = l.line > 0 ? sourceLink(file.filename, l.line, file.buildId) : undefined,
                no = l.line > 0 ? String(l.line) : "?";
              return (
                <tr
                  key={l.line}
                  style={{
                    background: `linear-gradient(to right, color-mix(in srgb, var(--mark) 40%, transparent) ${share(l.total)}, transparent 0)`,
                  }}
                >
                  <td>
                    {to ? (
                      <a href={to} target="_blank" rel="noreferrer">
                        {no}
                      </a>
                    ) : (
                      no
                    )}
                  </td>
                  <td>{format(l.self)}</td>
                  <td>{format(l.total)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      ) : null}
      {file.lines.length > shown.length ? (
        <p className="quiet">and {plural(file.lines.length - shown.length, "line")} with less</p>
      ) : null}
    </section>
  );
}

/** Panel of the selected function: exact values and actions. */
export function Details({ selection, baseline, comparing }: PaneProps): ReactNode {
  const { state, go, client, can } = useApp();
  const own = useValueUnit(selection);
  const { fn, stacks } = state;
  const q = useFunctionRow(selection, baseline, fn);
  const lines = useQuery({
    queryKey: ["lines", client.tenant, selection, fn],
    enabled: fn !== "" && can?.explore === true,
    retry: false,
    queryFn: ({ signal }) => client.functionLines(selection, fn, signal),
  });
  const files = (lines.data ?? []).filter((f) => f.filename !== "");
  if (fn === "")
    return (
      <aside className="drawer" aria-label="Function">
        <header>
          <h2>Details</h2>
          <CloseDetails />
        </header>
        <p className="quiet">Select a function in the flame graph or in the table.</p>
      </aside>
    );
  const unit = comparing?.unit ?? own,
    row = q.data?.row,
    total = comparing?.sides.now.total ?? q.data?.total ?? 0,
    compared: ComparisonFigures = comparing ?? {
      sides: sidesOf({ sum: total, baseSum: q.data?.baseTotal ?? 0 }),
      basis: "share",
      unit,
      baseUnit: unit,
    };
  const change = (now: number, before: number): ReactNode => {
    const c = changeTexts(now, before, compared);
    return (
      <>
        {formatValue(before, compared.baseUnit)}{" "}
        <span className="quiet">
          {c.baseShare}; {c.delta}, {c.factor}
        </span>
      </>
    );
  };
  // A plain Pyroscope v1 ignores filters of functions: they would change nothing.
  const unfiltered = can?.explore === false ? V1_FILTERS : undefined;
  const share = (v: number, of: number): number => (of > 0 ? v / of : 0);
  const figure = (v: number | undefined): ReactNode =>
    v === undefined ? (
      "…"
    ) : (
      <>
        {formatValue(v, unit)} <span className="quiet">{formatShare(share(v, total))}</span>
      </>
    );
  const add = (key: "only" | "without" | "hide"): void => {
    if (!stacks[key].includes(fn)) go({ stacks: { ...stacks, [key]: [...stacks[key], fn] } });
  };
  return (
    <aside className="drawer" aria-label="Function">
      <header>
        <h2 title={fn}>{fn}</h2>
        <CloseDetails />
      </header>
      {row || q.isFetching ? (
        <dl data-testid={row ? "function-values" : undefined}>
          <dt>Self</dt>
          <dd>{figure(row?.self)}</dd>
          <dt>Total</dt>
          <dd>{figure(row?.total)}</dd>
          {baseline ? (
            <>
              <dt>Baseline self</dt>
              <dd>{row ? change(row.self, row.baseSelf) : "…"}</dd>
              <dt>Baseline total</dt>
              <dd>{row ? change(row.total, row.baseTotal) : "…"}</dd>
            </>
          ) : null}
        </dl>
      ) : (
        <p className="quiet">
          {can?.explore === false
            ? "A plain Pyroscope v1 reports no exact values."
            : "No samples in this selection."}
        </p>
      )}
      <div className="actions">
        <button type="button" disabled={can?.explore === false} onClick={() => go({ pane: "sandwich" })}>
          Callers & callees <kbd>s</kbd>
        </button>
        <button type="button" disabled={unfiltered !== undefined} onClick={() => add("only")}>
          Show only stacks with this function <kbd>o</kbd>
        </button>
        <button type="button" disabled={unfiltered !== undefined} onClick={() => add("without")}>
          Exclude these stacks <kbd>x</kbd>
        </button>
        <button type="button" disabled={unfiltered !== undefined} onClick={() => add("hide")}>
          Hide frame (attribute to caller) <kbd>h</kbd>
        </button>
        {unfiltered !== undefined ? <p className="quiet">{unfiltered}</p> : null}
        <CopyButton text={fn}>Copy name</CopyButton>
      </div>
      {files.slice(0, FILES_SHOWN).map((f) => (
        <SourceFile
          key={`${f.filename}:${f.startLine}:${f.buildId}`}
          file={f}
          format={(v) => formatValue(v, unit)}
          share={(v) => `${(100 * share(v, row?.total ?? total)).toFixed(2)}%`}
        />
      ))}
      {files.length > FILES_SHOWN ? (
        <p className="quiet">
          and {plural(files.length - FILES_SHOWN, "more file", "more files")} with a function of this name
        </p>
      ) : null}
    </aside>
  );
}

function CloseDetails(): ReactNode {
  const { go } = useApp();
  return (
    <button
      type="button"
      className="plain"
      aria-label="Close details"
      title="Close details (d)"
      onClick={() => go({ details: false }, true)}
    >
      <Icon name="close" />
    </button>
  );
}
