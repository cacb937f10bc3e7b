// The serving process is killed in the middle of its work, again and again, and started on the same cache folder: it serves
// at once, what it had written is used, and the answers are the same.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pictureUrl, post, program, root, testEnvironment } from './server.mjs';

const folder = mkdtempSync(join(tmpdir(), 'godwit-restart-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// Serves on a free port; resolves when the port is told, which is after the model was loaded.
async function serve() {
  const begin = performance.now();
  const child = spawn(program, ['serve', '-m', join(root, 'models/nano'), '--port', '0', '--cache-folder', folder],
    { env: testEnvironment(), stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  const url = await new Promise((resolve, reject) => {
    child.stderr.on('data', (bytes) => {
      log += bytes;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(log);
      if (found) resolve(found[0]);
    });
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  const end = async (signal) => {
    child.removeAllListeners('exit');
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
    return log;
  };
  return { url, end, seconds: (performance.now() - begin) / 1000 };
}

const long = (i) => `Conversation ${i}. ${'The ship sails on, and the wind is from the west. '.repeat(12)}Name the capital of Ireland.`;
const bodies = Array.from({ length: 4 }, (_, i) => ({ temperature: 0, max_tokens: 40, messages: [{ role: 'user', content: long(i) }] }));
bodies.push({ temperature: 0, max_tokens: 40, messages: [{ role: 'user',
  content: [{ type: 'image_url', image_url: { url: pictureUrl('shapes') } }, { type: 'text', text: 'What is in the picture?' }] }] });
const ask = async (url, body) => {
  const { status, json, text } = await post(`${url}/v1/chat/completions`, body);
  assert.equal(status, 200, text);
  return { said: json.choices[0].message.content, cached: json.usage.prompt_tokens_details.cached_tokens, prompt: json.usage.prompt_tokens };
};

// Asks without end, other things each time, so that files are being written when the process dies.
async function load(url, isOver) {
  for (let i = 0; !isOver(); ++i) {
    const body = { max_tokens: 12, messages: [{ role: 'user', content: `${Math.random()} ${long(i)}` }], stream: i % 2 === 0 };
    await post(`${url}/v1/chat/completions`, body).catch(() => {});
  }
}

test('ten times killed while it works', async () => {
  const first = await serve();
  const wanted = [];
  for (const body of bodies) wanted.push((await ask(first.url, body)).said);
  await first.end('SIGTERM');
  for (let round = 0; round < 10; ++round) {
    const server = await serve();
    assert.ok(server.seconds < first.seconds + 1, `served again after ${server.seconds} s, at first ${first.seconds} s`);
    for (const [i, body] of bodies.entries()) {
      const { said, cached, prompt } = await ask(server.url, body);
      assert.equal(said, wanted[i]);
      assert.ok(cached > prompt / 2, `round ${round}: ${cached} of ${prompt} tokens from disk`);
    }
    let over = false;
    const work = Promise.all(Array.from({ length: 8 }, () => load(server.url, () => over)));
    await new Promise((resolve) => setTimeout(resolve, 60 + 37 * round));
    const log = await server.end('SIGKILL');
    over = true;
    await work;
    assert.doesNotMatch(log, /warning|error/);
  }
  const last = await serve();
  assert.doesNotMatch(await last.end('SIGTERM'), /warning|error/);
  // What a dead process did not finish stays for an hour (it might be another's who lives): one file for each.
  const unfinished = readdirSync(folder, { recursive: true }).filter((name) => /\.\d+$/.test(name));
  assert.ok(unfinished.length <= 10, `${unfinished}`);
});
