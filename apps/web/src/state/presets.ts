/**
 * Patterns of runtime functions to merge into their callers. Anchored, because each pattern is tested on
 * every name.
 */
export const FILTER_PRESETS: readonly [name: string, patterns: readonly string[]][] = [
  ["Go's runtime", ["/^runtime\\./", "/^(internal|vendor)\\//"]],
  [
    "the JVM and the JDK",
    ["/^(java|javax|jdk|sun|com\\.sun)[./]/", "/^(Unsafe_|JVM_|jni_|Interpreter$|call_stub)/"],
  ],
  ["Node and V8", ["/^(node:|node::|v8::|\\((garbage collector|program|idle|root)\\))/"]],
  [
    "Python's own machinery",
    ["/^(<frozen |importlib|_find_and_load|_call_with_frames_removed)/", "/^_?(?-i:Py[A-Z_])/"],
  ],
  ["Ruby's own methods", ["/^(<internal:|rb_|vm_)/"]],
  [".NET's own code", ["/^(?-i:System|Microsoft)[.!]/"]],
  ["the kernel and libc", ["/^(__|do_|sys_|entry_|ret_from_|asm_|irq_|libc[.:_]|\\[unknown\\]|\\[k\\])/"]],
];
