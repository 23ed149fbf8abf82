import { pino } from "pino";

/** Structured log: a constant message plus fields, so that lines can be grouped. */
export type Logger = pino.Logger;

const LEVELS: Record<number, string> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

function quote(value: unknown): string {
  const text =
    typeof value === "string" ? value : value instanceof Object ? JSON.stringify(value) : String(value);
  return text === "" || /[\s="\\\p{Cc}]/u.test(text) ? JSON.stringify(text) : text;
}

/** One pino line as logfmt: `ts=… level=… msg=… key=value`. */
function toLogfmt(line: string): string {
  const { time, level, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const err = rest.err as { message?: string; stack?: string } | undefined;
  if (err) {
    rest.err = err.message ?? "";
    if (level === 50 || level === 60) rest.stack = err.stack ?? "";
  }
  const fields = Object.entries(rest)
    .filter(([, v]) => v !== undefined)
    .map(([k, v]) => ` ${k}=${quote(v)}`)
    .join("");
  return `ts=${String(time)} level=${LEVELS[Number(level)] ?? "info"} msg=${quote(msg)}${fields}\n`;
}

/**
 * Creates a logger that writes to stderr by default.
 * @param options.fields additional fields of each line, such as the active trace; a line's own fields win
 */
export function createLogger(
  options: { level: string; format: "logfmt" | "json"; fields?: () => object },
  write: (text: string) => void = (t) => {
    process.stderr.write(t);
  },
): Logger {
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      ...(options.fields ? { mixin: options.fields } : {}),
    },
    {
      write:
        options.format === "json"
          ? write
          : (line: string) => {
              write(toLogfmt(line));
            },
    },
  );
}
