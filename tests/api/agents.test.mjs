// Bodies as today's agents send them (fixtures/), replayed: a question that takes a tool, its result, another question
// that takes one, its result; each time with the whole history, as the agent builds it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixture, post, startServer } from './server.mjs';

const url = await startServer();
const results = { get_weather: '{"temperature": 21, "sky": "sunny"}', get_time: '{"time": "12:14"}' };

const events = (text) =>
  text.split('\n').filter((line) => line.startsWith('data: {')).map((line) => JSON.parse(line.slice(6)));

// Each dialect: what an answer says, and how the agent goes on. read() gives {text, calls: [{id, name, input}], cached,
// turn: what goes back}.
const responses = {
  read(raw) {
    const last = events(raw).at(-1);
    assert.equal(last.type, 'response.completed');
    // Codex sends back what output_item.done brought, without ids.
    const turn = events(raw).filter((e) => e.type === 'response.output_item.done').map(({ item: { id, status, ...item } }) => item);
    return {
      turn,
      text: turn.filter((item) => item.type === 'message').map((item) => item.content[0].text).join(''),
      calls: turn.filter((item) => item.type === 'function_call')
        .map((item) => ({ id: item.call_id, name: item.name, input: JSON.parse(item.arguments) })),
      cached: last.response.usage.input_tokens_details.cached_tokens,
    };
  },
  results(body, { turn, calls }) {
    body.input.push(...turn);
    for (const { id, name } of calls) body.input.push({ type: 'function_call_output', call_id: id, output: results[name] });
  },
  question(body, { turn }, text) {
    body.input.push(...turn, { type: 'message', role: 'user', content: [{ type: 'input_text', text }] });
  },
};
const messages = {
  read(raw) {
    const list = events(raw);
    assert.equal(list.at(-1).type, 'message_stop');
    const turn = [];
    for (const event of list) {
      if (event.type === 'content_block_start') turn.push({ ...event.content_block });
      if (event.type !== 'content_block_delta') continue;
      const { type, ...delta } = event.delta;
      const [[key, text]] = Object.entries(delta);
      const block = turn[event.index];
      block[key] = (block[key] ?? '') + text;
    }
    for (const block of turn.filter(({ type }) => type === 'tool_use')) {
      block.input = JSON.parse(block.partial_json);
      delete block.partial_json;
    }
    return {
      turn,
      text: turn.filter(({ type }) => type === 'text').map(({ text }) => text).join(''),
      calls: turn.filter(({ type }) => type === 'tool_use'),
      cached: list.find(({ type }) => type === 'message_delta').usage.cache_read_input_tokens,
    };
  },
  results(body, { turn, calls }) {
    body.messages.push({ role: 'assistant', content: turn });
    body.messages.push({ role: 'user',
      content: calls.map(({ id, name }) => ({ type: 'tool_result', tool_use_id: id, content: results[name], is_error: false })) });
  },
  question(body, { turn }, text) {
    body.messages.push({ role: 'assistant', content: turn }, { role: 'user', content: [{ type: 'text', text }] });
  },
  // The billing line is another in each request.
  each: (body) => JSON.parse(JSON.stringify(body).replace('NONCE', Math.random().toString(16).slice(2, 7))),
};
const completions = {
  read(raw) {
    assert.ok(raw.endsWith('data: [DONE]\n\n'));
    const chunks = events(raw);
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
    const calls = [];
    for (const call of deltas.flatMap((delta) => delta.tool_calls ?? [])) {
      const known = (calls[call.index] ??= { id: call.id, type: 'function', function: { name: call.function.name, arguments: '' } });
      known.function.arguments += call.function.arguments ?? '';
    }
    const text = deltas.map((delta) => delta.content ?? '').join('');
    return {
      text,
      turn: { role: 'assistant', content: text, ...(calls.length ? { tool_calls: calls } : {}) },
      calls: calls.map((call) => ({ id: call.id, name: call.function.name, input: JSON.parse(call.function.arguments) })),
      cached: chunks.at(-1).usage.prompt_tokens_details.cached_tokens,
    };
  },
  results(body, { turn, calls }) {
    body.messages.push(turn);
    for (const { id, name } of calls) body.messages.push({ role: 'tool', tool_call_id: id, content: results[name] });
  },
  question(body, { turn }, text) {
    body.messages.push(turn, { role: 'user', content: text });
  },
};
const ollama = {
  read(raw) {
    const lines = raw.trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.at(-1).done, true);
    const text = lines.map(({ message }) => message.content).join('');
    const calls = lines.flatMap(({ message }) => message.tool_calls ?? []);
    return {
      text,
      turn: { role: 'assistant', content: text, ...(calls.length ? { tool_calls: calls } : {}) },
      calls: calls.map((call) => ({ name: call.function.name, input: call.function.arguments })),
      cached: lines.at(-1).cached_tokens,
    };
  },
  results(body, { turn, calls }) {
    body.messages.push(turn);
    for (const { name } of calls) body.messages.push({ role: 'tool', tool_name: name, content: results[name] });
  },
  question: completions.question,
};

for (const [name, dialect] of [
  ['codex', responses], ['claude_code', messages], ['opencode', completions], ['cline', completions],
  ['continue', completions], ['open_webui', ollama],
]) {
  test(name, async (agent) => {
    const { path, headers, body } = fixture(name);
    if (!body.options) body.temperature = 0; // the agent leaves it to the model; here every run must say the same
    const send = async () => {
      const reply = await post(url + path, dialect.each?.(body) ?? body, headers);
      assert.equal(reply.status, 200, reply.text);
      return dialect.read(reply.text);
    };
    const called = (answer, tool, city) =>
      assert.deepEqual(answer.calls.map((call) => [call.name, call.input]), [[tool, { city }]]);
    let answer;
    await agent.test('round 1: the tool is called', async () => {
      answer = await send();
      called(answer, 'get_weather', 'Tokyo');
    });
    await agent.test('round 2: its result becomes an answer, the prefix is reused', async () => {
      dialect.results(body, answer);
      answer = await send();
      assert.match(answer.text, /Tokyo/);
      assert.match(answer.text, /21/);
      assert.deepEqual(answer.calls, []);
      assert.ok(answer.cached > 0);
    });
    await agent.test('round 3: another call, more is reused', async () => {
      const { cached } = answer;
      dialect.question(body, answer, 'What time is it in Rome?');
      answer = await send();
      called(answer, 'get_time', 'Rome');
      assert.ok(answer.cached > cached);
    });
    await agent.test('round 4: its result becomes an answer', async () => {
      const { cached } = answer;
      dialect.results(body, answer);
      answer = await send();
      assert.match(answer.text, /Rome/);
      assert.match(answer.text, /12:14/);
      assert.ok(answer.cached > cached);
    });
  });
}
