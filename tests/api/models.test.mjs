// Several models within a memory budget: the one that the server began with is unloaded for another as any is.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { get, logOf, post, program, root, settled, startServer } from './server.mjs';
import { join } from 'node:path';

const loaded = async (url) =>
  (await get(`${url}/info`)).json.models.filter((model) => model.loaded).map(({ id }) => id);

test('the first model gives way to the second, and comes back', async () => {
  const nano = join(root, 'models', 'nano');
  const url = await startServer('--name', 'one', '--also', `two=${nano}`, '--memory-budget', '80', '-c', '4096');
  const ask = (model) => post(`${url}/v1/completions`, { model, prompt: 'x', max_tokens: 1 });
  assert.deepEqual(await loaded(url), ['one']);
  for (const model of ['two', 'one']) {
    await settled(url);
    const reply = await ask(model);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.model, model);
    assert.deepEqual(await loaded(url), [model]);
  }
});

const nano = join(root, 'models', 'nano');
const start = (...flags) =>
  spawnSync(program, ['serve', '-m', nano, '--port', '0', ...flags], { encoding: 'utf8', timeout: 20_000 });

test('with several models, an unknown name is 404, and a missing model is told at the start', async () => {
  const url = await startServer('--name', 'one', '--also', `two=${nano}`, '-c', '1024');
  const ask = (model) => post(`${url}/v1/completions`, { model, prompt: 'x', max_tokens: 1 });
  const { status, json } = await ask('gpt-4o');
  assert.equal(status, 404);
  assert.equal(json.error.code, 'model_not_found');
  assert.equal((await ask(undefined)).json.model, 'one');
  const { json: shown } = await post(`${url}/api/show`, { model: 'two' });
  assert.ok(shown.capabilities.includes('vision') && shown.model_info['qwen35.context_length'] === 1024);
  assert.deepEqual(await loaded(url), ['one']);
  const refused = start('--also', 'bad=/nonexistent');
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /\/nonexistent/);
  const empty = mkdtempSync(join(tmpdir(), 'godwit-empty-'));
  after(() => rmSync(empty, { recursive: true, force: true }));
  assert.equal(start('--also', `bad=${empty}`).status, 2);
});

test('a budget that one conversation does not fit is told at the start, with both numbers', () => {
  const { status, stderr } = start('--memory-budget', '10', '-c', '4096');
  assert.equal(status, 2);
  assert.match(stderr, /expected \d+ MB or more, .* found 10 MB/);
});

test('many conversations at once stay within the budget', async () => {
  const url = await startServer('--memory-budget', '80', '--parallel', '32', '-c', '8192', '--no-disk-cache');
  const limit = (await get(`${url}/info`)).json.models[0].engine.memory.limit;
  assert.ok(limit <= 80 * 2 ** 20, `${limit} bytes`);
  const words = (i) => `${i} ` + 'The ship sails on. '.repeat(200);
  const replies = await Promise.all(Array.from({ length: 40 }, (_, i) =>
    post(`${url}/v1/completions`, { prompt: words(i), max_tokens: 20, ignore_eos: true })));
  for (const { status, text } of replies) assert.equal(status, 200, text);
});

test('a model that another budget holder keeps busy: 503 and when to try again', async () => {
  const url = await startServer('--name', 'one', '--also', `two=${nano}`, '--memory-budget', '80', '-c', '4096');
  const busy = post(`${url}/v1/completions`, { model: 'one', prompt: 'x', max_tokens: 3000, ignore_eos: true });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { status, headers, json } = await post(`${url}/v1/completions`, { model: 'two', prompt: 'x', max_tokens: 1 });
  assert.equal(status, 503);
  assert.ok(headers.get('retry-after'));
  assert.equal(json.error.param, null);
  assert.equal((await busy).status, 200);
});

test('ollama keep_alive: a duration sets when it goes, 0 lets it go after the answer', async () => {
  const url = await startServer('--unload-after', '5');
  const ask = (keep_alive) =>
    post(`${url}/api/generate`, { model: 'nano', prompt: 'x', stream: false, options: { num_predict: 1 }, keep_alive });
  const left = async () => (new Date((await get(`${url}/api/ps`)).json.models[0].expires_at) - Date.now()) / 1000;
  assert.equal((await ask()).status, 200);
  assert.ok(Math.abs((await left()) - 300) < 10);
  await ask('1h30m');
  assert.ok(Math.abs((await left()) - 5400) < 10);
  await ask(-1);
  assert.ok((await left()) > 1e9);
  assert.equal((await ask('soon')).status, 400);
  await ask(0);
  for (let i = 0; i < 50 && (await loaded(url)).length > 0; ++i) await new Promise((resolve) => setTimeout(resolve, 100));
  const { json: info } = await get(`${url}/info`);
  assert.deepEqual([info.models[0].loaded, info.models[0].engine.stats.requests], [false, 4]);
  assert.match((await get(`${url}/metrics`)).text, /^godwit_engine_requests_total{.*} 4$/m);
  assert.equal((await get(`${url}/ready`)).status, 200, 'an idle server is not to be restarted');
  assert.equal((await ask()).status, 200);
});

test('two servers on one folder keep what either computed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-two-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const urls = [await startServer('--cache-folder', folder), await startServer('--cache-folder', folder)];
  const body = (i) => ({ temperature: 0, max_tokens: 8,
    messages: [{ role: 'user', content: `${i % 6} ${'The wind is from the west. '.repeat(20)}` }] });
  const ask = async (url, i) => (await post(`${url}/v1/chat/completions`, body(i))).json.choices[0].message.content;
  const said = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(urls[i % 2 ^ (i > 11)], i)));
  for (const [i, text] of said.entries()) assert.equal(text, said[i % 6]);
  const third = await startServer('--cache-folder', folder);
  assert.equal(await ask(third, 0), said[0]);
  for (const url of [...urls, third]) assert.doesNotMatch(await logOf(url), /damaged/);
  const metrics = (await get(`${third}/metrics`)).text;
  assert.ok(Number(/^godwit_cache_disk_bytes{.*} (.*)$/m.exec(metrics)[1]) > 1000);
});
