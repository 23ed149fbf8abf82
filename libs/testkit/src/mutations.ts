/** Number of mutated inputs for a parser: `few` in a normal run, 100,000 in the extended suite. */
export function mutations(few: number): number {
  return process.env.CINDERBLOCK_LONG ? 100_000 : few;
}
