// One turn on the page: a question, an answer with its thought and tool calls, or a tool's result.
import { useEffect, useRef, useState } from 'preact/hooks';

import { edit, other_branch, retry } from './answers';
import type { ToolCall, Turn } from './conversation';
import { Icon } from './icons';
import { CopyButton, Markdown } from './markdown_view';
import { MediaRow } from './media_row';
import { memo } from './memo';
import { branch_off } from './state';
import { ToolCallCard } from './tool_call';

export interface MessageProps {
  turn: Turn;
  sibling: number; // from 0
  siblings: number;
  running: boolean; // this turn grows now
  busy: boolean; // the conversation has an answer under way
  editing: boolean;
  set_editing: (id: string) => void;
  called: string; // role tool: the name of what was called
}

export const MessageView = memo(Message, ['turn', 'sibling', 'siblings', 'running', 'busy', 'editing', 'called']);

function Message(props: MessageProps) {
  const { turn, running, editing } = props;
  if (turn.role === 'tool') return <ToolResult turn={turn} name={props.called} />;
  const mine = turn.role === 'user';
  return (
    <article class={mine ? 'turn user' : 'turn assistant'} aria-label={mine ? 'You' : 'Answer'} aria-busy={running}>
      {turn.media && turn.media.length > 0 && <MediaRow media={turn.media} />}
      {editing ? (
        <Editor turn={turn} done={() => props.set_editing('')} />
      ) : mine ? (
        turn.content && <div class="bubble">{turn.content}</div>
      ) : (
        <Answer turn={turn} running={running} />
      )}
      {!editing && !running && <Tools {...props} />}
    </article>
  );
}

function Answer({ turn, running }: { turn: Turn; running: boolean }) {
  const waiting = running && !turn.content && !turn.reasoning && !turn.calls?.length;
  return (
    <>
      {turn.reasoning && <Thought turn={turn} running={running} />}
      {turn.content && <Markdown text={turn.content} />}
      {waiting && (
        <p class="waiting">
          <span />
          <span />
          <span />
          <span class="hidden">Reading the prompt</span>
        </p>
      )}
      {(turn.calls ?? []).map((call: ToolCall, i) => (
        <ToolCallCard key={i} call={call} running={running} />
      ))}
      {turn.error && (
        <p class="error" role="alert">
          {turn.error}
        </p>
      )}
      {turn.finish === 'stopped' && <p class="remark">Stopped.</p>}
      {turn.finish === 'length' && <p class="remark">Cut at the length limit.</p>}
      {turn.finish === 'edited' && <p class="remark">Edited by hand.</p>}
    </>
  );
}

export function duration(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

// Folded; while it grows, its last line is seen.
function Thought({ turn, running }: { turn: Turn; running: boolean }) {
  const [open, set_open] = useState(false);
  const thinking = running && turn.thinking_ms === undefined;
  const last_line = turn.reasoning!.trimEnd().split('\n').at(-1) ?? '';
  return (
    <div class={`thought${thinking ? ' now' : ''}`}>
      <button class="thought-head" aria-expanded={open} onClick={() => set_open(!open)}>
        <Icon name="thought" />
        <span>{thinking ? 'Thinking' : turn.thinking_ms === undefined ? 'Thought' : `Thought for ${duration(turn.thinking_ms)}`}</span>
        {thinking && !open && <span class="thought-line">{last_line}</span>}
        <Icon name={open ? 'down' : 'right'} />
      </button>
      {open && (
        <div class="thought-body">
          <Markdown text={turn.reasoning!} />
        </div>
      )}
    </div>
  );
}

function Tools(props: MessageProps) {
  const { turn, sibling, siblings, busy } = props;
  return (
    <div class="turn-tools" role="group" aria-label={turn.role === 'user' ? 'Of this question' : 'Of this answer'}>
      {siblings > 1 && (
        <span class="branches" role="group" aria-label={`Version ${sibling + 1} of ${siblings}`}>
          <button class="quiet" aria-label="Version before" disabled={sibling === 0} onClick={() => other_branch(turn, -1)}>
            <Icon name="left" />
          </button>
          <span>
            {sibling + 1}/{siblings}
          </span>
          <button
            class="quiet"
            aria-label="Version after"
            disabled={sibling === siblings - 1}
            onClick={() => other_branch(turn, 1)}
          >
            <Icon name="right" />
          </button>
        </span>
      )}
      {turn.content && <CopyButton text={turn.content} label="Copy" />}
      <button class="quiet" title="Edit" aria-label="Edit" disabled={busy} onClick={() => props.set_editing(turn.id)}>
        <Icon name="edit" />
      </button>
      {turn.role === 'assistant' && (
        <button class="quiet" title="Answer again" aria-label="Answer again" disabled={busy} onClick={() => retry(turn)}>
          <Icon name="retry" />
        </button>
      )}
      <button
        class="quiet"
        title="Go on from here in a new conversation"
        aria-label="Go on from here in a new conversation"
        onClick={() => branch_off(turn.id)}
      >
        <Icon name="branch" />
      </button>
    </div>
  );
}

function Editor({ turn, done }: { turn: Turn; done: () => void }) {
  const [text, set_text] = useState(turn.content);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    box.current?.focus();
    box.current?.setSelectionRange(text.length, text.length);
  }, []);
  const submit = () => {
    done();
    edit(turn, text);
    document.getElementById('message')?.focus();
  };
  return (
    <form class="editor" onSubmit={(event) => (event.preventDefault(), submit())}>
      <textarea
        ref={box}
        aria-label={turn.role === 'user' ? 'Question' : 'Answer'}
        value={text}
        rows={Math.min(16, text.split('\n').length + 1)}
        onInput={(event) => set_text(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') {
            event.stopPropagation();
            done();
          } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && turn.role === 'user') {
            event.preventDefault();
            submit();
          }
        }}
      />
      <div class="row-end">
        <button type="button" class="button" onClick={done}>
          Cancel
        </button>
        <button type="submit" class="button primary">
          {turn.role === 'user' ? 'Ask' : 'Keep'}
        </button>
      </div>
    </form>
  );
}

function ToolResult({ turn, name }: { turn: Turn; name: string }) {
  return (
    <article class="turn tool-result" aria-label={`Result of ${name}`}>
      <header>
        <Icon name="check" /> Result of <code>{name}</code>
      </header>
      <pre tabIndex={0}>{turn.content || '(empty)'}</pre>
    </article>
  );
}
