// What an operator sees: fields that are ignored, in the log; the cache's bytes, in the metrics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixture, get, logOf, post, startServer } from './server.mjs';

test('a field that nobody knows is told in the log, and not by default', async () => {
  const [loud, quiet] = [await startServer('-v'), await startServer()];
  for (const url of [loud, quiet]) {
    const messages = [{ role: 'user', content: 'x' }];
    assert.equal((await post(`${url}/v1/chat/completions`, { messages, max_tokens: 1, frobnicate: 1 })).status, 200);
  }
  assert.match(await logOf(loud), /\/v1\/chat\/completions: unknown field 'frobnicate' is ignored/);
  assert.doesNotMatch(await logOf(quiet), /frobnicate/);
});

test('unknown fields in messages, parts, tools and options are told, each once', async () => {
  const url = await startServer('-v');
  const part = { type: 'text', text: 'x', zoo_part: 1, cache_control: {} };
  const message = { role: 'user', content: [part, part], zoo_message: 1, name: 'Ann' };
  const chat = { messages: [message, message], stream_options: { zoo_stream: 1 }, max_tokens: 1,
    chat_template_kwargs: { anything: 1 }, logit_bias: { 5: 0 } };
  const anthropic = { max_tokens: 1, messages: [{ role: 'user', content: [part] }], thinking: { type: 'disabled', zoo_thought: 1 },
    tools: [{ name: 'f', input_schema: { type: 'object', properties: {} }, zoo_tool: 1 }, { type: 'web_search', max_uses: 5 }] };
  const responses = { input: [{ role: 'user', content: [part], zoo_item: 1 }], reasoning: { zoo_reasoning: 1 }, max_output_tokens: 1,
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object' }, zoo_function: 1 }] };
  const ollama = { model: 'nano', stream: false, messages: [{ role: 'user', content: 'x', zoo_said: 1 }],
    options: { num_predict: 1, num_ctx: 64, zoo_option: 1 } };
  const bodies = { '/v1/chat/completions': chat, '/v1/messages': anthropic, '/v1/responses': responses, '/api/chat': ollama };
  for (const [route, body] of Object.entries(bodies)) {
    const before = (await logOf(url)).length;
    const reply = await post(url + route, body);
    assert.equal(reply.status, 200, reply.text);
    bodies[route] = [...(await logOf(url)).slice(before).matchAll(/info: (\S+): unknown field '(.*)' is ignored/g)].map(
      ([, from, field]) => (assert.equal(from, route), field));
  }
  assert.deepEqual(bodies, {
    '/v1/chat/completions': ['messages[0].zoo_message', 'messages[0].content[0].zoo_part', 'stream_options.zoo_stream'],
    '/v1/messages': ['messages[0].content[0].zoo_part', 'tools[0].zoo_tool', 'thinking.zoo_thought'],
    '/v1/responses': ['input[0].zoo_item', 'input[0].content[0].zoo_part', 'tools[0].zoo_function', 'reasoning.zoo_reasoning'],
    '/api/chat': ['messages[0].zoo_said', 'options.zoo_option'],
  });
});

test('what the agents send is known', async () => {
  const url = await startServer('-v');
  for (const name of ['claude_code', 'cline', 'codex', 'continue', 'open_webui', 'opencode']) {
    const { path, headers, body } = fixture(name);
    assert.equal((await post(url + path, { ...body, stream: false, max_tokens: body.max_tokens && 1 }, headers)).status, 200);
  }
  assert.deepEqual((await logOf(url)).match(/unknown field .*/g), null);
});

test('a tool that is no function is left out with a warning, once, by default', async () => {
  const url = await startServer();
  const custom = { type: 'custom', name: 'apply_patch', format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' } };
  for (let i = 0; i < 3; ++i)
    assert.equal((await post(`${url}/v1/responses`, { input: 'x', max_output_tokens: 1, tools: [custom, { type: 'web_search' }] })).status, 200);
  const search = { type: 'web_search_20250305', name: 'web_search', max_uses: 1 };
  assert.equal((await post(`${url}/v1/messages`, { messages: [{ role: 'user', content: 'x' }], max_tokens: 1, tools: [search] })).status, 200);
  assert.deepEqual((await logOf(url)).match(/a tool.*is left out/g), [
    "a tool 'apply_patch' of type 'custom' is left out",
    "a tool of type 'web_search' is left out",
    "a tool 'web_search' of type 'web_search_20250305' is left out",
  ]);
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
