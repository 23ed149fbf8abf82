import type { FastifyReply, FastifyRequest } from "fastify";
import { TOKENS } from "./tokens.ts";

/** Escaped markup. Only `html` creates instances. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
type Part = string | number | Html | undefined | readonly Part[];

const escape = (s: string): string => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
function textOf(p: Part): string {
  return p === undefined
    ? ""
    : p instanceof Html
      ? p.text
      : Array.isArray(p)
        ? p.map(textOf).join("")
        : escape(String(p));
}

/** Template tag that escapes its values unless they are markup. */
export function html(strings: TemplateStringsArray, ...values: Part[]): Html {
  return new Html(strings.map((s, i) => s + (i < values.length ? textOf(values[i]) : "")).join(""));
}

/** An HTML table of `rows` below `head`. */
export function table(head: readonly string[], rows: readonly (readonly Part[])[]): Html {
  return html`<div class="wide"><table><thead><tr>${head.map((h) => html`<th scope="col">${h}`)}</thead><tbody>${rows.map((r) => html`<tr>${r.map((c) => html`<td>${c}`)}`)}</tbody></table></div>`;
}

/** Whether a client prefers JSON to HTML. */
export function wantsJson(request: FastifyRequest): boolean {
  return (request.headers.accept ?? "").includes("json");
}

const STYLE = `${TOKENS}body{font:var(--text-lead);color:var(--ink);background:var(--bg);margin:0 auto;padding:var(--space-4) var(--space-7);max-width:84rem}nav{border-bottom:1px solid var(--line);padding-bottom:var(--space-3)}a{color:var(--accent)}h1{font:var(--text-page)}h2,h3{font:var(--text-title)}code,pre{font:var(--text-mono)}.quiet{color:var(--ink-3)}.wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:var(--space-1) var(--space-4) var(--space-1) 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}pre{overflow-x:auto}`;

/** Relative path from a request's URL to the root, so that pages work below a proxy's prefix. */
export function relativeRoot(request: FastifyRequest): string {
  return "../".repeat(Math.max(0, request.url.split("?")[0]!.split("/").length - 2)) || "./";
}

/** Sends a status page in the common layout. */
export async function sendPage(
  request: FastifyRequest,
  reply: FastifyReply,
  title: string,
  body: Html,
): Promise<void> {
  const page = html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title} · Cinderblock</title><style>${new Html(STYLE)}</style></head>
<body><nav><a href="${relativeRoot(request)}admin">Cinderblock: pages of this process</a></nav><main><h1>${title}</h1>${body}</main></body></html>`;
  await reply
    .type("text/html; charset=utf-8")
    .header(
      "content-security-policy",
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    )
    .send(page.text);
}
