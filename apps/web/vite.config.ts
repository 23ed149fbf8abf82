import { defineConfig } from "vite";

// Relative URLs, so the page works below any path without flags and rewriting.
export default defineConfig({
  base: "./",
  build: {
    emptyOutDir: true,
    target: "es2023",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: {
      onwarn: (w, warn) => {
        if (w.code !== "MODULE_LEVEL_DIRECTIVE") warn(w);
      },
    },
  },
  worker: { format: "es" },
  clearScreen: false,
});
