import { mutations, Random } from "@cinderblock/testkit";
import { readableName } from "./readable-name.ts";

// Output of c++filt for each symbol, without parameters and without the hashes of crates; toolchain.test.ts
// compares thousands.
const NAMES: [string, string][] = [
  ["main", "main"],
  ["memcpy@@GLIBC_2.14", "memcpy"],
  ["_start", "_start"],
  ["_ZN4shop4Cart5totalEi", "shop::Cart::total"],
  ["_ZNK4shop4Cart5totalEi.cold", "shop::Cart::total.cold"],
  ["_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back"],
  ["_ZNSsC1ERKSs", "std::basic_string<char, std::char_traits<char>, std::allocator<char> >::basic_string"],
  ["_ZN12_GLOBAL__N_14workEv", "(anonymous namespace)::work"],
  ["_ZlsRSoRK4Cart", "operator<<"],
  ["_ZN4CartcvbEv", "Cart::operator bool"],
  ["_ZN4CartD0Ev", "Cart::~Cart"],
  ["_ZThn16_N4Cart4workEv", "non-virtual thunk to Cart::work"],
  ["_ZZN4shop4CartC4EvENKUlibE0_clEib", "shop::Cart::Cart::{lambda(int, bool)#2}::operator()"],
  ["_ZN1AILi3ELb1ELm7EPFivEE1fEv", "A<3, true, 7ul, int (*)()>::f"],
  ["_Z3foov.isra.0", "foo.isra.0"],
  ["_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"],
  [
    "_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE",
    "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop",
  ],
  ["_ZN13$constructor$3foo17h0123456789abcdefE", "$constructor$::foo"],
  ["_RNvMCs1234_4shopNtB2_4Cart5total", "<shop::Cart>::total"],
  [
    "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtCslNYArtu3iFV_5alloc3vec3VechEE",
    "core::ptr::drop_in_place::<alloc::vec::Vec<u8>>",
  ],
  ["_RNCNvCs1_4shop4work0", "shop::work::{closure#0}"],
  ["_RNvXCs1_4shopNtB2_4CartNtNtCs2_4core3fmt5Debug3fmt", "<shop::Cart as core::fmt::Debug>::fmt"],
  [
    "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
    "utf8_idents::საჭმელად_გემრიელი_სადილი",
  ],
  // Other names, and unsupported ones, stay unchanged.
  ["_ZN", "_ZN"],
  ["_ZN4shop", "_ZN4shop"],
  ["_Z1fIXadL_Z1gvEEEvv", "_Z1fIXadL_Z1gvEEEvv"],
  ["_RNvC", "_RNvC"],
  ["_Zxx", "_Zxx"],
  ["", ""],
];

describe("names of symbols", () => {
  it.each(NAMES)("%s is %s", (symbol, name) => {
    expect(readableName(symbol)).toBe(name);
  });
  it("with repeated self-references terminate within bounds", () => {
    const doubled = (n: number): string => `_Z1fI${"St4pairI".repeat(n)}ii${"ES0_E".repeat(n)}E`,
      deep = `_ZN${"1aI".repeat(5000)}`,
      back = `_RINvC1aINtC1bTB7_B7_TB7_B7_TB7_B7_TB7_B7_E${"B2_".repeat(500)}E`;
    for (const symbol of [doubled(30), deep, back, `_RNv${"N".repeat(100_000)}`, `_Z${"P".repeat(100_000)}i`])
      expect(readableName(symbol).length).toBeLessThan(200_000);
  });
  it("survive mutation", () => {
    const random = new Random(20261127),
      rounds = mutations(2000);
    for (let i = 0; i < rounds; i++) {
      const [symbol] = NAMES[random.below(NAMES.length)]!;
      expect(
        typeof readableName(
          Buffer.from(random.mutate(Buffer.from(symbol.padEnd(4, "_")))).toString("latin1"),
        ),
      ).toBe("string");
    }
  });
});
