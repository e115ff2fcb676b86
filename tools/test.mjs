/** `npm test`: lint; then the types, which keep one core for half a minute when nothing is known of an earlier run, beside the build and the tests. */
import { spawn } from "node:child_process";

/** Runs a command; when it fails this process will have failed, and says which. */
function run(command, env = {}) {
  return new Promise((resolve) => {
    spawn(command, { shell: true, stdio: "inherit", env: { ...process.env, ...env } }).once("exit", (code) => {
      if (code !== 0) {
        console.error(`npm test: FAILED: ${command}`);
        process.exitCode = 1;
      }
      resolve(code === 0);
    });
  });
}

/** What is given after `npm test --` goes to vitest. */
const args = process.argv.slice(2).map((arg) => ` ${JSON.stringify(arg)}`);
/** What was built is tested: see vitest.config.ts. */
const tests = async () =>
  (await run("npm run --silent build -- --noCheck")) && run(`vitest run${args.join("")}`, { TEST_BUILT: "1" });

if (await run("npm run --silent lint")) {
  const [types] = await Promise.all([run("npm run --silent types"), tests()]);
  // What the types say stands far above by now.
  if (!types) console.error("npm test: FAILED: npm run types (see above)");
}
