// Ollama's API through the official client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';
import { all, get, picture, post, settled, shapes, startServer, tools, weather } from './server.mjs';

const url = await startServer();
const client = new Ollama({ host: url });
const fine = 'I am fine, thank you.';
const options = { temperature: 0 };

const chat = (body) => client.chat({ model: 'nano', options, ...body });
const generate = (body) => client.generate({ model: 'nano', options, ...body });
const user = (content, more) => [{ role: 'user', content, ...more }];

test('version', async () => assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/));
test('tags: the list', async () => {
  const { models } = await client.list();
  assert.equal(models[0].name, 'nano');
  assert.equal(models[0].model, 'nano');
  assert.ok(models[0].size > 1_000_000);
  assert.match(models[0].digest, /^[0-9a-f]{64}$/);
  assert.ok(new Date(models[0].modified_at).getFullYear() > 2020);
  assert.equal(models[0].details.family, 'qwen35');
});
test('show', async () => {
  const shown = await client.show({ model: 'nano' });
  assert.ok(['completion', 'tools', 'vision', 'thinking'].every((what) => shown.capabilities.includes(what)));
  assert.equal(shown.model_info['general.architecture'], 'qwen35');
  assert.equal(shown.model_info['qwen35.context_length'], 8192);
  assert.equal(shown.details.format, 'safetensors');
});
test('show: with the tag :latest', async () =>
  assert.ok((await client.show({ model: 'nano:latest' })).capabilities.length > 0));
test('show: an unknown model', () =>
  assert.rejects(client.show({ model: 'llama17' }), (error) => error.status_code === 404 && /not found/.test(error.message)));
test('ps: what is loaded', async () => {
  await chat({ messages: user('Hello!') });
  const { models } = await client.ps();
  assert.equal(models[0].name, 'nano');
  assert.ok(models[0].size > 0);
  assert.equal(models[0].size_vram, 0);
});

test('chat: an answer and its shape', async () => {
  const answer = await chat({ messages: user('How are you?') });
  assert.equal(answer.model, 'nano');
  assert.deepEqual(answer.message, { role: 'assistant', content: fine });
  assert.equal(answer.done, true);
  assert.equal(answer.done_reason, 'stop');
  assert.ok(new Date(answer.created_at).getFullYear() > 2020);
});
test('chat: counts and durations in nanoseconds', async () => {
  const answer = await chat({ messages: user('How are you?') });
  assert.ok(answer.prompt_eval_count > 5 && answer.eval_count > 3);
  for (const key of ['total_duration', 'load_duration', 'prompt_eval_duration', 'eval_duration'])
    assert.ok(Number.isInteger(answer[key]) && answer[key] >= 0, key);
  assert.ok(answer.total_duration >= answer.eval_duration && answer.total_duration < 60e9);
  assert.ok(answer.eval_duration > 1e5);
});
test('chat: the name as the client has it', async () =>
  assert.equal((await chat({ model: 'nano:latest', messages: user('How are you?') })).model, 'nano:latest'));
test('chat: streamed', async () => {
  const parts = await all(await chat({ messages: user('How are you?'), stream: true }));
  assert.ok(parts.length > 3);
  assert.equal(parts.map((part) => part.message.content).join(''), fine);
  assert.ok(parts.slice(0, -1).every((part) => part.done === false));
  assert.equal(parts.at(-1).done, true);
  assert.ok(parts.at(-1).eval_count > 3);
});
test('chat: streamed lines of JSON unless told otherwise', async () => {
  const reply = await post(`${url}/api/chat`, { model: 'nano', messages: user('How are you?'), options });
  assert.match(reply.headers.get('content-type'), /^application\/x-ndjson/);
  const lines = reply.text.trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.equal(lines.at(-1).done, true);
});
test('chat: stream false is one object', async () => {
  const reply = await post(`${url}/api/chat`, { model: 'nano', messages: user('How are you?'), options, stream: false });
  assert.match(reply.headers.get('content-type'), /^application\/json/);
  assert.equal(reply.json.message.content, fine);
});
test('chat: system and history', async () => {
  const messages = [{ role: 'system', content: 'Answer in one sentence.' }, ...user('How are you?'),
    { role: 'assistant', content: fine }, ...user('Who are you?')];
  assert.match((await chat({ messages })).message.content, /Qwen3\.5/);
});
test('chat: no messages loads the model', async () => {
  const answer = await chat({ messages: [] });
  assert.equal(answer.done_reason, 'load');
  assert.equal(answer.message.content, '');
});
test('chat: keep_alive 0 and no messages', async () =>
  assert.equal((await chat({ messages: [], keep_alive: 0 })).done_reason, 'unload'));
