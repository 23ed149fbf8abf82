import { type ReactNode, useMemo, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import {
  shareNotCutOff,
  formatShare,
  formatValue,
  searchFlame as searchFlame,
  searchPattern,
  unitOf,
} from "@cinderblock/flame";
import { useFlame } from "../api/use-flame.ts";
import type { FlameSource } from "../flame-worker.ts";
import { Failure, Loading } from "../parts/Failure.tsx";
import { FlameCanvas, type FlameHandle } from "../parts/FlameCanvas.tsx";
import { TopBar } from "../parts/TopBar.tsx";
import { useApp } from "../state/app.tsx";
import { sampleTypeName } from "../state/type-names.ts";
import { matchesText } from "../state/words.ts";
import { formatTime } from "../state/time.ts";

const NODES = 65_536;

/** A file's bytes in base64, in pieces: a spread of a large array exceeds the argument limit. */
async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let i = 0; i < bytes.length; i += 32_768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32_768));
  return btoa(text);
}

/** Files: drop, list, open, compare two. */
export function Files(): ReactNode {
  const { state, go, client } = useApp();
  const list = useQuery({
    queryKey: ["files", client.tenant],
    queryFn: ({ signal }) => client.files(signal),
  });
  const [busy, setBusy] = useState(""),
    [problem, setProblem] = useState<unknown>(),
    [over, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const { files } = state;
  const take = async (given: FileList | null): Promise<void> => {
    setProblem(undefined);
    const opened: string[] = [];
    try {
      for (const f of Array.from(given ?? [])) {
        setBusy(f.name);
        opened.push(await client.upload(f.name, await base64(f)));
      }
    } catch (err) {
      setProblem(err);
    }
    setBusy("");
    await list.refetch();
    if (opened.length > 0)
      go({ files: opened.slice(0, 2), fileType: "", stacks: { ...state.stacks, callSite: [] } });
  };
  const toggle = (id: string): void =>
    go({
      files: files.includes(id) ? files.filter((f) => f !== id) : [...files, id].slice(-2),
      fileType: "",
      stacks: { ...state.stacks, callSite: [] },
    });
  const nameOf = (id: string): string => list.data?.find((f) => f.id === id)?.name ?? id;
  return (
    <div className="files">
      <TopBar>
        <h1>Files</h1>
        <span className="grow" />
      </TopBar>
      <div className="page">
        <div
          className={over ? "drop over" : "drop"}
          onDragOver={(e) => {
            e.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={(e) => {
            e.preventDefault();
            setOver(false);
            void take(e.dataTransfer.files);
          }}
        >
          <p>
            Drop profiles here, or{" "}
            <button type="button" onClick={() => input.current?.click()}>
              choose files
            </button>
          </p>
          <input
            ref={input}
            type="file"
            multiple
            hidden
            aria-label="Files"
            onChange={(e) => {
              void take(e.target.files);
              e.target.value = "";
            }}
          />
          <p className="quiet">
            pprof, JFR, speedscope, flamebearer JSON, perf script, folded stacks; gzip or not. Select two to
            compare.
          </p>
        </div>
        <Loading active={busy !== "" || list.isFetching} />
        {busy !== "" ? <p role="status">Uploading {busy}…</p> : null}
        {problem ? <Failure error={problem} /> : null}
        {list.error ? <Failure error={list.error} retry={() => void list.refetch()} /> : null}
        {files.length > 0 ? <Opened names={files.map(nameOf)} /> : null}
        {list.data && list.data.length > 0 ? (
          <table className="file-list">
            <thead>
              <tr>
                <th scope="col">Open</th>
                <th scope="col">File</th>
                <th scope="col">Uploaded</th>
              </tr>
            </thead>
            <tbody>
              {list.data.map((f) => (
                <tr key={f.id}>
                  <td>
                    <input
                      type="checkbox"
                      checked={files.includes(f.id)}
                      aria-label={`Open ${f.name}`}
                      onChange={() => toggle(f.id)}
                    />
                  </td>
                  <th scope="row">
                    <button
                      type="button"
                      className="link"
                      onClick={() =>
                        go({ files: [f.id], fileType: "", stacks: { ...state.stacks, callSite: [] } })
                      }
                    >
                      {f.name}
                    </button>
                  </th>
                  <td>{formatTime(f.uploadedAtMs, state.zone)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : null}
        {list.data?.length === 0 ? <p className="nothing">No files yet.</p> : null}
      </div>
    </div>
  );
}

function Opened({ names }: { names: string[] }): ReactNode {
  const { state, go, client } = useApp();
  const { files, fileType } = state,
    compare = files.length > 1;
  const q = useQuery({
    queryKey: ["drawn", client.tenant, files, fileType],
    staleTime: Infinity,
    queryFn: ({ signal }) => client.drawFiles(files, fileType, NODES, signal),
  });
  const source = useMemo<FlameSource | undefined>(
    () => q.data && { kind: "levels", names: q.data.names, levels: q.data.levels, double: compare },
    [q.data, compare],
  );
  const { laid, error, behind } = useFlame(source, state.collapsed, state.inverted);
  const flame = laid?.source === source ? laid?.flames[0] : undefined;
  const found = useMemo(() => {
    try {
      return flame && state.search !== "" ? searchFlame(flame, searchPattern(state.search)) : undefined;
    } catch {
      return undefined; /* an incomplete pattern matches nothing */
    }
  }, [flame, state.search]);
  const handle = useRef<FlameHandle>(null);
  if (q.error || error !== "") return <Failure error={q.error ?? new Error(error)} />;
  const unit = unitOf(q.data?.unit ?? "count");
  return (
    <section
      className={q.isFetching ? "pane busy" : "pane"}
      aria-label="Opened files"
      aria-busy={q.isFetching || behind}
    >
      <Loading active={q.isFetching} />
      <div className="toolbar file-tools">
        <h2 className="ellipsis">
          {compare ? (
            <>
              A {names[0]} → B {names[1]}
            </>
          ) : (
            names[0]
          )}
        </h2>
        {compare ? (
          <button type="button" onClick={() => go({ files: [...files].reverse() })}>
            Swap A and B
          </button>
        ) : null}
        <label className="sr" htmlFor="file-type">
          Type
        </label>
        <select
          id="file-type"
          value={q.data?.type ?? fileType}
          onChange={(e) => go({ fileType: e.target.value })}
        >
          {(q.data?.types ?? []).map((t) => (
            <option key={t} value={t} title={t}>
              {sampleTypeName(t)}
            </option>
          ))}
        </select>
        <label className="sr" htmlFor="search">
          Search functions
        </label>
        <input
          id="search"
          type="search"
          placeholder="Search functions or /regex/"
          value={state.search}
          onChange={(e) => go({ search: e.target.value }, true)}
          onKeyDown={(e) => {
            if (e.key === "Enter") {
              e.preventDefault();
              handle.current?.next(e.shiftKey ? -1 : 1);
            }
          }}
        />
        <label className="check">
          <input
            type="checkbox"
            checked={state.inverted}
            onChange={(e) => go({ inverted: e.target.checked }, true)}
          />{" "}
          Invert (bottom-up)
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={state.collapsed}
            onChange={(e) => go({ collapsed: e.target.checked }, true)}
          />{" "}
          Collapse recursion
        </label>
      </div>
      {flame ? (
        <>
          <FlameCanvas
            flame={flame}
            unit={unit}
            all={flame.sum}
            focus={state.inverted ? [] : state.stacks.callSite}
            onFocus={(path) => {
              if (!state.inverted) go((s) => ({ stacks: { ...s.stacks, callSite: path } }));
            }}
            onSelect={() => undefined}
            found={found}
            colour={compare ? "change" : "package"}
            palette={state.palette}
            upwards={state.upwards}
            label="Flame graph"
            handle={handle}
          />
          <footer className="coverage">
            {found ? <span>{matchesText(found)} of total</span> : null}
            <span>{formatShare(shareNotCutOff(flame))} visible</span>
            <span data-testid="total">
              {compare
                ? `A ${formatValue(flame.baseSum, unit)}, B ${formatValue(flame.sum, unit)}`
                : `total ${formatValue(flame.sum, unit)}`}
            </span>
          </footer>
        </>
      ) : null}
    </section>
  );
}
