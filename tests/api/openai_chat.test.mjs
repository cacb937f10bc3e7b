// /v1/chat/completions, /v1/completions and /v1/models through the official client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import { all, endless, get, picture, pictureUrl, post, settled, shapes, startServer, tools, weather } from './server.mjs';

const url = await startServer();
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });

const ask = (body) => client.chat.completions.create({ model: 'nano', temperature: 0, ...body });
const user = (content) => [{ role: 'user', content }];
const look = (name, text) =>
  user([{ type: 'image_url', image_url: { url: pictureUrl(name) } }, { type: 'text', text }]);
const thinking = { chat_template_kwargs: { enable_thinking: true } };

async function streamed(body) {
  const chunks = await all(await ask({ stream: true, stream_options: { include_usage: true }, ...body }));
  const choices = chunks.flatMap((chunk) => chunk.choices);
  const join = (key) => choices.map((choice) => choice.delta[key] ?? '').join('');
  const calls = [];
  for (const call of choices.flatMap((choice) => choice.delta.tool_calls ?? [])) {
    const known = (calls[call.index] ??= { id: '', name: '', arguments: '', pieces: 0 });
    known.id += call.id ?? '';
    known.name += call.function.name ?? '';
    known.arguments += call.function.arguments ?? '';
    known.pieces += 1;
  }
  return {
    chunks,
    calls,
    content: join('content'),
    reasoning: join('reasoning_content'),
    finish: choices.map((choice) => choice.finish_reason).filter(Boolean),
    usage: chunks.at(-1).usage,
  };
}

test('models: list', async () => {
  const list = await all(client.models.list());
  assert.equal(list[0].id, 'nano');
  assert.equal(list[0].object, 'model');
});
test('models: one', async () => assert.equal((await client.models.retrieve('nano')).id, 'nano'));
test('models: an unknown one is a 404', () =>
  assert.rejects(client.models.retrieve('gpt-17'), NotFoundError));

test('an answer and its shape', async () => {
  const answer = await ask({ messages: user('How are you?') });
  assert.match(answer.id, /^chatcmpl-/);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, 'nano');
  assert.ok(Math.abs(answer.created - Date.now() / 1000) < 120);
  assert.equal(answer.choices.length, 1);
  const [{ message, finish_reason: finish, index }] = answer.choices;
  assert.equal(message.role, 'assistant');
  assert.equal(message.content, 'I am fine, thank you.');
  assert.equal(message.refusal, null);
  assert.equal(message.tool_calls, undefined);
  assert.equal(finish, 'stop');
  assert.equal(index, 0);
});
test('usage counts the prompt and the answer', async () => {
  const { usage } = await ask({ messages: user('How are you?') });
  assert.ok(usage.prompt_tokens > 5 && usage.completion_tokens > 3);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(usage.completion_tokens_details.reasoning_tokens, 0);
});
test('the second of two equal requests reuses the prompt', async () => {
  const messages = user('Tell me once more, and slowly, please: how are you on this fine day?');
  await ask({ messages });
  const { usage } = await ask({ messages });
  assert.ok(usage.prompt_tokens_details.cached_tokens > 0);
});
test('any model name is answered', async () =>
  assert.equal((await ask({ model: 'gpt-5.2', messages: user('How are you?') })).model, 'nano'));
test('a system message', async () => {
  const messages = [{ role: 'system', content: 'Answer in one sentence.' }, ...user('Who are you?')];
  assert.match((await ask({ messages })).choices[0].message.content, /small Qwen3\.5 model/);
});
test('a developer message', async () => {
  const messages = [{ role: 'developer', content: 'Answer in one sentence.' }, ...user('Who are you?')];
  assert.match((await ask({ messages })).choices[0].message.content, /small Qwen3\.5 model/);
});
test('a late system message is taken', async () => {
  const messages = [...user('Who are you?'), { role: 'system', content: 'Answer in one sentence.' }];
  assert.ok((await ask({ messages })).choices[0].message.content);
});
test('text parts', async () => {
  const answer = await ask({ messages: user([{ type: 'text', text: 'How are ' }, { type: 'text', text: 'you?' }]) });
  assert.equal(answer.choices[0].message.content, 'I am fine, thank you.');
});
test('history is read', async () => {
  const messages = [
    ...user('How are you?'),
    { role: 'assistant', content: 'I am fine, thank you.' },
    ...user('Who are you?'),
  ];
  assert.match((await ask({ messages })).choices[0].message.content, /Qwen3\.5/);
});

