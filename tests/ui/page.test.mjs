// The page in Chromium against the real server with the demonstration model. Screenshots of each
// part go to GODWIT_SCREENSHOTS.
//   GODWIT=build/godwit node --test page.test.mjs
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

import { start_server } from './server.mjs';

const source = resolve(process.env.GODWIT_SOURCE ?? '../..');
const screenshots = resolve(process.env.GODWIT_SCREENSHOTS ?? join(source, 'build/screenshots'));
const scratch = mkdtempSync(join(tmpdir(), 'godwit-ui-'));
mkdirSync(screenshots, { recursive: true });

let server, browser;
const serve = (...more) =>
  start_server(resolve(process.env.GODWIT ?? join(source, 'build/godwit')), join(source, 'models/nano'), more);
before(async () => {
  server = await serve();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

// A fresh browser profile; at its end nothing was asked of another host, and nothing went wrong.
function page_test(name, options, run) {
  test(name, { timeout: 120_000 }, async () => {
    const { width = 1280, height = 820, dark = false, settings = {}, key } = options;
    const { origin, stop } = key ? await serve('--api-key', key) : { origin: server.origin };
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      hasTouch: width < 500,
      isMobile: width < 500,
      deviceScaleFactor: width < 500 ? 2 : 1,
      acceptDownloads: true,
    });
    const page = await context.newPage();
    const faults = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) faults.push(`${message.type()}: ${message.text()}`);
    });
    page.on('pageerror', (error) => faults.push(`exception: ${error.message}`));
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (!['data:', 'blob:'].includes(url.protocol) && url.origin !== origin) faults.push(`request to ${url}`);
    });
    await page.addInitScript((defaults) => {
      localStorage.setItem('godwit.defaults', localStorage.getItem('godwit.defaults') ?? JSON.stringify(defaults));
    }, { temperature: 0, thinking: 'off', ...settings });
    try {
      await page.goto(origin);
      await page.waitForSelector('#message');
      await run(page, faults);
      assert.deepEqual(faults, []);
    } catch (error) {
      await page.screenshot({ path: join(screenshots, `failed-${name.replace(/\W+/g, '-')}.png`) });
      throw error;
    } finally {
      await context.close();
      await stop?.();
    }
  });
}

const shot = (page, name) => page.screenshot({ path: join(screenshots, `${name}.png`) });
const answers = (page) => page.locator('.turn.assistant');
const last_answer = (page) => answers(page).last();

