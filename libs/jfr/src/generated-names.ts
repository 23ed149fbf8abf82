interface Rule {
  /** text that every match contains: most names lack it and need no expression */
  marker: string;
  pattern: RegExp;
  merged: string;
}

/** Folder and suffix of a library that a program unpacks, maps and removes. */
const library = (name: string): RegExp => new RegExp(`^(?:\\.?/tmp/)?${name}\\.so(?: \\(deleted\\))?$`);

/** Applied in this order, each to the result of the one before (docs/formats/jfr.md). */
const RULES: readonly Rule[] = [
  {
    marker: "jdk/internal/reflect/GeneratedMethodAccessor",
    pattern: /^(jdk\/internal\/reflect\/GeneratedMethodAccessor)\d+$/,
    merged: "$1_",
  },
  {
    marker: "$$Lambda",
    pattern: /^([^\n]+\$\$Lambda)(?:\$?\d*[./](?:0x)?[\da-f]+|\d+)$/,
    merged: "$1_",
  },
  {
    marker: "libzstd-jni-",
    pattern: library(String.raw`libzstd-jni-\d+\.\d+\.\d+-\d+`),
    merged: "libzstd-jni-_.so",
  },
  {
    marker: "amazonCorrettoCryptoProvider",
    pattern: library(
      String.raw`(?:lib)?amazonCorrettoCryptoProvider(?:NativeLibraries\.)?[\da-f]{16}(?:/libcrypto|/libamazonCorrettoCryptoProvider)?`,
    ),
    merged: "libamazonCorrettoCryptoProvider_.so",
  },
  {
    marker: "libasyncProfiler-",
    pattern: library(
      "libasyncProfiler-(?:linux-arm64|linux-musl-x64|linux-x64|macos)-17b9a1d8156277a98ccc871afa9a8f69215f92",
    ),
    merged: "libasyncProfiler-_.so",
  },
  {
    marker: "$$EnhancerBySpringCGLIB$$",
    pattern: /^([^\n]+\$\$EnhancerBySpringCGLIB\$\$)[^\n]*$/,
    merged: "$1_",
  },
];

/**
 * Replaces numbers that JVMs and libraries give in each process, so that one function has one name:
 * `Main$$Lambda$67.0x00007f2e` becomes `Main$$Lambda_`. Other names stay unchanged. Rules:
 * docs/formats/jfr.md
 */
export function mergeGeneratedName(name: string): string {
  let merged = name;
  for (const { marker, pattern, merged: text } of RULES)
    if (merged.includes(marker)) merged = merged.replace(pattern, text);
  return merged;
}
