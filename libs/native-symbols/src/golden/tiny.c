/* What the test files are built from: gcc -O2 -g -gdwarf-<N> -nostdlib -static -fno-pie -no-pie -fno-asynchronous-unwind-tables -Wl,--build-id */
volatile int sink;

static inline __attribute__((always_inline)) int square(int x) {
  return x * x + sink;
}

static inline __attribute__((always_inline)) int both(int a, int b) {
  int s = square(a);
  s += square(b);
  return s;
}

__attribute__((noinline)) int work(int n) {
  int s = 0;
  for (int i = 0; i < n; i++)
    s += both(i, n);
  return s;
}

void _start(void) {
  sink = work(10);
  for (;;) {}
}
