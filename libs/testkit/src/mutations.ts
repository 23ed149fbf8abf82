/** How many mutated inputs a parser gets: `few` in every run, 100,000 in the extended one. */
export function mutations(few: number): number {
  return process.env.CINDERBLOCK_LONG ? 100_000 : few;
}
