// Where a message is written: text, pictures and clips (button, drop, paste); Enter sends,
// Shift+Enter breaks the line, Esc stops, ↑ in an empty box edits the last question.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { send, stop } from './answers';
import type { Thinking } from './conversation';
import { draft_of, forget_draft, set_draft, type Draft } from './drafts';
import { Icon } from './icons';
import { MediaRow } from './media_row';
import { change_settings, changed, current_settings, notify, state, use_state } from './state';
import { add_media, media_kind } from './storage';
import { Strip } from './strip';

// Puts a question into the box for the reader to send.
export function suggest(text: string): void {
  set_draft(state.current, { text, media: [] });
  changed();
  document.getElementById('message')?.focus();
}

export function pick_files(): void {
  document.querySelector<HTMLInputElement>('.composer input[type=file]')?.click();
}

export function Composer({ edit_last }: { edit_last: () => void }) {
  const { current, live, info } = use_state();
  const draft = draft_of(current);
  const [, redraw] = useState(0);
  const [dragging, set_dragging] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  const answering = live.has(current);

  const change = (part: Partial<Draft>) => {
    set_draft(current, { ...draft_of(current), ...part });
    redraw((n) => n + 1);
  };
  const attach = async (files: Iterable<File>) => {
    for (const file of files) {
      try {
        const media = await add_media(file);
        change({ media: [...draft_of(current).media, media] });
      } catch (error) {
        notify((error as Error).message);
      }
    }
    box.current?.focus();
  };
  const submit = () => {
    if (answering || (draft.text.trim() === '' && draft.media.length === 0)) return;
    forget_draft(current);
    redraw((n) => n + 1);
    send(draft.text, draft.media);
  };

  useLayoutEffect(() => {
    const area = box.current!;
    area.style.height = 'auto';
    area.style.height = `${Math.min(area.scrollHeight, innerHeight * 0.4)}px`;
  }, [draft.text, current]);
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) box.current?.focus();
  }, [current]);
  useEffect(() => file_drops(set_dragging, (files) => void attach(files)), [current]);

  const model = info?.models.find((one) => one.id === current_settings().model) ?? info?.models[0];
  const sees = model?.engine?.vision !== false;
  return (
    <div class="composer-place">
      <form
        class={`composer${dragging ? ' dragging' : ''}`}
        onSubmit={(event) => (event.preventDefault(), submit())}
        aria-label="Message"
      >
        {draft.media.length > 0 && (
          <MediaRow
            media={draft.media}
            onRemove={(id) => change({ media: draft.media.filter((one) => one.id !== id) })}
          />
        )}
        <label class="hidden" for="message">Message</label>
        <textarea
          id="message"
          ref={box}
          rows={1}
          placeholder={dragging ? 'Drop pictures or clips here' : 'Ask something'}
          value={draft.text}
          onInput={(event) => change({ text: event.currentTarget.value })}
          onPaste={(event) => {
            const files = [...(event.clipboardData?.files ?? [])].filter((file) => media_kind(file.type));
            if (files.length === 0) return;
            event.preventDefault();
            void attach(files);
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
              event.preventDefault();
              submit();
            } else if (event.key === 'ArrowUp' && draft.text === '' && draft.media.length === 0) {
              event.preventDefault();
              edit_last();
            }
          }}
        />
        <div class="composer-tools">
          <button
            type="button"
            class="quiet"
            disabled={!sees}
            title={sees ? 'Attach pictures or clips' : 'This model does not see pictures'}
            aria-label="Attach pictures or clips"
            onClick={pick_files}
          >
            <Icon name="attach" />
          </button>
          <input
            type="file"
            hidden
            multiple
            accept="image/png,image/jpeg,image/webp,image/gif,image/bmp,video/*"
            aria-label="Pictures and clips"
            onChange={(event) => {
              void attach([...(event.currentTarget.files ?? [])]);
              event.currentTarget.value = '';
            }}
          />
          <ThinkingSwitch />
          <span class="spacer" />
          {answering ? (
            <button type="button" class="send stop" onClick={stop} title="Stop (Esc)" aria-label="Stop answering">
              <Icon name="stop" />
            </button>
          ) : (
            <button
              type="submit"
              class="send"
              title="Send (Enter)"
              aria-label="Send"
              disabled={draft.text.trim() === '' && draft.media.length === 0}
            >
              <Icon name="send" />
            </button>
          )}
        </div>
      </form>
      <Strip />
    </div>
  );
}

function ThinkingSwitch() {
  use_state();
  const { thinking } = current_settings();
  const next: Record<Thinking, Thinking> = { auto: 'on', on: 'off', off: 'auto' };
  return (
    <button
      type="button"
      class={`chip thinking-${thinking}`}
      title="Thinking before the answer: as the model likes, on, or off"
      aria-label={`Thinking: ${thinking}`}
      onClick={() => change_settings({ thinking: next[thinking] })}
    >
      <Icon name="thought" /> {thinking === 'auto' ? 'Thinking' : `Thinking ${thinking}`}
    </button>
  );
}

// Files dropped anywhere on the page.
function file_drops(dragging: (now: boolean) => void, take: (files: File[]) => void): () => void {
  let depth = 0;
  const has_files = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  const enter = (event: DragEvent) => {
    if (has_files(event)) dragging(++depth > 0);
  };
  const leave = (event: DragEvent) => {
    if (has_files(event) && --depth <= 0) dragging(false);
  };
  const over = (event: DragEvent) => {
    if (has_files(event)) event.preventDefault();
  };
  const drop = (event: DragEvent) => {
    depth = 0;
    dragging(false);
    if (!has_files(event) || state.view !== 'chat') return;
    event.preventDefault();
    take([...event.dataTransfer!.files]);
  };
  const pairs = [['dragenter', enter], ['dragleave', leave], ['dragover', over], ['drop', drop]] as const;
  for (const [name, listener] of pairs) window.addEventListener(name, listener);
  return () => {
    for (const [name, listener] of pairs) window.removeEventListener(name, listener);
  };
}
