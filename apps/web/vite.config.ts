import { defineConfig } from "vite";

// Relative URLs, so that the page works wherever it is mounted: no flag, no rewriting.
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
