// The drawer of a conversation's settings: model, system prompt, thinking, sampling, tools.
import { useEffect, useRef } from 'preact/hooks';

import { read_tools } from './api';
import type { Settings, Thinking } from './conversation';
import { Icon } from './icons';
import { change_settings, current_settings, make_default, set, use_state } from './state';

interface NumberField {
  key: 'temperature' | 'top_p' | 'top_k' | 'min_p' | 'presence_penalty' | 'max_tokens' | 'seed';
  label: string;
  hint: string;
  least: number;
  most: number;
  step: number;
}

const SAMPLING: NumberField[] = [
  { key: 'temperature', label: 'Temperature', hint: '0 is always the likeliest word', least: 0, most: 2, step: 0.05 },
  { key: 'top_p', label: 'Top p', hint: 'share of probability kept', least: 0, most: 1, step: 0.01 },
  { key: 'top_k', label: 'Top k', hint: 'words kept, 0 for all', least: 0, most: 1000, step: 1 },
  { key: 'min_p', label: 'Min p', hint: 'least share of the likeliest', least: 0, most: 1, step: 0.01 },
  { key: 'presence_penalty', label: 'Presence penalty', hint: 'against repeating', least: -2, most: 2, step: 0.1 },
  { key: 'max_tokens', label: 'Longest answer', hint: 'tokens', least: 1, most: 262144, step: 1 },
  { key: 'seed', label: 'Seed', hint: 'the same again', least: 0, most: Number.MAX_SAFE_INTEGER, step: 1 },
];

const EXAMPLES = [
  tool('get_weather', 'Current weather of a city', { city: ['string', 'Name of the city'] }),
  tool('get_time', 'Local time of a city', { city: ['string', 'Name of the city'] }),
  tool('multiply', 'Multiply two numbers', { a: ['integer', 'First factor'], b: ['integer', 'Second factor'] }),
];
export const EXAMPLE_TOOLS = JSON.stringify(EXAMPLES, null, 2);

function tool(name: string, description: string, fields: Record<string, [string, string]>) {
  const properties = Object.fromEntries(
    Object.entries(fields).map(([key, [type, text]]) => [key, { type, description: text }]),
  );
  const parameters = { type: 'object', properties, required: Object.keys(fields) };
  return { type: 'function', function: { name, description, parameters } };
}

export function SettingsDrawer() {
  const { info } = use_state();
  const settings = current_settings();
  const head = useRef<HTMLHeadingElement>(null);
  useEffect(() => head.current?.focus(), []);
  const close = () => {
    set({ settings_open: false });
    document.getElementById('settings-button')?.focus();
  };
  return (
    <aside class="settings" aria-label="Settings of this conversation">
      <header>
        <h2 ref={head} tabIndex={-1}>Settings</h2>
        <button class="quiet" aria-label="Close settings" onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      {info && info.models.length > 1 && (
        <label class="field">
          <span>Model</span>
          <select value={settings.model} onChange={(event) => change_settings({ model: event.currentTarget.value })}>
            <option value="">{info.models[0]!.id} (default)</option>
            {info.models.map((model) => (
              <option key={model.id} value={model.id}>
                {model.id}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="field">
        <span>System prompt</span>
        <textarea
          rows={5}
          placeholder="How the model should behave in this conversation"
          value={settings.system}
          onInput={(event) => change_settings({ system: event.currentTarget.value })}
        />
      </label>
      <ThinkingFields settings={settings} />
      <fieldset>
        <legend>Sampling</legend>
        <div class="numbers">
          {SAMPLING.map((field) => (
            <NumberInput key={field.key} field={field} value={settings[field.key]} />
          ))}
        </div>
      </fieldset>
      <ToolsField text={settings.tools} />
      <button class="button wide" onClick={make_default}>
        Begin new conversations like this
      </button>
    </aside>
  );
}

function ThinkingFields({ settings }: { settings: Settings }) {
  const choices: [Thinking, string][] = [['auto', 'Auto'], ['on', 'On'], ['off', 'Off']];
  return (
    <fieldset>
      <legend>Thinking</legend>
      <div class="segments">
        {choices.map(([value, label]) => (
          <label key={value}>
            <input
              type="radio"
              name="thinking"
              value={value}
              checked={settings.thinking === value}
              onChange={() => change_settings({ thinking: value })}
            />
            {label}
          </label>
        ))}
      </div>
      <label class="number">
        <span>
          Budget <small>tokens, then it answers</small>
        </span>
        <input
          type="number"
          inputMode="numeric"
          min={0}
          step={64}
          placeholder="none"
          disabled={settings.thinking === 'off'}
          value={settings.thinking_budget ?? ''}
          onInput={(event) => change_settings({ thinking_budget: read_number(event.currentTarget) })}
        />
      </label>
    </fieldset>
  );
}

function read_number(input: HTMLInputElement): number | null {
  const { badInput, rangeOverflow, rangeUnderflow } = input.validity;
  if (input.value === '' || badInput || rangeOverflow || rangeUnderflow) return null;
  return input.valueAsNumber;
}

function NumberInput({ field, value }: { field: NumberField; value: number | null }) {
  return (
    <label class="number">
      <span>
        {field.label} <small>{field.hint}</small>
      </span>
      <input
        type="number"
        inputMode="decimal"
        min={field.least}
        max={field.most}
        step={field.step}
        placeholder="model’s"
        value={value ?? ''}
        onInput={(event) => change_settings({ [field.key]: read_number(event.currentTarget) })}
      />
    </label>
  );
}

function ToolsField({ text }: { text: string }) {
  let problem = '';
  let names: string[] = [];
  try {
    names = read_tools(text).map((one) => (one as { function: { name: string } }).function.name);
  } catch (error) {
    problem = (error as Error).message;
  }
  return (
    <fieldset>
      <legend>Tools</legend>
      <label class="field">
        <span class="hidden">List of tools, JSON</span>
        <textarea
          class="mono"
          rows={text ? 10 : 3}
          spellcheck={false}
          placeholder="A JSON list of functions the model may call"
          value={text}
          aria-invalid={problem !== ''}
          aria-describedby="tools-state"
          onInput={(event) => change_settings({ tools: event.currentTarget.value })}
        />
      </label>
      <p id="tools-state" class={problem ? 'error' : 'remark'} aria-live="polite">
        {problem || (names.length > 0 ? names.join(', ') : 'You give the results by hand.')}
      </p>
      <div class="row-end">
        {text && (
          <button class="button" onClick={() => change_settings({ tools: '' })}>
            Clear
          </button>
        )}
        <button class="button" onClick={() => change_settings({ tools: EXAMPLE_TOOLS })}>
          Example tools
        </button>
      </div>
    </fieldset>
  );
}
