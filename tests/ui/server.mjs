// The real server on a free port, for the time of the tests.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export async function start_server(program, model, more = []) {
  const caches = mkdtempSync(join(tmpdir(), 'godwit-ui-')); // not in the user's home
  process.on('exit', () => rmSync(caches, { recursive: true, force: true }));
  const child = spawn(program, ['serve', '-m', model, '--port', '0', ...more], {
    env: { ...process.env, XDG_CACHE_HOME: caches },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let words = '';
  const origin = await new Promise((resolve, reject) => {
    const listen = (bytes) => {
      words += bytes;
      const found = /http:\/\/[\d.]+:\d+/.exec(words);
      if (found) resolve(found[0]);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${program} ended with ${code}: ${words}`)));
  });
  const stop = async () => {
    child.removeAllListeners('exit');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGTERM'), 1000).unref();
    await ended;
  };
  return { origin, stop };
}