// The page draws once a frame: what follows a click is waited for.
async function eventually(read, wanted) {
  let found;
  for (let i = 0; i < 60; ++i) {
    found = await read();
    if (wanted instanceof RegExp ? wanted.test(found) : found === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  if (wanted instanceof RegExp) assert.match(found, wanted);
  else assert.equal(found, wanted);
}

async function answered(page, count) {
  await page.waitForFunction(
    (n) => document.querySelectorAll('.turn.assistant').length === n && !document.querySelector('.send.stop'),
    count,
  );
}

async function ask(page, text, count = 1) {
  await page.fill('#message', text);
  await page.keyboard.press('Enter');
  await answered(page, count);
}

// Answers that do not end by themselves, so that there is time to watch and stop them.
async function endless(page) {
  await page.route('**/v1/chat/completions', async (route) => {
    const body = { ...route.request().postDataJSON(), ignore_eos: true };
    await route.continue({ postData: JSON.stringify(body) });
  });
}

page_test('a question is answered, with speed and reuse told', {}, async (page) => {
  await shot(page, 'welcome');
  await ask(page, 'Name the capital of Ireland.');
  assert.match(await last_answer(page).locator('.prose').innerText(), /Dublin/);
  await ask(page, 'Name the capital of Japan.', 2);
  const strip = await page.locator('.strip').innerText();
  assert.match(strip, /[\d.]+ tokens\/s/);
  const reused = Number(/(\d+) reused/.exec(strip.replace(/\s/g, ' '))[1]);
  assert.ok(reused > 10, `the second question reuses the first: ${strip}`);
  assert.equal(await page.locator('.list li.here').innerText(), 'Name the capital of Ireland.');
});

page_test('an answer streams, and Esc stops it', {}, async (page) => {
  await endless(page);
  await page.evaluate(() => {
    window.lengths = new Set();
    new MutationObserver(() => {
      const text = document.querySelector('.turn.assistant .prose')?.textContent;
      if (text) window.lengths.add(text.length);
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  await page.fill('#message', 'Tell me about the sea.');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => window.lengths.size > 5);
  assert.equal(await page.locator('.send.stop').count(), 1, 'still answering while text is there');
  await page.keyboard.press('Escape');
  await page.waitForSelector('.turn.assistant .remark');
  assert.equal(await page.locator('.turn.assistant .remark').innerText(), 'Stopped.');
  const length = (await last_answer(page).innerText()).length;
  await page.waitForTimeout(300);
  assert.equal((await last_answer(page).innerText()).length, length, 'nothing comes after a stop');
  assert.match((await page.locator('.strip').innerText()).replace(/\s+/g, ' '), /[\d.]+ tokens\/s \d+ tokens \d+ prompt stopped/);
  await page.waitForFunction(async () => (await (await fetch('/info')).json()).models[0].engine.stats.running === 0);
});

page_test('who asks is taken to the answer, wherever the log stood', { height: 420 }, async (page) => {
  for (const [i, city] of ['Ireland', 'Japan', 'France'].entries()) await ask(page, `Name the capital of ${city}.`, i + 1);
  const below = () => page.locator('.scroll').evaluate((box) => box.scrollHeight - box.clientHeight - box.scrollTop);
  await page.locator('.scroll').evaluate((box) => (box.scrollTop = 0));
  await page.waitForSelector('.to-end');
  assert.ok((await below()) > 100);
  await ask(page, 'Name the capital of Italy.', 4);
  await eventually(async () => (await below()) < 60, true);
});

page_test('a question about a picture', {}, async (page) => {
  await page.setInputFiles('.composer input[type=file]', join(source, 'examples/shapes.png'));
  await page.waitForSelector('.composer .thumbnail img');
  await ask(page, 'What is in the picture?');
  assert.match(await last_answer(page).innerText(), /star/);
  await page.hover('.turn.user .thumbnail');
  await shot(page, 'picture');
  await page.click('.turn.user .thumbnail');
  await page.waitForSelector('dialog.viewer img');
  await page.keyboard.press('Escape');
  await eventually(() => page.locator('dialog.viewer').count(), 0);
});

page_test('pictures come by paste and by drop', {}, async (page) => {
  const bytes = readFileSync(join(source, 'examples/squares.png')).toString('base64');
  for (const kind of ['paste', 'drop']) {
    await page.evaluate(([kind, base64]) => {
      const data = new DataTransfer();
      const raw = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      data.items.add(new File([raw], `${kind}.png`, { type: 'image/png' }));
      const target = document.getElementById('message');
      if (kind === 'paste') target.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
      else target.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }, [kind, bytes]);
    await page.waitForSelector(`.composer [aria-label="Show ${kind}.png"]`);
  }
  await page.click('.composer [aria-label="Remove drop.png"]');
  await ask(page, 'What is in the picture?');
  assert.match(await last_answer(page).innerText(), /square/);
});

page_test('a question about a clip', {}, async (page) => {
  const clip = join(scratch, 'star.mp4');
  const frames = join(source, 'examples/clips/star/%02d.png');
  execFileSync('ffmpeg', ['-loglevel', 'error', '-y', '-framerate', '2', '-i', frames, '-pix_fmt', 'yuv420p', clip]);
  await page.setInputFiles('.composer input[type=file]', clip);
  await page.waitForSelector('.composer .film');
  await ask(page, 'What does the shape do?');
  assert.match(await last_answer(page).innerText(), /star/);
});

page_test('a thought is folded and tells its time', { settings: { thinking: 'on' } }, async (page) => {
  await ask(page, 'What is 5 + 9?');
  assert.match(await page.locator('.thought-head').innerText(), /Thought for [\d.]+ s/);
  await eventually(() => page.locator('.thought-body').count(), 0);
  await page.click('.thought-head');
  assert.ok((await page.locator('.thought-body').innerText()).length > 10);
  assert.match(await last_answer(page).locator('> .prose').innerText(), /14/);
  await shot(page, 'thinking');
});

page_test('a tool is called, and goes on with a result typed by hand', {}, async (page) => {
  await page.click('text=Try a tool call');
  await page.press('#message', 'Enter');
  await page.waitForSelector('.call');
  await answered(page, 1);
  assert.equal(await page.locator('.call header code').innerText(), 'get_weather');
  assert.match(await page.locator('.call dl').innerText(), /city\s+Tokyo/);
  await page.fill('.results textarea', '{"temperature": 21, "condition": "sunny"}');
  await shot(page, 'tool');
  await page.keyboard.press('Enter');
  await answered(page, 2);
  assert.match(await page.locator('.tool-result').innerText(), /sunny/);
  assert.match(await last_answer(page).innerText(), /sunny|21/);
  await eventually(() => page.locator('.results').count(), 0);
  await shot(page, 'tool-answered');
});

page_test('retry and edit make branches that can be walked', {}, async (page) => {
  await ask(page, 'Name the capital of Ireland.');
  await page.click('[aria-label="Answer again"]');
  await page.waitForSelector('.turn.assistant .branches');
  await answered(page, 1);
  await eventually(() => page.locator('.turn.assistant .branches').innerText(), /2\/2/);
  await page.click('.turn.assistant [aria-label="Version before"]');
  await eventually(() => page.locator('.turn.assistant .branches').innerText(), /1\/2/);
  await page.focus('#message');
  await page.keyboard.press('ArrowUp');
  await page.fill('.editor textarea', 'Name the capital of Japan.');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.turn.user .branches');
  await answered(page, 1);
  await eventually(() => last_answer(page).innerText(), /Tokyo/);
  await page.click('.turn.user [aria-label="Version before"]');
  await eventually(() => last_answer(page).innerText(), /Dublin/);
  await page.click('.turn.assistant [aria-label="Go on from here in a new conversation"]');
  await page.waitForFunction(() => document.querySelectorAll('.list li').length === 2);
  await eventually(() => page.locator('.branches').count(), 0);
});

page_test('a reload keeps conversations, pictures and settings', {}, async (page) => {
  await page.setInputFiles('.composer input[type=file]', join(source, 'examples/shapes.png'));
  await page.waitForSelector('.composer .thumbnail img');
  await ask(page, 'What is in the picture?');
  await page.click('#settings-button');
  await page.fill('.settings textarea >> nth=0', 'Be brief.');
  const text = await last_answer(page).innerText();
  // At once: what was written last is kept, too.
  await page.reload();
  await page.waitForSelector('.turn.assistant');
  assert.equal(await last_answer(page).innerText(), text);
  await page.click('#settings-button');
  assert.equal(await page.inputValue('.settings textarea >> nth=0'), 'Be brief.');
  await page.click('.turn.user .thumbnail');
  await page.waitForFunction(() => document.querySelector('dialog.viewer img')?.naturalWidth > 0);
  await page.keyboard.press('Escape');
  await ask(page, 'What is in the picture?', 2);
  assert.match(await last_answer(page).innerText(), /star/);
});

page_test('a reload keeps what is not sent yet, and what was sent is gone', {}, async (page) => {
  const reload = async () => {
    await page.reload();
    await page.waitForSelector('#message');
  };
  await page.fill('#message', 'What is in');
  await page.setInputFiles('.composer input[type=file]', join(source, 'examples/shapes.png'));
  await page.waitForSelector('.composer .thumbnail img');
  await reload();
  assert.equal(await page.inputValue('#message'), 'What is in');
  await page.waitForSelector('.composer .thumbnail img');
  await ask(page, 'What is in the picture?');
  assert.match(await last_answer(page).innerText(), /star/);
  await page.fill('#message', 'And of');
  await reload();
  assert.equal(await page.inputValue('#message'), 'And of');
  await page.click('.new-chat');
  await eventually(() => page.inputValue('#message'), '');
  await page.click('.list li a');
  await eventually(() => page.inputValue('#message'), 'And of');
  await ask(page, 'Name the capital of Ireland.', 2);
  await reload();
  assert.equal(await page.inputValue('#message'), '');
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('draft'))), []);
});

page_test('rename, search, export, delete, undo, import', {}, async (page) => {
  await ask(page, 'Name the capital of Ireland.');
  await page.hover('.list li');
  await page.click('.list [aria-label^="Rename"]');
  await page.fill('input.rename', 'Islands');
  await page.keyboard.press('Enter');
  await eventually(() => page.inputValue('.top h1 input'), 'Islands');
  await page.fill('.sidebar .search input', 'nothing like it');
  await eventually(() => page.locator('.list li').count(), 0);
  await page.fill('.sidebar .search input', 'dublin');
  await eventually(() => page.locator('.list li').count(), 1);
  await page.hover('.list li');
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('.list [aria-label^="Export"]')]);
  const file = join(scratch, 'export.json');
  await download.saveAs(file);
  await page.hover('.list li');
  await page.click('.list [aria-label^="Delete"]');
  await eventually(() => page.locator('.list li').count(), 0);
  await page.click('text=Undo');
  await eventually(() => page.locator('.list li').count(), 1);
  await page.setInputFiles('.sidebar input[type=file]', file);
  await page.waitForFunction(() => document.querySelectorAll('.list li').length === 2);
});