test('streamed: the same text', async () => {
  const { content, chunks, finish } = await streamed({ messages: user('How are you?') });
  assert.equal(content, 'I am fine, thank you.');
  assert.deepEqual(finish, ['stop']);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
});
test('streamed: in pieces, of one id', async () => {
  const { chunks } = await streamed({ messages: user('Who are you?') });
  assert.ok(chunks.length > 5);
  assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
  assert.ok(chunks.every((chunk) => chunk.object === 'chat.completion.chunk'));
});
test('streamed: usage comes last, with no choice', async () => {
  const { chunks, usage } = await streamed({ messages: user('How are you?') });
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
});
test('streamed: no usage unless asked for', async () => {
  const chunks = await all(await ask({ messages: user('How are you?'), stream: true }));
  assert.ok(chunks.every((chunk) => !chunk.usage));
});
test("streamed: the client's own accumulation", async () => {
  const stream = client.chat.completions.stream({ model: 'nano', temperature: 0, messages: user('How are you?') });
  assert.equal((await stream.finalMessage()).content, 'I am fine, thank you.');
});
test('streamed: server-sent events end with [DONE]', async () => {
  const reply = await post(`${url}/v1/chat/completions`, { messages: user('Hello!'), stream: true });
  assert.match(reply.headers.get('content-type'), /^text\/event-stream/);
  assert.ok(reply.text.endsWith('data: [DONE]\n\n'));
});

test('picture: shapes', async () =>
  assert.equal((await ask({ messages: look('shapes', 'What is in the picture?') })).choices[0].message.content, shapes));
test('picture: a sign', async () =>
  assert.equal((await ask({ messages: look('sign', 'Which text do you see?') })).choices[0].message.content, 'book'));
test('picture: streamed', async () =>
  assert.equal((await streamed({ messages: look('shapes', 'What is in the picture?') })).content, shapes));
test('picture: seen before, not encoded again', async () => {
  await ask({ messages: look('squares', 'What is in the picture?') });
  const { usage } = await ask({ messages: look('squares', 'Describe the picture.') });
  assert.equal(usage.godwit.pictures_encoded, 0);
});
test('picture: broken base64 is refused with its place', () =>
  assert.rejects(ask({ messages: user([{ type: 'image_url', image_url: { url: 'data:image/png;base64,@@' } }]) }),
    (error) => error instanceof BadRequestError && /messages\[0\]\.content\[0\]/.test(error.message)));
test('picture: what is no picture is refused', () =>
  assert.rejects(
    ask({ messages: user([{ type: 'image_url', image_url: { url: 'data:image/png;base64,aGVsbG8gd29ybGQh' } }]) }),
    BadRequestError));
test('picture: files of the host are not read', () =>
  assert.rejects(ask({ messages: user([{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }]) }),
    BadRequestError));
test('picture: remote addresses are off', () =>
  assert.rejects(ask({ messages: user([{ type: 'image_url', image_url: { url: 'http://127.0.0.1/x.png' } }]) }),
    BadRequestError));

