import type { ReactNode } from "react";
import { Icon, type IconName } from "./Icon.tsx";

/** A button of an icon alone: its name is the label and, with the key, the tooltip. */
export function IconButton({
  icon,
  name,
  shortcut,
  pressed,
  disabled,
  onClick,
}: {
  icon: IconName;
  name: string;
  shortcut?: string;
  /** set for toggles */
  pressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
}): ReactNode {
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={name}
      title={shortcut ? `${name} (${shortcut})` : name}
      {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

/** A native select that shows an icon alone: accessible on every platform, and of fixed width. */
export function IconSelect({
  icon,
  name,
  value,
  onChange,
  className = "",
  children,
}: {
  icon: IconName;
  name: string;
  value: string;
  onChange: (value: string) => void;
  className?: string;
  children: ReactNode;
}): ReactNode {
  return (
    <span className={`icon-select ${className}`} title={name}>
      <Icon name={icon} />
      <select aria-label={name} value={value} onChange={(e) => onChange(e.target.value)}>
        {children}
      </select>
    </span>
  );
}

/** A choice between a few values, side by side. */
export function Segmented<T extends string>({
  name,
  value,
  options,
  onChange,
}: {
  name: string;
  value: T;
  options: readonly (readonly [value: T, text: string])[];
  onChange: (value: T) => void;
}): ReactNode {
  return (
    <span className="segmented" role="group" aria-label={name}>
      {options.map(([v, text]) => (
        <button key={v} type="button" aria-pressed={v === value} onClick={() => onChange(v)}>
          {text}
        </button>
      ))}
    </span>
  );
}
