import { type ReactNode, useState } from "react";
import { useApp } from "../state/app.tsx";
import type { Side } from "../state/state.ts";
import {
  formatLength,
  formatRange,
  formatTime,
  isRelative,
  isZone,
  RANGE_PRESETS,
  relativeForm,
  resolveTime,
  shiftRange,
  shortRange,
  zoneLabel,
} from "../state/time.ts";
import { Dialog } from "./Dialog.tsx";
import { Icon } from "./Icon.tsx";

const ZONES = [
  "local",
  "utc",
  "America/New_York",
  "America/Los_Angeles",
  "Europe/London",
  "Europe/Berlin",
  "Asia/Kolkata",
  "Asia/Shanghai",
  "Asia/Tokyo",
  "Australia/Sydney",
];

/** The quick range that a range equals. */
function presetOf(r: { from: string; until: string }): (typeof RANGE_PRESETS)[number] | undefined {
  return RANGE_PRESETS.find(([from, , until = "now"]) => r.from === from && r.until === until);
}

/** The time range of a side: presets, typed times, steps back and forth, and the display time zone. */
export function TimePicker({
  side,
  onChange,
  name,
}: {
  side: Side;
  onChange: (range: { from: string; until: string }) => void;
  name: string;
}): ReactNode {
  const { state, go, nowMs, range, can } = useApp();
  const [open, setOpen] = useState(false);
  const r = range(side);
  const text =
    presetOf(side)?.[1] ??
    (isRelative(side.from) && side.until === "now"
      ? side.from
      : r
        ? formatRange(...r, state.zone)
        : `${side.from} – ${side.until}`);
  const isLast = r !== undefined && r[1] >= nowMs;
  const shown = r && /^\d{4}-/.test(text) ? shortRange(...r, state.zone) : text;
  return (
    <div className="time split">
      <button
        type="button"
        aria-label={`Previous period ${name}`.trim()}
        title="Previous period"
        onClick={() => onChange(shiftRange(side, nowMs, state.zone, -1))}
      >
        <Icon name="left" />
      </button>
      <button
        type="button"
        className="time-text"
        aria-haspopup="dialog"
        data-shortcut="t"
        title={`${text} ${zoneLabel(state.zone)}`}
        onClick={() => setOpen(true)}
      >
        <Icon name="clock" />
        <span className="ellipsis">
          <span className="sr">
            Time range {name}: {text} {zoneLabel(state.zone)}
          </span>
          <span aria-hidden="true">{shown}</span>
        </span>
        <Icon name="down" size={12} />
      </button>
      <button
        type="button"
        aria-label={`Next period ${name}`.trim()}
        title={isLast ? "Next period: the range ends now" : "Next period"}
        disabled={isLast}
        onClick={() => onChange(shiftRange(side, nowMs, state.zone, 1))}
      >
        <Icon name="right" />
      </button>
      {open ? (
        <TimeDialog
          side={side}
          onClose={() => setOpen(false)}
          onPick={(x) => {
            setOpen(false);
            onChange(x);
          }}
          zone={state.zone}
          onZone={(zone) => go({ zone })}
          nowMs={nowMs}
          maxMs={can?.maxQueryLengthMs ?? 0}
        />
      ) : null}
    </div>
  );
}

function TimeDialog({
  side,
  onClose,
  onPick,
  zone,
  onZone,
  nowMs,
  maxMs,
}: {
  side: Side;
  onClose: () => void;
  onPick: (r: { from: string; until: string }) => void;
  zone: string;
  onZone: (z: string) => void;
  nowMs: number;
  /** the tenant's longest range; 0: no limit */
  maxMs: number;
}): ReactNode {
  const show = (t: string): string =>
    isRelative(t)
      ? t
      : (() => {
          try {
            return formatTime(resolveTime(t, nowMs, zone), zone);
          } catch {
            return t;
          }
        })();
  const [from, setFrom] = useState(show(side.from)),
    [until, setUntil] = useState(show(side.until)),
    [problem, setProblem] = useState("");
  const [other, setOther] = useState(zone);
  const apply = (): void => {
    try {
      const a = resolveTime(from, nowMs, zone),
        b = resolveTime(until, nowMs, zone);
      if (a >= b) {
        setProblem("From must be before To.");
        return;
      }
      // Stores a typed time as the instant that it means in the zone.
      onPick({
        from: isRelative(from) ? relativeForm(from) : String(a),
        until: isRelative(until) ? relativeForm(until) : String(b),
      });
    } catch (err) {
      setProblem((err as Error).message);
    }
  };
  let resolved = "";
  try {
    const a = resolveTime(from, nowMs, zone),
      b = resolveTime(until, nowMs, zone);
    resolved = `${formatRange(a, b, zone)} (${formatLength(b - a)})`;
  } catch {
    /* the error message appears on apply */
  }
  return (
    <Dialog title="Time range" onClose={onClose}>
      <div className="time-dialog">
        <ul className="pick" aria-label="Presets">
          {RANGE_PRESETS.map((preset) => {
            const [t, label, end = "now"] = preset,
              isLong = maxMs > 0 && resolveTime(end, nowMs, zone) - resolveTime(t, nowMs, zone) > maxMs;
            return (
              <li key={t}>
                <button
                  type="button"
                  aria-current={presetOf(side) === preset}
                  disabled={isLong}
                  title={
                    isLong ? `Exceeds the limit of ${formatLength(maxMs)} (max_query_length)` : undefined
                  }
                  onClick={() => onPick({ from: t, until: end })}
                >
                  {label}
                </button>
              </li>
            );
          })}
        </ul>
        <form
          onSubmit={(e) => {
            e.preventDefault();
            apply();
          }}
        >
          <label>
            From
            <input value={from} autoFocus onChange={(e) => setFrom(e.target.value)} />
          </label>
          <label>
            To
            <input value={until} onChange={(e) => setUntil(e.target.value)} />
          </label>
          <p className="quiet">{resolved}</p>
          <label>
            Time zone
            <input
              list="zones"
              value={other}
              onChange={(e) => {
                setOther(e.target.value);
                if (isZone(e.target.value)) onZone(e.target.value);
              }}
            />
          </label>
          <datalist id="zones">
            {ZONES.map((z) => (
              <option key={z} value={z} />
            ))}
          </datalist>
          {isZone(other) ? null : (
            <p className="problem" role="alert">
              "{other}" is not a valid time zone. Examples: local, utc, Europe/Berlin
            </p>
          )}
          {problem !== "" ? (
            <p className="problem" role="alert">
              {problem}
            </p>
          ) : null}
          <button type="submit">Apply</button>
        </form>
      </div>
    </Dialog>
  );
}
