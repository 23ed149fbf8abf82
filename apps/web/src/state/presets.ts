/**
 * Patterns of runtime functions to merge into their callers. Anchored, because each pattern is tested on
 * every name.
 */
export const FILTER_PRESETS: readonly [name: string, patterns: readonly string[]][] = [
  ["Go runtime", ["/^runtime\\./", "/^(internal|vendor)\\//"]],
  ["JVM & JDK", ["/^(java|javax|jdk|sun|com[./]sun)[./]/", "/^(Unsafe_|JVM_|jni_|Interpreter$|call_stub)/"]],
  ["Node.js & V8", ["/^(node:|node::|v8::|\\((garbage collector|program|idle|root)\\))/"]],
  [
    "Python interpreter",
    ["/^(<frozen |importlib|_find_and_load|_call_with_frames_removed)/", "/^_?(?-i:Py[A-Z_])/"],
  ],
  ["Ruby internals", ["/^(<internal:|rb_|vm_)/"]],
  [".NET framework", ["/^(?-i:System|Microsoft)[.!]/"]],
  ["Kernel & libc", ["/^(__|do_|sys_|entry_|ret_from_|asm_|irq_|libc[.:_]|\\[unknown\\]|\\[k\\])/"]],
];

/** Hidden frames with their names: of a preset, or of a function. */
export function hiddenOf(hide: readonly string[]): { name: string; frames: readonly string[] }[] {
  const presets = FILTER_PRESETS.filter(([, patterns]) => patterns.every((p) => hide.includes(p))),
    ofPresets = new Set(presets.flatMap(([, patterns]) => patterns));
  return [
    ...presets.map(([name, frames]) => ({ name, frames })),
    ...hide.filter((f) => !ofPresets.has(f)).map((f) => ({ name: f, frames: [f] })),
  ];
}