// Everything an answer can hold, from a file; and what it must not be able to do.
const SAMPLE = `## Speed of a falling godwit

The speed after falling from height $h$ is **$v = \\sqrt{2gh}$**, from

$$
\\tfrac{1}{2} m v^2 = m g h
$$

| height | speed |
|---:|---:|
| 10 m | 14.0 m/s |
| 100 m | 44.3 m/s |

\`\`\`python
def speed(height: float) -> float:
    """Without air."""
    return (2 * 9.81 * height) ** 0.5  # metres a second
\`\`\`

1. It does not fall, of course.
2. It *flies*: see [the record](https://example.org/godwit).
   - [x] eleven days

- [x] a task with

- [ ] room around it

Go with

    godwit  serve

> Non-stop.

<img src=x onerror="window.hacked = 1"><script>window.hacked = 2</script>
[a](javascript:window.hacked=3) $\\href{javascript:window.hacked=4}{x}$`;

page_test('Markdown, code and formulas; and markup stays text', {}, async (page) => {
  const turns = {
    a: { id: 'a', parent: null, role: 'user', created: 1, content: 'How fast does it fall?' },
    b: { id: 'b', parent: 'a', role: 'assistant', created: 2, content: SAMPLE },
  };
  const file = join(scratch, 'sample.json');
  writeFileSync(file, JSON.stringify({ godwit: 1, conversations: [{ title: 'A sample', turns }], media: {} }));
  await page.setInputFiles('.sidebar input[type=file]', file);
  await page.waitForSelector('.prose math');
  await page.waitForFunction(() => document.querySelectorAll('.formula math').length >= 3);
  assert.equal(await page.locator('.prose img, .prose script').count(), 0);
  assert.equal(await page.locator('.prose a[href^="javascript"], math [href^="javascript"], .prose math a').count(), 0);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  const link = page.locator('.prose a').first();
  assert.match(await link.getAttribute('rel'), /noopener/);
  assert.ok((await page.locator('.code .hl-keyword').count()) >= 2);
  assert.equal(await page.locator('.prose table tbody tr').count(), 2);
  assert.equal(await page.locator('.prose .code pre').last().innerText(), 'godwit  serve');
  const lines = await page.locator('.prose > ul > li.task').evaluateAll((items) =>
    items.map((item) => item.getBoundingClientRect().height / parseFloat(getComputedStyle(item).lineHeight)));
  assert.deepEqual(lines.map((line) => Math.round(line)), [1, 1], 'a box stands in the line of its task');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.click('[aria-label="Copy code"]');
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^def speed/);
  await page.locator('.scroll').evaluate((box) => (box.scrollTop = 0));
  await page.waitForTimeout(200);
  await shot(page, 'markdown');
});

