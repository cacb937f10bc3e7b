// The real server on a free port, for the time of the tests.
import { spawn } from 'node:child_process';

export async function start_server(program, model, more = []) {
  const child = spawn(program, ['serve', '-m', model, '--port', '0', ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
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
