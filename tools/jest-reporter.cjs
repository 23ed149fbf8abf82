// One line a file, failures in full, and the counts for tools/test.mjs.
const fs = require("node:fs");

class CountingReporter {
  onTestResult(_test, result) {
    const bad = result.numFailingTests > 0 || result.testExecError;
    process.stdout.write(`${bad ? "FAIL" : "ok  "} ${result.testFilePath.replace(`${process.cwd()}/`, "")} (${result.numPassingTests} tests)\n`);
    if (bad) process.stdout.write(`${result.failureMessage ?? ""}\n`);
  }
  onRunComplete(_contexts, r) {
    const failed = r.numFailedTests + r.numRuntimeErrorTestSuites;
    if (process.env.CINDERBLOCK_COUNTS) fs.appendFileSync(process.env.CINDERBLOCK_COUNTS, `unit ${r.numPassedTests} ${failed}\n`);
    process.stdout.write(`unit tests: ${r.numPassedTests} passed, ${failed} failed\n`);
  }
}
module.exports = CountingReporter;