page_test('settings reach the server', {}, async (page) => {
  await page.click('#settings-button');
  await page.fill('.settings textarea >> nth=0', 'You are terse.');
  await page.click('.settings .segments label:text-is("On")');
  await page.fill('.settings .number:has-text("Budget") input', '64');
  await page.fill('.settings .number:has-text("Seed") input', '7');
  await page.fill('.settings textarea.mono', '[{"name": 1}]');
  await eventually(() => page.locator('#tools-state').innerText(), /no function name/);
  await page.click('text=Example tools');
  await eventually(() => page.locator('#tools-state').innerText(), /get_weather/);
  await shot(page, 'settings');
  const [request] = await Promise.all([
    page.waitForRequest('**/v1/chat/completions'),
    (async () => {
      await page.fill('#message', 'Hello');
      await page.press('#message', 'Enter');
    })(),
  ]);
  const body = request.postDataJSON();
  assert.deepEqual(body.messages, [
    { role: 'system', content: 'You are terse.' },
    { role: 'user', content: 'Hello' },
  ]);
  assert.deepEqual(body.chat_template_kwargs, { enable_thinking: true });
  assert.equal(body.thinking_budget, 64);
  assert.equal(body.seed, 7);
  assert.equal(body.temperature, 0);
  assert.equal(body.tools.length, 3);
  await answered(page, 1);
});