test('tools: a call with its arguments', async () => {
  const { choices } = await ask({ messages: user(weather), tools });
  const [call] = choices[0].message.tool_calls;
  assert.equal(choices[0].finish_reason, 'tool_calls');
  assert.equal(choices[0].message.content, null);
  assert.match(call.id, /^call_/);
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Tokyo' });
});
test('tools: streamed, arguments in pieces', async () => {
  const { calls, finish } = await streamed({ messages: user(weather), tools });
  assert.equal(calls.length, 1);
  assert.match(calls[0].id, /^call_/);
  assert.equal(calls[0].name, 'get_weather');
  assert.deepEqual(JSON.parse(calls[0].arguments), { city: 'Tokyo' });
  assert.ok(calls[0].pieces > 2);
  assert.deepEqual(finish, ['tool_calls']);
});
test('tools: numbers have the type of the schema', async () => {
  const { choices } = await ask({ messages: user('What is 923 times 254?'), tools });
  assert.deepEqual(JSON.parse(choices[0].message.tool_calls[0].function.arguments), { a: 923, b: 254 });
});
test('tools: function_call and the role function, from before there were tools, say the same', async () => {
  const call = { name: 'get_weather', arguments: '{"city": "Tokyo"}' };
  const result = { content: 'sunny' };
  const render = async (...turns) => (await post(`${url}/render`, { messages: [...user(weather), ...turns], tools })).json.prompt;
  const older = await render({ role: 'assistant', content: null, function_call: call }, { role: 'function', name: 'get_weather', ...result });
  const newer = await render({ role: 'assistant', content: null, tool_calls: [{ id: 'a', type: 'function', function: call }] },
    { role: 'tool', tool_call_id: 'a', ...result });
  assert.match(older, /get_weather>\n<parameter=city>\nTokyo/);
  assert.equal(older, newer);
});
test('picture: base64 without its padding', async () => {
  const bytes = Buffer.from(picture('shapes'), 'base64');
  const url = 'data:image/png;base64,' + Buffer.concat([bytes, Buffer.alloc(4 - (bytes.length % 3))]).toString('base64').replace(/=+$/, '');
  assert.ok(url.length % 4 !== 22 % 4);
  assert.equal((await ask({ messages: user([{ type: 'image_url', image_url: { url } }, { type: 'text', text: 'What is in the picture?' }]) })).choices[0].message.content, shapes);
});
test('tools: round trip, and the prefix is reused', async () => {
  const messages = user(weather);
  const first = await ask({ messages, tools });
  const [call] = first.choices[0].message.tool_calls;
  messages.push(first.choices[0].message);
  messages.push({ role: 'tool', tool_call_id: call.id, content: '{"temperature": 21, "sky": "sunny"}' });
  const second = await ask({ messages, tools });
  assert.equal(second.choices[0].finish_reason, 'stop');
  assert.match(second.choices[0].message.content, /Tokyo/);
  assert.ok(second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens);
});
test("tools: the client's own runner closes the loop", async () => {
  const parse = JSON.parse;
  const called = [];
  const runner = client.chat.completions.runTools({
    model: 'nano', temperature: 0, messages: user(weather),
    tools: [{ type: 'function', function: { ...tools[0].function, parse, function: (given) => {
      called.push(given);
      return '{"temperature": 21, "sky": "sunny"}';
    } } }],
  });
  assert.match(await runner.finalContent(), /Tokyo/);
  assert.deepEqual(called, [{ city: 'Tokyo' }]);
});
test('tools: tool_choice none calls nothing', async () => {
  const { choices } = await ask({ messages: user(weather), tools, tool_choice: 'none' });
  assert.equal(choices[0].message.tool_calls, undefined);
});
for (const choice of ['required', { type: 'function', function: { name: 'get_weather' } }]) {
  test(`tools: tool_choice ${JSON.stringify(choice)} is refused clearly`, () =>
    assert.rejects(ask({ messages: user(weather), tools, tool_choice: choice }), /400.*tool_choice/));
}
test('tools: strict ones are refused clearly', () => {
  const strict = [{ type: 'function', function: { ...tools[0].function, strict: true } }];
  return assert.rejects(ask({ messages: user(weather), tools: strict }), /strict.*not supported yet/);
});
for (const type of ['json_object', 'json_schema']) {
  test(`response_format ${type} is refused clearly`, () =>
    assert.rejects(
      ask({ messages: user('Hello!'), response_format: { type, json_schema: { name: 'a', schema: {} } } }),
      /response_format.*not supported yet/));
}
test('response_format text is nothing', async () =>
  assert.ok((await ask({ messages: user('Hello!'), response_format: { type: 'text' } })).choices[0].message.content));

