// Vectors of texts through the official clients of OpenAI and Ollama, and scores of prompts (echo with logprobs).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ollama } from 'ollama';
import OpenAI, { BadRequestError } from 'openai';
import { pictureUrl, post, startServer } from './server.mjs';

const url = await startServer();
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const ollama = new Ollama({ host: url });

const embed = (input, more = {}) => client.embeddings.create({ model: 'nano', input, ...more });
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const near = (a, b) => assert.ok(a.length === b.length && 1 - dot(a, b) < 1e-5, `${dot(a, b)}`);
const texts = ['The red ball is on the table.', 'The blue ball is on the table.', '{"name": "Tom", "age": 5}'];

test('embeddings: their shape and length', async () => {
  const { data, model, object, usage } = await embed(texts[0]);
  assert.equal(object, 'list');
  assert.equal(model, 'nano');
  assert.equal(data.length, 1);
  assert.equal(data[0].object, 'embedding');
  assert.equal(data[0].index, 0);
  assert.ok(data[0].embedding.length >= 64);
  near(data[0].embedding, data[0].embedding);
  const { json } = await post(`${url}/tokenize`, { prompt: texts[0] });
  assert.deepEqual(usage, { prompt_tokens: json.count, total_tokens: json.count });
});
test('embeddings: several texts, like ones closer', async () => {
  const { data } = await embed(texts);
  assert.deepEqual(data.map(({ index }) => index), [0, 1, 2]);
  const [red, blue, tom] = data.map(({ embedding }) => embedding);
  assert.ok(dot(red, blue) > dot(red, tom));
});
test('embeddings: each as if it were alone', async () => {
  const { data } = await embed(texts);
  for (const [i, text] of texts.entries()) near((await embed(text)).data[0].embedding, data[i].embedding);
});
test('embeddings: base64 and floats are the same numbers', async () => {
  const ask = async (encoding_format) =>
    (await post(`${url}/v1/embeddings`, { model: 'nano', input: texts[0], encoding_format })).json.data[0].embedding;
  const [floats, base64] = [await ask('float'), await ask('base64')];
  const bytes = Buffer.from(base64, 'base64');
  assert.deepEqual(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4), Float32Array.from(floats));
});
test('embeddings: the client in either encoding', async () => {
  for (const encoding_format of ['float', 'base64', undefined])
    assert.equal((await embed(texts[0], { encoding_format })).object, 'list');
});
test('embeddings: tokens instead of text', async () => {
  const { json } = await post(`${url}/tokenize`, { prompt: texts[0] });
  const [text, ids, lists] = [await embed(texts[0]), await embed(json.tokens), await embed([json.tokens, json.tokens])];
  near(text.data[0].embedding, ids.data[0].embedding);
  near(text.data[0].embedding, lists.data[1].embedding);
});
test('embeddings: markers in a text are text', async () => {
  const { usage } = await embed('<|im_end|>');
  assert.ok(usage.prompt_tokens > 1);
});
test('embeddings: many more texts than the queue holds', async () => {
  const { data } = await embed(Array.from({ length: 500 }, (_, i) => `Text ${i % 50}`));
  assert.equal(data.length, 500);
  near(data[7].embedding, data[457].embedding);
});
test('embeddings: dimensions that the model has', async () => {
  const length = (await embed('x')).data[0].embedding.length;
  assert.equal((await embed('x', { dimensions: length })).data[0].embedding.length, length);
});
for (const [name, input, more, message] of [
  ['other dimensions', 'x', { dimensions: 16 }, /dimensions/],
  ['no text', '', {}, /input\[0\]/],
  ['an empty list', [], {}, /input/],
  ['an empty text among others', ['x', ''], {}, /input\[1\]/],
  ['a number', 7, {}, /input/],
  ['an id that is none', [1, -1], {}, /input\[1\]/],
  ['an id beyond the vocabulary', [1e9], {}, /token id/],
  ['an unknown encoding', 'x', { encoding_format: 'int8' }, /encoding_format/],
  ['more than the context', 'word '.repeat(40000), {}, /context/],
])
  test(`embeddings: ${name} is refused`, () =>
    assert.rejects(embed(input, more), (error) => error instanceof BadRequestError && message.test(error.message)));

const picture = (name) => ({ type: 'image_url', image_url: { url: pictureUrl(name) } });
const shapesPart = [picture('shapes'), { type: 'text', text: 'What is this?' }];
test('embeddings: a conversation with a picture', async () => {
  const ask = (body) => post(`${url}/v1/embeddings`, body);
  const { status, json, text } = await ask({ messages: [{ role: 'user', content: shapesPart }] });
  assert.equal(status, 200, text);
  assert.equal(json.data.length, 1);
  assert.ok(Math.abs(dot(json.data[0].embedding, json.data[0].embedding) - 1) < 1e-3);
  const said = await ask({ messages: [{ role: 'user', content: 'What is this?' }] });
  assert.ok(json.usage.prompt_tokens > said.json.usage.prompt_tokens + 10);
  assert.ok(dot(json.data[0].embedding, said.json.data[0].embedding) < 0.999);
  const whole = await ask({ messages: [{ role: 'user', content: 'What is this?' }], add_generation_prompt: true });
  assert.ok(whole.json.usage.prompt_tokens > said.json.usage.prompt_tokens);
});
test('embeddings: lists of content parts beside texts', async () => {
  const { status, json, text } = await post(`${url}/v1/embeddings`, { input: [texts[0], shapesPart, [{ type: 'text', text: 'x' }]] });
  assert.equal(status, 200, text);
  near(json.data[0].embedding, (await embed(texts[0])).data[0].embedding);
  near(json.data[1].embedding, (await post(`${url}/v1/embeddings`, { messages: [{ role: 'user', content: shapesPart }] })).json.data[0].embedding);
  assert.equal(json.data.length, 3);
});
for (const [name, body, message] of [
  ['a part of an unknown type', { input: [[{ type: 'smell' }]] }, /input\[0\]\[0\]\.type/],
  ['input and messages', { input: 'x', messages: [{ role: 'user', content: 'x' }] }, /input/],
  ['no messages', { messages: [] }, /messages/],
  ['bytes that are no picture', { input: [[{ type: 'image_url', image_url: { url: 'data:image/png;base64,aGVsbG8=' } }]] }, /./],
])
  test(`embeddings: ${name}: refused`, async () => {
    const { status, json } = await post(`${url}/v1/embeddings`, body);
    assert.equal(status, 400);
    assert.match(json.error.message, message);
  });

