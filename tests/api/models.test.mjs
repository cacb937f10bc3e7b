// Several models within a memory budget: the one that the server began with is unloaded for another as any is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { get, post, root, settled, startServer } from './server.mjs';
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
