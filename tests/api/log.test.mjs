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
  assert.match(logOf(loud), /\/v1\/chat\/completions: unknown field 'frobnicate' is ignored/);
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

test('metrics: drafts by position', async () => {
  const url = await startServer('--draft', '2');
  const { json } = await post(`${url}/v1/chat/completions`, {
    messages: [{ role: 'user', content: 'Repeat after me: blue river stone, green hill, white bird.' }],
    max_tokens: 60,
    temperature: 0,
  });
  const text = (await get(`${url}/metrics`)).text;
  const number = (name, position) => Number(new RegExp(`^${name}{.*position="${position}"} (.*)$`, 'm').exec(text)[1]);
  const counts = [1, 2, 3, 4].map((p) => [number('godwit_draft_tokens_total', p), number('godwit_draft_accepted_tokens_total', p)]);
  assert.ok(counts[0][0] > 0);
  for (const [drafted, accepted] of counts) assert.ok(accepted <= drafted);
  assert.deepEqual(counts.slice(2), [[0, 0], [0, 0]]);
  const details = json.usage.completion_tokens_details;
  assert.equal(details.accepted_prediction_tokens, counts[0][1] + counts[1][1]);
  assert.equal(details.accepted_prediction_tokens + details.rejected_prediction_tokens, counts[0][0] + counts[1][0]);
  assert.equal(json.usage.godwit.drafted_tokens, counts[0][0] + counts[1][0]);
});

test('metrics: a score has no first token', async () => {
  const url = await startServer();
  await post(`${url}/v1/completions`, { prompt: 'The capital of', echo: true, logprobs: 0, max_tokens: 0 });
  const count = async () => Number(/^godwit_first_token_seconds_count{.*} (.*)$/m.exec((await get(`${url}/metrics`)).text)?.[1] ?? 0);
  assert.equal(await count(), 0);
  await post(`${url}/v1/completions`, { prompt: 'x', max_tokens: 1 });
  assert.equal(await count(), 1);
});

test('more answers to a request than the queue holds: 400 with the limit', async () => {
  const url = await startServer('--queue', '2');
  const { status, json } = await post(`${url}/v1/completions`, { prompt: 'x', max_tokens: 1, n: 8 });
  assert.equal(status, 400);
  assert.match(json.error.message, /at most 2/);
});
