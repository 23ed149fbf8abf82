import type { FastifyReply, FastifyRequest } from "fastify";

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

const STYLE =
  ":root{color-scheme:light dark;--ink:#1d1f23;--quiet:#5d636d;--line:#d9dce1;--ground:#fff;--link:#0b57b0}@media(prefers-color-scheme:dark){:root{--ink:#e6e8eb;--quiet:#9aa1ac;--line:#3a3f47;--ground:#17191d;--link:#7fb3ff}}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);margin:0 auto;padding:1rem 2rem;max-width:84rem}nav{border-bottom:1px solid var(--line);padding-bottom:.6rem}a{color:var(--link)}h1{font-size:1.4rem}.quiet{color:var(--quiet)}.wide{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.3rem .9rem .3rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}pre{overflow-x:auto}";

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
