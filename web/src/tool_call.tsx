// A tool call that people can read, and the place to give its result by hand.
import { useState } from 'preact/hooks';

import { give_results } from './answers';
import type { ToolCall } from './conversation';
import { Icon } from './icons';

export function ToolCallCard({ call, running }: { call: ToolCall; running: boolean }) {
  const values = read_arguments(call.arguments);
  return (
    <section class="call" aria-label={`Call of ${call.name}`}>
      <header>
        <Icon name="tool" /> <code>{call.name}</code>
        {running && !values && <span class="pulse" role="img" aria-label="arriving" />}
      </header>
      {values ? (
        values.length > 0 && (
          <dl>
            {values.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{typeof value === 'string' ? value : JSON.stringify(value, null, 1)}</dd>
              </div>
            ))}
          </dl>
        )
      ) : (
        <pre>{call.arguments}</pre>
      )}
    </section>
  );
}

// null: not (yet) an object.
function read_arguments(text: string): [string, unknown][] | null {
  try {
    const value: unknown = JSON.parse(text || '{}');
    if (typeof value === 'object' && value && !Array.isArray(value)) return Object.entries(value);
  } catch {
    // Still streaming, or cut.
  }
  return null;
}

export function ResultForm({ calls }: { calls: ToolCall[] }) {
  const [results, set_results] = useState<string[]>(calls.map(() => ''));
  return (
    <form
      class="results"
      aria-label="Results of the tool calls"
      onSubmit={(event) => {
        event.preventDefault();
        give_results(results);
      }}
    >
      {calls.map((call, i) => (
        <label key={call.id}>
          <span>
            What does <code>{call.name}</code> return?
          </span>
          <textarea
            rows={2}
            value={results[i] ?? ''}
            placeholder={'Text or JSON, for example {"degrees": 12, "sky": "clear"}'}
            onInput={(event) => {
              const text = event.currentTarget.value;
              set_results((old) => old.map((one, j) => (i === j ? text : one)));
            }}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              event.currentTarget.form?.requestSubmit();
            }}
          />
        </label>
      ))}
      <div class="row-end">
        <button type="submit" class="button primary">
          {calls.length === 1 ? 'Give result' : 'Give results'}
        </button>
      </div>
    </form>
  );
}
