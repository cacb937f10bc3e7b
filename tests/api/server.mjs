// Starts the built server on a free loopback port, once for each test file, and ends it with the file.
// GODWIT is the program (build/godwit unless said otherwise), GODWIT_MODEL the model.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const program = process.env.GODWIT ?? join(root, 'build', 'godwit');
const model = process.env.GODWIT_MODEL ?? join(root, 'models', 'nano');

// Each server keeps its caches in a folder of its own, which goes with this process: never in the user's home.
const caches = mkdtempSync(join(tmpdir(), 'godwit-test-'));
process.on('exit', () => rmSync(caches, { recursive: true, force: true }));
export const testEnvironment = () => ({ ...process.env, XDG_CACHE_HOME: mkdtempSync(join(caches, 'cache-')) });

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

async function answers(url) {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
}

const logs = new Map();
// What the server at an address has said so far: its lines come through a pipe, after the reply that they are about.
export async function logOf(url) {
  for (let before = -1; before !== logs.get(url)().length; ) {
    before = logs.get(url)().length;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  return logs.get(url)();
}

// The server's address. It ends after the file's last test, and whatever happens with this process.
export async function startServer(...flags) {
  if (!existsSync(program)) throw new Error(`${program}: build it first, or set GODWIT`);
  const port = await freePort();
  const child = spawn(program, ['serve', '-m', model, '--port', String(port), ...flags], {
    env: testEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  child.stdout.on('data', (bytes) => (log += bytes));
  child.stderr.on('data', (bytes) => (log += bytes));
  const ended = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  after(async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(kill, 10_000);
    const [code, signal] = await ended;
    clearTimeout(timer);
    process.off('exit', kill);
    if (code !== 0) throw new Error(`the server ended with ${code ?? signal}:\n${log}`);
  });
  const url = `http://127.0.0.1:${port}`;
  logs.set(url, () => log);
  for (const begin = Date.now(); Date.now() - begin < 60_000; ) {
    if (child.exitCode !== null) throw new Error(`the server did not start:\n${log}`);
    if (await answers(url)) return url;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the server did not answer within a minute:\n${log}`);
}

export const picture = (name) => readFileSync(join(root, 'examples', `${name}.png`)).toString('base64');
export const pictureUrl = (name) => `data:image/png;base64,${picture(name)}`;
export const tools = JSON.parse(readFileSync(join(root, 'examples', 'tools.json')));
export const fixture = (name) =>
  JSON.parse(readFileSync(join(root, 'tests', 'api', 'fixtures', `${name}.json`)));

export const weather = 'How is the weather in Tokyo today?';
export const shapes = 'A blue star, a green square, a yellow diamond and a pink square.';
// A text that is longer than what the model says by itself, for cancelling.
export const endless = { ignore_eos: true, max_tokens: 4000 };

export async function post(url, body, headers = {}) {
  const reply = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, text, json: json(text) };
}

export async function get(url, headers = {}) {
  const reply = await fetch(url, { headers });
  const text = await reply.text();
  return { status: reply.status, headers: reply.headers, text, json: json(text) };
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

// Waits until no request is under way at the server.
export async function settled(url, headers = {}) {
  for (const begin = Date.now(); Date.now() - begin < 20_000; ) {
    const { json: info } = await get(`${url}/info`, headers);
    const running = info.models.map(({ engine }) => (engine ? engine.stats.running + engine.stats.waiting : 0));
    if (running.every((n) => n === 0)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
