import { createRoot } from "react-dom/client";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { ApiError } from "./api/types.ts";
import { AppProvider } from "./state/app.tsx";
import { Shell } from "./screens/Shell.tsx";
import { AddressScreen } from "./screens/ShortLink.tsx";
import { applyTheme, savedTheme } from "./parts/theme.ts";
import "./styles.css";

applyTheme(savedTheme());
// Retries a query once, and only after a failure that may be temporary.
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 60_000,
      refetchOnWindowFocus: false,
      retry: (n, err) => n < 1 && err instanceof ApiError && (err.status === 503 || err.status === 0),
    },
  },
});
createRoot(document.getElementById("app")!).render(
  <QueryClientProvider client={queries}>
    <AddressScreen>
      <AppProvider>
        <Shell />
      </AppProvider>
    </AddressScreen>
  </QueryClientProvider>,
);