test('chat: keep_alive is accepted', async () =>
  assert.equal((await chat({ messages: user('How are you?'), keep_alive: '5m' })).message.content, fine));
test('chat: a second turn reuses the first', async () => {
  const messages = user('How are you?');
  const first = await chat({ messages });
  const second = await chat({ messages: [...messages, first.message, ...user('Who are you?')] });
  assert.ok(second.cached_tokens >= first.prompt_eval_count);
});
test('chat: log-probabilities', async () => {
  const reply = await post(`${url}/api/chat`, { model: 'nano', messages: user('How are you?'), options, stream: false,
    logprobs: true, top_logprobs: 2 });
  assert.equal(reply.json.logprobs[0].top_logprobs.length, 2);
});

test('picture: shapes', async () =>
  assert.equal((await chat({ messages: user('What is in the picture?', { images: [picture('shapes')] }) })).message.content, shapes));
test('picture: bytes, streamed', async () => {
  const images = [Uint8Array.from(Buffer.from(picture('sign'), 'base64'))];
  const parts = await all(await chat({ messages: user('Which text do you see?', { images }), stream: true }));
  assert.equal(parts.map((part) => part.message.content).join(''), 'book');
});
test('picture: generate', async () =>
  assert.equal((await generate({ prompt: 'Which text do you see?', images: [picture('sign')] })).response, 'book'));
test('picture: broken base64', () =>
  assert.rejects(chat({ messages: user('x', { images: ['@@@'] }) }), /messages\[0\]\.images\[0\]/));

test('tools: a call', async () => {
  const { message, done_reason: reason } = await chat({ messages: user(weather), tools });
  assert.equal(message.tool_calls[0].function.name, 'get_weather');
  assert.deepEqual(message.tool_calls[0].function.arguments, { city: 'Tokyo' });
  assert.equal(reason, 'stop');
});
test('tools: streamed, in one piece', async () => {
  const parts = await all(await chat({ messages: user(weather), tools, stream: true }));
  const calls = parts.flatMap((part) => part.message.tool_calls ?? []);
  assert.equal(calls.length, 1);
  assert.deepEqual(calls[0].function.arguments, { city: 'Tokyo' });
});
test('tools: round trip', async () => {
  const messages = user(weather);
  const first = await chat({ messages, tools });
  messages.push(first.message, { role: 'tool', tool_name: 'get_weather', content: '{"temperature": 21, "sky": "sunny"}' });
  const second = await chat({ messages, tools });
  assert.match(second.message.content, /Tokyo/);
  assert.ok(second.cached_tokens >= first.prompt_eval_count);
});

const sum = 'What is 5 + 5?';
test('think: true', async () => {
  const { message } = await chat({ messages: user(sum), think: true });
  assert.ok(message.thinking.length > 0);
  assert.match(message.content, /10/);
});
test('think: false', async () =>
  assert.equal((await chat({ messages: user(sum), think: false })).message.thinking, undefined));
test('think: a level', async () =>
  assert.ok((await chat({ messages: user(sum), think: 'low' })).message.thinking.length > 0));
test('think: streamed before the content', async () => {
  const parts = await all(await chat({ messages: user(sum), think: true, stream: true }));
  const last = parts.findLastIndex((part) => part.message.thinking);
  assert.ok(last >= 0 && last < parts.findIndex((part) => part.message.content));
});
test('think: generate', async () => {
  const answer = await generate({ prompt: sum, think: true });
  assert.ok(answer.thinking.length > 0);
  assert.match(answer.response, /10/);
});

test('generate: an answer and its shape', async () => {
  const answer = await generate({ prompt: 'How are you?' });
  assert.equal(answer.response, fine);
  assert.equal(answer.done_reason, 'stop');
  assert.ok(answer.prompt_eval_count > 5 && answer.eval_count > 3);
});
test('generate: streamed', async () => {
  const parts = await all(await generate({ prompt: 'How are you?', stream: true }));
  assert.equal(parts.map((part) => part.response).join(''), fine);
  assert.equal(parts.at(-1).done, true);
});
test('generate: system', async () =>
  assert.match((await generate({ prompt: 'Who are you?', system: 'Answer in one sentence.' })).response, /Qwen3\.5/));
test('generate: no prompt loads the model', async () =>
  assert.equal((await generate({ prompt: '' })).done_reason, 'load'));