page_test('an error of the server is told, and can be tried again', {}, async (page, faults) => {
  await page.route('**/v1/chat/completions', (route) =>
    route.fulfill({ status: 503, contentType: 'application/json', body: '{"error": {"message": "the queue is full"}}' }),
  );
  await ask(page, 'Name the capital of Ireland.');
  assert.equal(await page.locator('.turn .error').innerText(), 'the queue is full');
  await page.unroute('**/v1/chat/completions');
  await page.click('[aria-label="Answer again"]');
  await page.waitForSelector('.turn.assistant .prose');
  await answered(page, 1);
  await eventually(() => last_answer(page).innerText(), /Dublin/);
  // The browser itself reports the 503.
  assert.equal(faults.filter((fault) => /503/.test(fault)).length, faults.length);
  faults.length = 0;
});

page_test('a key is asked for, and kept', { key: 'sk-right' }, async (page, faults) => {
  const form = page.locator('.key-form');
  await page.waitForSelector('.key-form');
  assert.match(await form.innerText(), /asks for an API key/);
  await shot(page, 'key');
  await page.fill('#api-key', 'sk-wrong');
  await page.keyboard.press('Enter');
  await eventually(() => form.innerText(), /does not take/);
  await page.fill('#api-key', 'sk-right');
  await page.click('.key-form button');
  await eventually(() => form.count(), 0);
  await ask(page, 'Name the capital of Ireland.');
  assert.match(await last_answer(page).innerText(), /Dublin/);
  await page.reload();
  await page.waitForSelector('.turn.assistant');
  await ask(page, 'Name the capital of Japan.', 2);
  assert.equal(await form.count(), 0);
  // The browser itself reports the two 401.
  assert.deepEqual(faults.filter((fault) => !/401/.test(fault)), []);
  faults.length = 0;
});

