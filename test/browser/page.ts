/** Scripts in a page of a headless Chromium. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

/** Chromium's path; undefined where there is none. */
export const chromium: string | undefined = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) =>
  existsSync(path),
);

/** For `notRun`. */
export const NO_CHROMIUM = "there is no chromium: apt-get install chromium";

/** One script with all that a file imports, objects as their bytes. A Node import that is left is an error. */
export async function bundleForPage(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true,
    platform: "browser",
    format: "iife",
    write: false,
    loader: { ".o": "binary" },
    logLevel: "error",
  });
  return outputFiles[0]!.text;
}

/** Runs a script in an empty page: what it gives to `report` (report.ts) before it ends. Throws when it fails. */
export function runInPage<T>(browser: string, script: string, timeoutMs: number): T {
  const folder = mkdtempSync(join(tmpdir(), "bpfmaps-page-"));
  const page = `<!doctype html><pre id="report"></pre>
<script>globalThis.report = (text) => { document.getElementById("report").textContent = "[" + encodeURIComponent(text) + "]"; };
addEventListener("error", (event) => report("failed: " + event.message));</script>
<script>${script.replaceAll("</script", "<\\/script")}</script>`;
  try {
    writeFileSync(join(folder, "page.html"), page);
    const options = [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ...[`--user-data-dir=${join(folder, "profile")}`, `--timeout=${timeoutMs}`, "--dump-dom"],
    ];
    const dom = execFileSync(browser, [...options, `file://${join(folder, "page.html")}`], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: timeoutMs,
      maxBuffer: 1 << 26,
    });
    const text = decodeURIComponent(
      /<pre id="report"[^>]*>\[(.*)\]<\/pre>/.exec(dom)?.[1] ?? "failed: it gave nothing",
    );
    if (text.startsWith("failed: ")) throw new Error(`the page ${text}`);
    return JSON.parse(text) as T;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
