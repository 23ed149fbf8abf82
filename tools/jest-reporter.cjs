// One line a file, failures in full, and the counts for tools/test.mjs.
const fs = require("node:fs");

class CountingReporter {
  onTestResult(_test, result) {
    const bad = result.numFailingTests > 0 || result.testExecError;
    process.stdout.write(
      `${bad ? "FAIL" : "ok  "} ${result.testFilePath.replace(`${process.cwd()}/`, "")} (${result.numPassingTests} tests)\n`,
    );
    if (bad) process.stdout.write(`${result.failureMessage ?? ""}\n`);
    const seconds = Math.round((result.perfStats.end - result.perfStats.start) / 1000);
    if (process.env.CINDERBLOCK_COUNTS)
      fs.appendFileSync(
        process.env.CINDERBLOCK_COUNTS,
        `file ${result.numPassingTests} ${bad ? Math.max(1, result.numFailingTests) : 0} ${seconds} ${result.testFilePath.replace(`${process.cwd()}/`, "")}\n`,
      );
  }
  onRunComplete(_contexts, r) {
    const failed = r.numFailedTests + r.numRuntimeErrorTestSuites;
    if (process.env.CINDERBLOCK_COUNTS)
      fs.appendFileSync(process.env.CINDERBLOCK_COUNTS, `suite ${r.numPassedTests} ${failed}\n`);
    process.stdout.write(`unit tests: ${r.numPassedTests} passed, ${failed} failed\n`);
  }
}
module.exports = CountingReporter;