page_test('model and machine', {}, async (page) => {
  for (const [i, city] of ['Ireland', 'Japan', 'France', 'Italy'].entries()) await ask(page, `Name the capital of ${city}.`, i + 1);
  await page.click('.sidebar a[href="#machine"]');
  await page.waitForSelector('.memory .legend li');
  assert.match(await page.locator('.card').first().innerText(), /nano/);
  assert.match(await page.locator('.memory').innerText(), /weights\s+[\d.]+ MB/);
  assert.match(await page.locator('.memory').innerText(), /for one conversation, at most [\d.]+ MB of/);
  assert.equal(await page.locator('.plot .point').count(), 8);
  await shot(page, 'machine');
  // Unloaded and loaded again, it is the same model, and the same start.
  const requests = async () => Number(/requests\s+(\d+),/.exec(await page.locator('.card').first().innerText())[1]);
  const before = await requests();
  assert.ok(before >= 4);
  await page.evaluate(() => fetch('/api/generate', { method: 'POST', body: '{"model": "nano", "keep_alive": 0}' }));
  await page.waitForSelector('.card .tag:text("loaded when asked for")');
  assert.match(await page.locator('.memory').innerText(), /weights\s+[\d.]+ MB/);
  assert.equal(await requests(), before);
  await page.goBack();
  await ask(page, 'Name the capital of Ireland.', 5);
  await page.click('.sidebar a[href="#machine"]');
  await page.waitForSelector('.card .tag.on');
  await eventually(requests, before + 1);
});

page_test('the keyboard is enough', {}, async (page) => {
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.id);
  assert.equal(await focused(), 'message');
  await page.keyboard.type('first line');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('second');
  assert.equal(await page.inputValue('#message'), 'first line\nsecond');
  await page.keyboard.press('Enter');
  await answered(page, 1);
  await page.keyboard.press('Control+k');
  await page.keyboard.type('machine');
  await shot(page, 'palette');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.machine');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('first');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.turn.assistant');
  // Every control can be reached and has a name.
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, input:not([hidden]), textarea, select, a[href]')]
      .filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim()))
      .map((one) => one.outerHTML.slice(0, 100)),
  );
  assert.deepEqual(nameless, []);
  for (const landmark of ['nav', 'main', 'header', '[role=log]', '[role=status][aria-live=polite]'])
    assert.ok((await page.locator(landmark).count()) >= 1, landmark);
  await page.reload();
  await page.waitForSelector('.turn.assistant');
  // The first stop of the tabulator leads to the message box.
  assert.equal(await page.evaluate(() => document.querySelector('a[href], button, input, textarea').className), 'skip');
  await page.focus('.skip');
  await page.keyboard.press('Enter');
  assert.equal(await focused(), 'message');
});

page_test('a phone', { width: 390, height: 844 }, async (page) => {
  await page.setInputFiles('.composer input[type=file]', join(source, 'examples/shapes.png'));
  await page.waitForSelector('.composer .thumbnail img');
  await ask(page, 'What is in the picture?');
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(await fits(), 'nothing sticks out');
  await shot(page, 'phone');
  await page.click('[aria-label="List of conversations"]');
  await page.waitForTimeout(400);
  await shot(page, 'phone-list');
  await page.tap('.list li.here a'); // the one that is open: it is shown
  await eventually(() => page.locator('.sidebar.open').count(), 0);
  assert.match(await last_answer(page).innerText(), /star/);
  await page.click('[aria-label="List of conversations"]');
  await page.waitForTimeout(400);
  await page.click('.sidebar a[href="#machine"]');
  await page.waitForSelector('.memory');
  await page.waitForTimeout(300);
  assert.ok(await fits(), 'the machine page, too');
  await shot(page, 'phone-machine');
  await page.goBack();
  await page.click('#settings-button');
  await page.waitForSelector('.settings');
  assert.ok(await fits(), 'and the settings');
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('.settings button, .top button, .composer button')]
      .map((one) => [one.getAttribute('aria-label') ?? one.textContent, one.getBoundingClientRect().height])
      .filter(([, height]) => height > 0 && height < 28),
  );
  assert.deepEqual(small, [], 'what is pressed is large enough');
});

page_test('dark, as the system is, and by choice', { dark: true, settings: { thinking: 'on' } }, async (page) => {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await eventually(paper, 'rgb(24, 22, 20)');
  await ask(page, 'What is 5 + 9?');
  await page.click('.thought-head');
  await shot(page, 'dark');
  await page.click('label:has(> input[name=theme][value=light])');
  await eventually(paper, 'rgb(250, 247, 242)');
  await page.reload();
  await page.waitForSelector('#message');
  await eventually(paper, 'rgb(250, 247, 242)'); // the choice is kept
});
