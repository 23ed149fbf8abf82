import { type ReactNode, type RefObject, useState } from "react";
import {
  decodeCallTree,
  layoutFlame,
  toFirefox,
  toFolded,
  toHtml,
  toSpeedscope,
  toSvg,
  unitOfType,
} from "@cinderblock/flame";
import { BASE_URL } from "../api/client.ts";
import type { Selection } from "../api/types.ts";
import { callTreeRequest, mergeProfileRequest } from "../api/wire.ts";
import { useApp } from "../state/app.tsx";
import { Dialog } from "./Dialog.tsx";
import { Failure } from "./Failure.tsx";
import type { FlameHandle } from "./FlameCanvas.tsx";

function save(name: string, data: BlobPart, type: string): void {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(new Blob([data], { type }));
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000);
}

/** Exports the current view, chips included, as files. */
export function ExportDialog({
  selection,
  handle,
  onClose,
}: {
  selection: Selection;
  handle: RefObject<FlameHandle | null>;
  onClose: () => void;
}): ReactNode {
  const { state, client } = useApp();
  const [error, setError] = useState<unknown>(),
    [busy, setBusy] = useState("");
  const stem =
    `${state.side.selector.find((m) => m.name === "service_name")?.value ?? "profile"}-${state.type.split(":")[1] ?? "samples"}-${new Date(selection.endMs).toISOString().slice(0, 19).replace(/[:T]/g, "")}`.replace(
      /[^\w.-]+/g,
      "_",
    );
  const filtered =
    selection.stacks.callSite.length +
      selection.stacks.only.length +
      selection.stacks.without.length +
      selection.stacks.hide.length >
    0;
  const tree = async (): Promise<ReturnType<typeof decodeCallTree>> =>
    decodeCallTree(
      new Uint8Array(
        (
          await client.binary(
            "cinderblock.explore.v1.ExploreService/CallTree",
            callTreeRequest(selection, undefined, -1),
          )
        ).value,
      ),
    );
  const render = (format: string): string => {
    const u = new URL("pyroscope/render", BASE_URL);
    u.search = new URLSearchParams({
      query: `${selection.type}${selection.selector}`,
      from: String(selection.startMs),
      until: String(selection.endMs),
      ...(format !== "" ? { format } : {}),
    }).toString();
    return u.href;
  };
  const exported = (format: string): string => {
    const u = new URL("pyroscope/export", BASE_URL);
    u.search = new URLSearchParams({
      query: `${selection.type}${selection.selector}`,
      from: String(selection.startMs),
      until: String(selection.endMs),
      format,
    }).toString();
    return u.href;
  };
  const kinds: [name: string, inside: string, run: () => Promise<void>][] = [
    [
      "Folded stacks",
      "Every stack with its value, filters included; for flamegraph.pl and inferno.",
      async () => save(`${stem}.folded`, toFolded(await tree()), "text/plain"),
    ],
    [
      "speedscope",
      "Every stack, filters included; drop it on speedscope.app.",
      async () =>
        save(
          `${stem}.speedscope.json`,
          toSpeedscope(await tree(), stem, unitOfType(state.type)),
          "application/json",
        ),
    ],
    [
      "Firefox Profiler",
      "Every stack, filters included; open it at profiler.firefox.com.",
      async () =>
        save(
          `${stem}.firefox.json`,
          toFirefox(await tree(), stem, unitOfType(state.type), selection.startMs),
          "application/json",
        ),
    ],
    [
      "pprof",
      `Labels and time${filtered ? "; function filters not applied" : ""}; for go tool pprof.`,
      async () =>
        save(
          `${stem}.pb`,
          (
            await client.binary(
              "querier.v1.QuerierService/SelectMergeProfile",
              mergeProfileRequest(selection),
            )
          ).value,
          "application/octet-stream",
        ),
    ],
    [
      "Pyroscope JSON",
      `Labels and time${filtered ? "; function filters not applied" : ""}; for Pyroscope's UI.`,
      async () => save(`${stem}.json`, await client.fetchText(render("")), "application/json"),
    ],
    [
      "DOT",
      `The call graph of the 100 largest functions${filtered ? "; function filters not applied" : ""}; for Graphviz.`,
      async () => save(`${stem}.dot`, await client.fetchText(render("dot")), "text/vnd.graphviz"),
    ],
    [
      "Parquet",
      `A row for every sample with its labels and stack${filtered ? "; function filters not applied" : ""}; for pandas, Polars and DuckDB.`,
      async () =>
        save(
          `${stem}.parquet`,
          await client.fetchBytes(exported("parquet")),
          "application/vnd.apache.parquet",
        ),
    ],
    [
      "OTLP",
      `One merged profile${filtered ? "; function filters not applied" : ""}; for OpenTelemetry.`,
      async () => save(`${stem}.otlp`, await client.fetchBytes(exported("otlp")), "application/x-protobuf"),
    ],
    [
      "CSV",
      "Every function with self and total, filters included.",
      async () => {
        const { value } = await client.functions(selection, undefined, "", "self", false, 0);
        save(
          `${stem}.csv`,
          `function,self,total\n${value.rows.map((r) => `"${r.name.replace(/"/g, '""')}",${r.self},${r.total}`).join("\n")}\n`,
          "text/csv",
        );
      },
    ],
    [
      "SVG",
      "The flame graph as a picture, filters included; self-contained.",
      async () =>
        save(`${stem}.svg`, toSvg(layoutFlame(await tree()), stem, unitOfType(state.type)), "image/svg+xml"),
    ],
    [
      "HTML",
      "A page with zoom and search, filters included; self-contained.",
      async () =>
        save(`${stem}.html`, toHtml(layoutFlame(await tree()), stem, unitOfType(state.type)), "text/html"),
    ],
    [
      "PNG",
      "The flame graph as on screen.",
      async () => {
        const blob = await handle.current?.png();
        if (!blob) throw new Error("Open the Flame graph view first.");
        save(`${stem}.png`, blob, "image/png");
      },
    ],
  ];
  return (
    <Dialog title="Export" onClose={onClose}>
      {error ? <Failure error={error} /> : null}
      <ul className="exports">
        {kinds.map(([name, inside, run]) => (
          <li key={name}>
            <button
              type="button"
              disabled={busy !== ""}
              onClick={() => {
                setBusy(name);
                setError(undefined);
                run()
                  .catch(setError)
                  .finally(() => setBusy(""));
              }}
            >
              {busy === name ? "…" : name}
            </button>
            <span className="quiet">{inside}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