test('generate: raw', async () => {
  const prompt = '<|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n';
  assert.equal((await generate({ prompt, raw: true })).response, fine);
});
test('generate: template is ignored', async () =>
  assert.equal((await generate({ prompt: 'How are you?', template: '{{ .Prompt }}' })).response, fine));
test('generate: suffix is refused', () => assert.rejects(generate({ prompt: 'a', suffix: 'b' }), /suffix/));

test('options: num_predict', async () => {
  const answer = await chat({ messages: user('Who are you?'), options: { temperature: 0, num_predict: 3 } });
  assert.equal(answer.done_reason, 'length');
  assert.equal(answer.eval_count, 3);
});
test('options: num_predict -1 is no limit', async () =>
  assert.equal((await chat({ messages: user('How are you?'), options: { ...options, num_predict: -1 } })).message.content, fine));
test('options: stop', async () =>
  assert.equal((await chat({ messages: user('How are you?'), options: { ...options, stop: [', thank'] } })).message.content, 'I am fine'));
test('options: seed', async () => {
  const body = { messages: user('Tell me something.'), options: { temperature: 2, num_predict: 20, seed: 5 } };
  assert.equal((await chat(body)).message.content, (await chat(body)).message.content);
});
test('options: the rest is accepted', async () => {
  const more = { top_k: 20, top_p: 0.9, min_p: 0.01, repeat_penalty: 1, presence_penalty: 0, frequency_penalty: 0, num_ctx: 4096, mirostat: 0 };
  assert.equal((await chat({ messages: user('How are you?'), options: { ...options, ...more } })).message.content, fine);
});

for (const [name, body, pattern] of [
  ['format json', { messages: user('x'), format: 'json' }, /format.*not supported yet/],
  ['format as a schema', { messages: user('x'), format: { type: 'object' } }, /format.*not supported yet/],
  ['an unknown role', { messages: [{ role: 'wizard', content: 'x' }] }, /messages\[0\]\.role/],
  ['content of the wrong type', { messages: [{ role: 'user', content: 5 }] }, /messages\[0\]\.content/],
  ['an option of the wrong type', { messages: user('x'), options: { temperature: 'hot' } }, /options\.temperature/],
  ['an unknown level of thinking', { messages: user('x'), think: 'heroic' }, /think/],
]) {
  test(`error: ${name}`, () =>
    assert.rejects(chat(body), (error) => {
      assert.equal(error.status_code, 400);
      assert.match(error.message, pattern);
      return true;
    }));
}
test('error: no model named', async () => {
  const reply = await post(`${url}/api/chat`, { messages: user('x') });
  assert.equal(reply.status, 400);
  assert.match(reply.json.error, /model/);
});
test('pull: a model that is here', async () => assert.equal((await client.pull({ model: 'nano' })).status, 'success'));
test('pull: another is refused clearly', () => assert.rejects(client.pull({ model: 'llama17' }), /godwit pull/));
test('delete, copy and create are refused clearly', async () => {
  await assert.rejects(client.delete({ model: 'nano' }), /fixed/);
  await assert.rejects(client.copy({ source: 'nano', destination: 'b' }), /fixed/);
  await assert.rejects(client.create({ model: 'b', from: 'nano' }), /fixed/);
});
test('chat: an answer that has begun goes on', async () => {
  const { message } = await client.chat({ model: 'nano', options: { temperature: 0 },
    messages: [{ role: 'user', content: 'How are you?' }, { role: 'assistant', content: 'I am' }] });
  assert.equal(message.content, ' fine, thank you.');
});
test('HEAD / answers', async () => assert.equal((await fetch(url, { method: 'HEAD' })).status, 200));
test('own routes beside', async () => {
  assert.match((await get(`${url}/metrics`)).text, /^# HELP /m);
  assert.equal((await get(`${url}/ready`)).json.status, 'ready');
});
test('abort: a stream that the client leaves ends at the server', async () => {
  const stream = await chat({ messages: user('Tell me something.'), stream: true, options: { num_predict: 2000 } });
  for await (const part of stream) {
    assert.equal(part.done, false);
    stream.abort();
    break;
  }
  assert.ok(await settled(url));
});

for (const [path, key, value] of [['generate', 'template', 7], ['generate', 'context', 'x'], ['embed', 'keep_alive', []], ['chat', 'keep_alive', {}]])
  test(`${path}: ${key} of a wrong type is refused`, async () => {
    const reply = await post(`${url}/api/${path}`, { model: 'nano', prompt: 'x', input: 'x', messages: [], [key]: value });
    assert.equal(reply.status, 400);
    assert.match(reply.json.error, new RegExp(key));
  });
