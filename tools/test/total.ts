/**
 * Ends a CI run of several test commands: prints the sum of the totals in the file CINDERBLOCK_TOTALS as last
 * line.
 */
import { fail, failuresAsText, lastLine, sumOf } from "./totals.ts";

const file = process.env.CINDERBLOCK_TOTALS;
if (file === undefined) throw new Error("CINDERBLOCK_TOTALS names no file");
const sum = sumOf(file);
// A crashed command wrote no total, which must not count as success.
const commands = Number(process.argv[2]);
if (sum.commands !== commands)
  fail(sum, `${commands - sum.commands} of ${commands} test commands ended without a verdict`);
if (sum.failures.length > 0) console.log(failuresAsText(sum));
console.log(`\n${lastLine(sum)}`);
process.exit(sum.failed === 0 ? 0 : 1);