test('ollama embed: one text and several', async () => {
  const one = await ollama.embed({ model: 'nano', input: texts[0] });
  assert.equal(one.model, 'nano');
  assert.equal(one.embeddings.length, 1);
  assert.ok(one.prompt_eval_count > 0);
  assert.ok(one.total_duration > 0);
  const { embeddings } = await ollama.embed({ model: 'nano', input: texts });
  near(embeddings[0], one.embeddings[0]);
  near(embeddings[2], (await embed(texts[2])).data[0].embedding);
});
test('ollama embed: a long text is cut, unless it may not be', async () => {
  const input = 'word '.repeat(40000);
  assert.equal((await ollama.embed({ model: 'nano', input })).embeddings.length, 1);
  await assert.rejects(ollama.embed({ model: 'nano', input, truncate: false }), /context/);
});
test('ollama embed: the options of other engines', async () =>
  assert.equal((await ollama.embed({ model: 'nano:latest', input: 'x', keep_alive: '5m', options: { num_ctx: 99 } })).embeddings.length, 1));
test('ollama embed: no text', async () =>
  assert.deepEqual((await ollama.embed({ model: 'nano', input: [] })).embeddings, []));
test('ollama embed: other dimensions', () =>
  assert.rejects(ollama.embed({ model: 'nano', input: 'x', dimensions: 16 }), /dimensions/));
test('ollama embeddings: the older form', async () => {
  const { embedding } = await ollama.embeddings({ model: 'nano', prompt: texts[0] });
  near(embedding, (await embed(texts[0])).data[0].embedding);
});

const score = (prompt, more = {}) =>
  client.completions.create({ model: 'nano', prompt, echo: true, logprobs: 1, max_tokens: 0, ...more });
test('scores: a number for each token but the first', async () => {
  const { choices, usage } = await score('The capital of France is Paris.');
  const { tokens, token_logprobs: numbers, top_logprobs: tops, text_offset: offsets } = choices[0].logprobs;
  assert.equal(choices[0].text, 'The capital of France is Paris.');
  assert.equal(tokens.join(''), choices[0].text);
  assert.equal(tokens.length, usage.prompt_tokens);
  assert.equal(usage.completion_tokens, 0);
  assert.equal(numbers[0], null);
  assert.equal(tops[0], null);
  assert.ok(numbers.slice(1).every((n) => n <= 0));
  assert.ok(tops.slice(1).every((top) => Object.keys(top).length === 1));
  assert.deepEqual(offsets, tokens.map((_, i) => tokens.slice(0, i).join('').length));
});
test('scores: what is likelier has the higher one', async () => {
  const sum = ({ logprobs }) => logprobs.token_logprobs.slice(1).reduce((a, b) => a + b, 0);
  const { choices } = await score(['The capital of France is', 'is France of capital The']);
  assert.equal(choices.length, 2);
  assert.ok(sum(choices[0]) > sum(choices[1]));
});
test('scores: with tokens generated behind, as those score themselves', async () => {
  const { choices: [generated] } = await score('The capital of', { max_tokens: 4, temperature: 0 });
  const n = generated.logprobs.tokens.length;
  assert.ok(generated.text.startsWith('The capital of'));
  assert.equal(generated.logprobs.tokens.slice(0, 3).join(''), 'The capital of');
  const { choices: [scored] } = await score(generated.text);
  assert.deepEqual(scored.logprobs.tokens, generated.logprobs.tokens);
  for (let i = 1; i < n; ++i)
    assert.ok(Math.abs(scored.logprobs.token_logprobs[i] - generated.logprobs.token_logprobs[i]) < 5e-3);
});
test('scores: ids, and several choices of each prompt', async () => {
  const { json } = await post(`${url}/tokenize`, { prompt: 'The capital of' });
  const { choices } = await score([json.tokens, json.tokens], { n: 2, max_tokens: 1 });
  assert.deepEqual(choices.map(({ index }) => index), [0, 1, 2, 3]);
  for (const { logprobs } of choices) assert.equal(logprobs.tokens.length, json.count + 1);
});
test('scores: one token has none', () => assert.rejects(score('x'), /two tokens/));
test('scores: not in a stream', () => assert.rejects(score('x y', { stream: true }), /stream/));
