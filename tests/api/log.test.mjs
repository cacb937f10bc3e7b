// What an operator sees: fields that are ignored, in the log; the cache's bytes, in the metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, logOf, post, startServer } from './server.mjs';

test('a field that nobody knows is told in the log, and not by default', async () => {
  const [loud, quiet] = [await startServer('-v'), await startServer()];
  for (const url of [loud, quiet]) {
    const messages = [{ role: 'user', content: 'x' }];
    assert.equal((await post(`${url}/v1/chat/completions`, { messages, max_tokens: 1, frobnicate: 1 })).status, 200);
  }
  assert.match(logOf(loud), /\/v1\/chat\/completions: unknown field frobnicate is ignored/);
  assert.doesNotMatch(logOf(quiet), /frobnicate/);
});

test('metrics: bytes of the cache', async () => {
  const url = await startServer();
  const number = async (name) => Number(new RegExp(`^${name}{.*} (.*)$`, 'm').exec((await get(`${url}/metrics`)).text)[1]);
  assert.equal(await number('godwit_cache_bytes_used'), 0);
  await post(`${url}/v1/completions`, { prompt: 'x', max_tokens: 1 });
  const page = (await number('godwit_cache_bytes')) / (await number('godwit_cache_pages'));
  assert.equal(await number('godwit_cache_bytes_used'), page * (await number('godwit_cache_pages_used')));
  assert.ok((await number('godwit_cache_snapshot_bytes')) <= (await number('godwit_cache_bytes_used')));
});
