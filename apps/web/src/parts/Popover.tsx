import { type ReactNode, useEffect, useId, useRef, useState } from "react";

/**
 * A button with a panel below it, inside the window. The panel closes with Escape, with a click elsewhere and
 * when the focus leaves it; the focus returns to the button.
 */
export function Popover({
  label,
  name,
  className = "",
  children,
}: {
  /** content of the button */
  label: ReactNode;
  /** name of the panel */
  name: string;
  className?: string;
  children: (close: () => void) => ReactNode;
}): ReactNode {
  const [open, setOpen] = useState(false),
    host = useRef<HTMLSpanElement>(null),
    button = useRef<HTMLButtonElement>(null),
    id = useId();
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const outside = (e: Event): void => {
      if (!host.current?.contains(e.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, [open]);
  return (
    <span
      className={`popover ${className}`}
      ref={host}
      onKeyDown={(e) => {
        if (e.key !== "Escape" || !open) return;
        e.preventDefault();
        e.stopPropagation();
        close();
      }}
    >
      <button
        ref={button}
        type="button"
        className="popover-button"
        aria-haspopup="dialog"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        {label}
      </button>
      {open ? (
        <div id={id} className="popover-panel" role="dialog" aria-label={name}>
          {children(close)}
        </div>
      ) : null}
    </span>
  );
}