test('thinking: reasoning apart from content', async () => {
  const { choices, usage } = await ask({ messages: user('What is 5 + 5?'), ...thinking });
  assert.match(choices[0].message.content, /10/);
  assert.ok(choices[0].message.reasoning_content.length > 0);
  assert.ok(!/<\/?think>/.test(choices[0].message.content + choices[0].message.reasoning_content));
  assert.ok(usage.completion_tokens_details.reasoning_tokens > 0);
});
test('thinking: streamed before the content', async () => {
  const { chunks, reasoning, content } = await streamed({ messages: user('What is 5 + 5?'), ...thinking });
  assert.ok(reasoning.length > 0 && /10/.test(content));
  const kinds = chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta);
  const last = kinds.findLastIndex((delta) => delta.reasoning_content);
  assert.ok(last < kinds.findIndex((delta) => delta.content));
});
test('thinking: reasoning_effort switches it on', async () =>
  assert.ok((await ask({ messages: user('What is 5 + 5?'), reasoning_effort: 'low' }))
    .choices[0].message.reasoning_content));
test('thinking: reasoning_effort none is off', async () =>
  assert.equal((await ask({ messages: user('What is 5 + 5?'), reasoning_effort: 'none' }))
    .choices[0].message.reasoning_content, undefined));
test('thinking: a budget ends it', async () => {
  const { usage, choices } = await ask({ messages: user('What is 821 plus 134?'), ...thinking, thinking_budget: 4 });
  assert.ok(usage.completion_tokens_details.reasoning_tokens <= 8);
  assert.ok(choices[0].message.content.length > 0);
});

test('max_tokens cuts', async () => {
  const { choices, usage } = await ask({ messages: user('Who are you?'), max_tokens: 3 });
  assert.equal(choices[0].finish_reason, 'length');
  assert.equal(usage.completion_tokens, 3);
});
test('max_completion_tokens cuts', async () =>
  assert.equal((await ask({ messages: user('Who are you?'), max_completion_tokens: 2 })).usage.completion_tokens, 2));
test('streamed: max_tokens cuts', async () =>
  assert.deepEqual((await streamed({ messages: user('Who are you?'), max_tokens: 3 })).finish, ['length']));
test('stop: the answer ends before the string', async () => {
  const { choices } = await ask({ messages: user('How are you?'), stop: ', thank' });
  assert.equal(choices[0].message.content, 'I am fine');
  assert.equal(choices[0].finish_reason, 'stop');
});
test('stop: several strings, streamed', async () => {
  const { content } = await streamed({ messages: user('How are you?'), stop: ['never', ' fine'] });
  assert.equal(content, 'I am');
});
test('seed: the same answer again', async () => {
  const body = { messages: user('Tell me something.'), temperature: 2, max_tokens: 20, seed: 7 };
  const [a, b] = [await ask(body), await ask(body)];
  assert.equal(a.choices[0].message.content, b.choices[0].message.content);
});
test('seed: another seed, another answer', async () => {
  const body = { messages: user('Tell me something.'), temperature: 2, max_tokens: 20 };
  const texts = new Set();
  for (const seed of [1, 2, 3, 4]) texts.add((await ask({ ...body, seed })).choices[0].message.content);
  assert.ok(texts.size > 1);
});
test('n: several choices', async () => {
  const { choices } = await ask({ messages: user('Tell me something.'), temperature: 1.5, n: 3, max_tokens: 16, seed: 1 });
  assert.deepEqual(choices.map((choice) => choice.index), [0, 1, 2]);
  assert.ok(new Set(choices.map((choice) => choice.message.content)).size > 1);
});
test('n: streamed', async () => {
  const { chunks, finish } = await streamed({ messages: user('How are you?'), n: 2 });
  for (const index of [0, 1]) {
    const text = chunks.flatMap((c) => c.choices).filter((c) => c.index === index).map((c) => c.delta.content ?? '');
    assert.equal(text.join(''), 'I am fine, thank you.');
  }
  assert.equal(finish.length, 2);
});
test('logprobs: one for each token, with alternatives', async () => {
  const { choices, usage } = await ask({ messages: user('How are you?'), logprobs: true, top_logprobs: 3 });
  const list = choices[0].logprobs.content;
  assert.ok(list.length >= usage.completion_tokens - 1);
  assert.equal(Buffer.from(list.flatMap((token) => token.bytes)).toString().startsWith('I am fine'), true);
  for (const token of list) {
    assert.ok(token.logprob <= 0);
    assert.equal(token.top_logprobs.length, 3);
    assert.ok(token.top_logprobs[0].logprob >= token.logprob - 1e-4);
  }
});
test('logprobs: streamed', async () => {
  const { chunks } = await streamed({ messages: user('How are you?'), logprobs: true });
  assert.ok(chunks.flatMap((c) => c.choices).some((c) => c.logprobs?.content?.length > 0));
});
test('tokenize: messages are the ids that the engine runs, special words of a user and pictures with them', async () => {
  for (const messages of [user('How are you?<|im_end|>'), look('shapes', 'What is in the picture?')]) {
    const { status, json } = await post(`${url}/tokenize`, { messages, tools });
    assert.equal(status, 200);
    assert.equal(json.tokens.length, json.count);
    const body = { temperature: 0, max_tokens: 8 };
    const told = await ask({ ...body, messages, tools });
    assert.equal(json.count, told.usage.prompt_tokens);
    if (typeof messages[0].content !== 'string') continue; // a picture is more than its ids
    const run = await client.completions.create({ model: 'nano', ...body, prompt: json.tokens });
    assert.equal(run.choices[0].text, told.choices[0].message.content);
  }
});
test('logit_bias forbids a token', async () => {
  const { json: { tokens } } = await post(`${url}/tokenize`, { prompt: 'I' });
  const { choices } = await ask({ messages: user('How are you?'), logit_bias: { [tokens[0]]: -100 } });
  assert.ok(!choices[0].message.content.startsWith('I am'));
});

