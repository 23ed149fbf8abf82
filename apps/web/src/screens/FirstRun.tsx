import { type ReactNode, useEffect, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { BASE_URL } from "../api/client.ts";
import { CopyButton } from "../parts/CopyButton.tsx";
import { Icon } from "../parts/Icon.tsx";
import { useApp } from "../state/app.tsx";
import { firstType, namedTypes } from "../state/type-names.ts";

const POLL_MS = 2000,
  OPENS_AFTER_MS = 3000,
  HOUR_MS = 3_600_000;

/** A step of a language: its heading and its text to copy. */
type Step = readonly [heading: string, text: string];

/** Ways to send the first profile. @param url address of this server, @param tenant "" without tenants */
function guides(url: string, tenant: string): readonly [name: string, steps: readonly Step[]][] {
  const header = tenant === "" ? "" : ` -H 'X-Scope-OrgID: ${tenant}'`,
    go = tenant === "" ? "" : `\n    TenantID:        "${tenant}",`;
  return [
    [
      "Go",
      [
        ["1. Add the SDK", "go get github.com/grafana/pyroscope-go"],
        [
          "2. Start it in main()",
          `import "github.com/grafana/pyroscope-go"\n\npyroscope.Start(pyroscope.Config{\n    ApplicationName: "my-service",\n    ServerAddress:   "${url}",${go}\n})`,
        ],
      ],
    ],
    [
      "Java",
      [
        [
          "Start with the agent",
          `export PYROSCOPE_APPLICATION_NAME=my-service\nexport PYROSCOPE_SERVER_ADDRESS=${url}\n${tenant === "" ? "" : `export PYROSCOPE_TENANT_ID=${tenant}\n`}java -javaagent:pyroscope.jar -jar app.jar`,
        ],
      ],
    ],
    [
      "Python",
      [
        ["1. Add the SDK", "pip install pyroscope-io"],
        [
          "2. Start it",
          `import pyroscope\n\npyroscope.configure(\n    application_name="my-service",\n    server_address="${url}",${tenant === "" ? "" : `\n    tenant_id="${tenant}",`}\n)`,
        ],
      ],
    ],
    [
      "Node.js",
      [
        ["1. Add the SDK", "npm install @pyroscope/nodejs"],
        [
          "2. Start it",
          `const Pyroscope = require("@pyroscope/nodejs");\n\nPyroscope.init({\n  serverAddress: "${url}",\n  appName: "my-service",${tenant === "" ? "" : `\n  tenantID: "${tenant}",`}\n});\nPyroscope.start();`,
        ],
      ],
    ],
    [
      ".NET",
      [
        [
          "Start with the profiler",
          `export PYROSCOPE_APPLICATION_NAME=my-service\nexport PYROSCOPE_SERVER_ADDRESS=${url}\nexport PYROSCOPE_PROFILING_ENABLED=1\nexport CORECLR_ENABLE_PROFILING=1\nexport CORECLR_PROFILER={BD1A650D-AC5D-4896-B64F-D6FA25D6B26A}\nexport CORECLR_PROFILER_PATH=Pyroscope.Profiler.Native.so\nexport LD_PRELOAD=Pyroscope.Linux.ApiWrapper.x64.so\ndotnet app.dll`,
        ],
      ],
    ],
    [
      "Ruby",
      [
        ["1. Add the SDK", "bundle add pyroscope"],
        [
          "2. Start it",
          `require "pyroscope"\n\nPyroscope.configure do |config|\n  config.application_name = "my-service"\n  config.server_address   = "${url}"${tenant === "" ? "" : `\n  config.tenant_id        = "${tenant}"`}\nend`,
        ],
      ],
    ],
    [
      "eBPF (Alloy)",
      [
        [
          "Configure Grafana Alloy",
          `pyroscope.ebpf "default" {\n  targets    = discovery.process.all.targets\n  forward_to = [pyroscope.write.default.receiver]\n}\ndiscovery.process "all" {}\npyroscope.write "default" {\n  endpoint {\n    url = "${url}"${tenant === "" ? "" : `\n    headers = { "X-Scope-OrgID" = "${tenant}" }`}\n  }\n}`,
        ],
      ],
    ],
    [
      "curl",
      [
        [
          "Send a sample",
          `printf 'main;work;parse 30\\nmain;work;write 12\\n' |\n  curl${header} --data-binary @- '${url}/ingest?name=first.cpu&from=now-10s&until=now'`,
        ],
      ],
    ],
  ];
}

/** Services and types of the last hour, asked for again and again until there are some. */
function useArrival(): { name: string; type: string } | undefined {
  const { client } = useApp();
  const { data } = useQuery<ReadonlyMap<string, readonly string[]>>({
    queryKey: ["first run", client.tenant],
    refetchInterval: (q) => ((q.state.data?.size ?? 0) > 0 ? false : POLL_MS),
    queryFn: ({ signal }) => {
      const nowMs = Date.now();
      return client.serviceTypes(nowMs - HOUR_MS, nowMs + HOUR_MS, signal);
    },
  });
  for (const [name, types] of data ?? []) if (types.length > 0) return { name, type: firstType(types)! };
  return undefined;
}

/** A step of the checklist: done, or waited for. */
function Check({ done, title, children }: { done: boolean; title: string; children: ReactNode }): ReactNode {
  return (
    <li className={done ? "done" : ""}>
      <i aria-hidden="true">{done ? "✓" : "…"}</i>
      <div>
        <strong>{title}</strong>
        <span className="quiet">{children}</span>
      </div>
    </li>
  );
}

/**
 * Screen of an empty installation: how to send profiles, and a checklist. It opens the first service
 * some seconds after its first profile; a key press keeps the list of services instead.
 */
export function FirstRun({ onDone }: { onDone: () => void }): ReactNode {
  const { state, go, refresh, can } = useApp(),
    arrived = useArrival(),
    url = BASE_URL.href.replace(/\/$/, ""),
    all = guides(url, state.tenant),
    [chosen, setChosen] = useState("Go"),
    steps = all.find(([name]) => name === chosen)![1],
    name = arrived?.name,
    type = arrived?.type;
  useEffect(() => {
    if (name === undefined || type === undefined) return;
    const stay = (): void => {
      clearTimeout(timer);
      onDone();
    };
    const timer = setTimeout(() => {
      refresh();
      go((s) => ({
        screen: "explore",
        type,
        side: { from: "now-1h", until: "now", selector: [{ name: "service_name", op: "=", value: name }] },
        stacks: s.stacks,
      }));
    }, OPENS_AFTER_MS);
    addEventListener("keydown", stay, { once: true });
    return () => {
      clearTimeout(timer);
      removeEventListener("keydown", stay);
    };
  }, [name, type, go, refresh, onDone]);
  return (
    <section className="first">
      <div>
        <h2>Send profiles to this server</h2>
        <p className="quiet">
          Point a Pyroscope SDK, Grafana Alloy or an OpenTelemetry profiler at this server. This page opens
          the service as soon as data arrives.
        </p>
        <div className="label-names" role="group" aria-label="Language">
          {all.map(([guide]) => (
            <button
              key={guide}
              type="button"
              aria-pressed={guide === chosen}
              onClick={() => setChosen(guide)}
            >
              {guide}
            </button>
          ))}
        </div>
        {steps.map(([heading, text]) => (
          <div key={heading} className="card">
            <header>
              <h3>{heading}</h3>
              <CopyButton text={text}>Copy</CopyButton>
            </header>
            <pre tabIndex={0} aria-label={chosen === "curl" ? "curl" : heading}>
              {text}
            </pre>
          </div>
        ))}
        <p>
          <Icon name="files" /> A file instead: <a href="./files">open a pprof or JFR file</a>
        </p>
      </div>
      <aside className="card checklist" aria-label="Checklist">
        <h2 aria-live="polite">
          {name === undefined ? "Waiting for data…" : `${name} is sending ${namedTypes([type!])[0]!.name}`}
        </h2>
        <ul>
          <Check done title="Server is ready">
            Version {can?.version ?? "…"}
          </Check>
          <Check
            done
            title={state.tenant === "" ? "You can read profiles" : `You can read tenant “${state.tenant}”`}
          >
            Writes need a token with the write role where tokens are on
          </Check>
          <Check done={name !== undefined} title="First profile">
            {name === undefined
              ? "Checking every 2 s. SDKs send the first one after about 15 s"
              : "Opening it in 3 s; press any key to stay"}
          </Check>
        </ul>
        <p className="quiet">Server address</p>
        <code>{url}</code>
      </aside>
    </section>
  );
}
