/** How a program tells the test that runs it what it has done: lines of one step go out together, by a write of their own. */

let lines: string[] = [];

/** Says a line. A kill leaves whole lines only. */
export function say(line: string): void {
  if (lines.push(line) === 1) setImmediate(flush);
}

function flush(): void {
  const said = lines;
  lines = [];
  process.stdout.write(`${said.join('\n')}\n`);
}