for (const [name, body, path] of [
  ['messages missing', { messages: undefined }, 'messages'],
  ['messages empty', { messages: [] }, 'messages'],
  ['messages of the wrong type', { messages: 'hello' }, 'messages'],
  ['an unknown role', { messages: [{ role: 'wizard', content: 'x' }] }, 'messages\\[0\\]\\.role'],
  ['content of the wrong type', { messages: [{ role: 'user', content: 5 }] }, 'messages\\[0\\]\\.content'],
  ['a part of an unknown type', { messages: user([{ type: 'smell' }]) }, 'messages\\[0\\]\\.content\\[0\\]'],
  ['temperature as text', { messages: user('x'), temperature: 'hot' }, 'temperature'],
  ['top_p out of range', { messages: user('x'), top_p: 7 }, 'top_p'],
  ['n out of range', { messages: user('x'), n: 1000 }, 'n: '],
  ['max_tokens as text', { messages: user('x'), max_tokens: 'many' }, 'max_tokens'],
  ['stream as text', { messages: user('x'), stream: 'yes' }, 'stream'],
  ['tools as object', { messages: user('x'), tools: {} }, 'tools'],
  ['top_logprobs without logprobs', { messages: user('x'), top_logprobs: 2 }, 'top_logprobs'],
  ['a prompt longer than the context', { messages: user('word '.repeat(40000)) }, 'context'],
]) {
  test(`error: ${name}`, () =>
    assert.rejects(ask(body), (error) => {
      assert.ok(error instanceof BadRequestError, String(error));
      assert.match(error.message, new RegExp(path));
      assert.equal(error.type, 'invalid_request_error');
      return true;
    }));
}
test('error: reasoning of a wrong type is refused with its path', () =>
  assert.rejects(
    ask({ messages: [...user('x'), { role: 'assistant', content: 'y', reasoning_content: 7 }, ...user('z')] }),
    (error) => error.status === 400 && error.param === 'messages[1].reasoning_content',
  ));
test('error: param names the field', () =>
  assert.rejects(ask({ messages: user('x'), temperature: 'hot' }), (error) => error.param === 'temperature'));
test('unknown fields are ignored', async () =>
  assert.ok((await ask({ messages: user('Hello!'), sparkle: { a: [1] }, store: true, user: 'me' })).choices[0]));
test('error: a body that is no JSON', async () =>
  assert.equal((await post(`${url}/v1/chat/completions`, '{"messages": [')).status, 400));
test('error: no such path', async () => assert.equal((await post(`${url}/v1/nothing`, {})).status, 404));
test('error: a path with a line feed or broken UTF-8 is shown in one line of valid JSON', async () => {
  const reply = await fetch(`${url}/v1/models/a%0ab%ff`, { method: 'PUT' });
  assert.equal(reply.status, 405);
  const { message } = (await reply.json()).error;
  assert.match(message, /^'\/v1\/models\/a\\x0ab\\xff' is not for PUT/);
});

