/**
 * Copies a text. Browsers give `navigator.clipboard` only to pages that came over TLS or from this machine; elsewhere the
 * older command does it. @returns whether it was copied
 */
export async function copyText(text: string): Promise<boolean> {
  if ("clipboard" in navigator) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      /* not allowed here: the older command may be */
    }
  }
  const field = document.createElement("textarea"),
    before = document.activeElement;
  field.value = text;
  field.readOnly = true;
  field.className = "copied-from";
  // What is outside of an open dialog cannot be selected.
  (document.querySelector("dialog[open]") ?? document.body).append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
