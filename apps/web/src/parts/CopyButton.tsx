import { type ReactNode, useEffect, useState } from "react";
import { copyText } from "./clipboard.ts";

/** Copies a text and confirms it. */
export function CopyButton({ text, children }: { text: string; children: ReactNode }): ReactNode {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (said === "") return;
    const t = setTimeout(() => setSaid(""), 3000);
    return () => clearTimeout(t);
  }, [said]);
  return (
    <button
      type="button"
      onClick={() =>
        void copyText(text).then((done) => setSaid(done ? "Copied" : "Copying was blocked by the browser"))
      }
    >
      <span aria-live="polite">{said === "" ? children : said}</span>
    </button>
  );
}
