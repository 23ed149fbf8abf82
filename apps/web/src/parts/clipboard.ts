/**
 * Copies a text. Browsers offer `navigator.clipboard` only to pages over TLS or from this machine; other
 * pages use the older command.
 * @returns whether the text was copied
 */
export async function copyText(text: string): Promise<boolean> {
  if ("clipboard" in navigator) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      /* not allowed: try the older command */
    }
  }
  const field = document.createElement("textarea"),
    before = document.activeElement;
  field.value = text;
  field.readOnly = true;
  field.className = "copied-from";
  // Elements outside of an open dialog cannot be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