test('error: no such method', async () => assert.equal((await get(`${url}/v1/chat/completions`)).status, 405));

test('abort: a stream that the client leaves ends at the server', async () => {
  const stream = await ask({ messages: user('Hello!'), stream: true, ...endless });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  stream.controller.abort();
  assert.ok(await settled(url));
});
test('abort: a whole answer that the client leaves ends at the server', async () => {
  const controller = new AbortController();
  const pending = client.chat.completions.create(
    { model: 'nano', messages: user('Hello!'), ...endless }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 200);
  await assert.rejects(pending, APIUserAbortError);
  assert.ok(await settled(url));
});
test('requests side by side', async () => {
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask({ messages: user('How are you?') })));
  assert.ok(answers.every((answer) => answer.choices[0].message.content === 'I am fine, thank you.'));
});

test('completions: a text goes on', async () => {
  const answer = await client.completions.create({ model: 'nano', prompt: 'The capital of', max_tokens: 2, temperature: 0 });
  assert.equal(answer.object, 'text_completion');
  assert.equal(answer.choices[0].finish_reason, 'length');
  assert.equal(answer.usage.completion_tokens, 2);
});
test('completions: streamed, the same text', async () => {
  const body = { model: 'nano', prompt: 'The capital of', max_tokens: 6, temperature: 0 };
  const whole = await client.completions.create(body);
  const chunks = await all(await client.completions.create({ ...body, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join(''), whole.choices[0].text);
});
test('an answer that has begun goes on when asked to', async () => {
  const { choices: [{ message }] } = await ask({ continue_final_message: true, add_generation_prompt: false,
    messages: [...user('How are you?'), { role: 'assistant', content: 'I am' }] });
  assert.equal(message.content, ' fine, thank you.');
});
test('completions: echo', async () =>
  assert.ok((await client.completions.create({ model: 'nano', prompt: 'The capital of', max_tokens: 2, echo: true }))
    .choices[0].text.startsWith('The capital of')));
test('completions: several prompts', async () =>
  assert.equal((await client.completions.create({ model: 'nano', prompt: ['One', 'Two'], max_tokens: 2 })).choices.length, 2));
test('completions: logprobs', async () => {
  const { choices } = await client.completions.create({ model: 'nano', prompt: 'The', max_tokens: 3, logprobs: 2, temperature: 0 });
  assert.equal(choices[0].logprobs.tokens.length, choices[0].logprobs.token_logprobs.length);
  assert.ok(choices[0].logprobs.tokens.length > 0);
});
test('completions: a prompt is needed', () =>
  assert.rejects(client.completions.create({ model: 'nano' }), BadRequestError));

for (const [key, value] of [['grammar', 'root ::= "x"'], ['guided_json', {}], ['guided_regex', 'a+'], ['guided_grammar', 'x'],
  ['guided_choice', ['a']], ['json_schema', {}], ['structured_outputs', { regex: 'a' }]])
  for (const [path, more] of [['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }] }], ['/v1/completions', { prompt: 'x' }]])
    test(`${path}: ${key} is refused clearly, and null is nothing`, async () => {
      const ask = (given) => post(`${url}${path}`, { ...more, max_tokens: 1, [key]: given });
      const { status, json } = await ask(value);
      assert.equal(status, 400);
      assert.equal(json.error.param, key);
      assert.match(json.error.message, /not supported yet/);
      assert.equal((await ask(null)).status, 200);
    });
for (const [key, value] of [['metadata', 7], ['user', {}], ['store', 'yes'], ['parallel_tool_calls', 'yes'], ['add_special_tokens', 'x']])
  test(`${key}: a wrong type is refused though it is not used, and null is nothing`, async () => {
    const ask = (given) => post(`${url}/v1/chat/completions`, { messages: [{ role: 'user', content: 'x' }], max_tokens: 1, [key]: given });
    const { status, json } = await ask(value);
    assert.equal(status, 400);
    assert.equal(json.error.param, key);
    assert.equal((await ask(null)).status, 200);
  });
