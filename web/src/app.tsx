// The page: list of conversations, conversation or machine page, settings.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

import { stop } from './answers';
import { api_key, set_api_key } from './api';
import { Composer, pick_files, suggest } from './composer';
import { children, open_calls, path, type Conversation } from './conversation';
import { Bird, Icon } from './icons';
import { Machine } from './machine';
import { MessageView } from './message_view';
import { Palette, global_keys } from './palette';
import { EXAMPLE_TOOLS, SettingsDrawer } from './settings';
import { Sidebar } from './sidebar';
import { change_settings, current_conversation, current_settings, load_info, rename, set, state, use_state } from './state';
import { ResultForm } from './tool_call';

function on_key(event: KeyboardEvent): void {
  global_keys(event);
  if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open]')) return;
  if (state.live.has(state.current)) stop();
  else if (state.settings_open || state.sidebar_open) set({ settings_open: false, sidebar_open: false });
}

export function App() {
  const { ready, view, needs_key, palette_open, settings_open, sidebar_open, announcement } = use_state();
  useEffect(() => {
    window.addEventListener('keydown', on_key);
    return () => window.removeEventListener('keydown', on_key);
  }, []);
  if (!ready) return null;
  return (
    <div class="app">
      <a class="skip" href="#message" onClick={(event) => (event.preventDefault(), document.getElementById('message')?.focus())}>
        To the message box
      </a>
      <Sidebar />
      {sidebar_open && <div class="shade" onClick={() => set({ sidebar_open: false })} />}
      <main>
        <TopBar />
        {needs_key && <KeyForm />}
        {view === 'machine' ? <Machine /> : <Chat />}
      </main>
      {settings_open && view === 'chat' && <SettingsDrawer />}
      {palette_open && <Palette />}
      <NoticeBar />
      <div class="hidden" role="status" aria-live="polite">
        {announcement}
      </div>
    </div>
  );
}

function TopBar() {
  const { view, settings_open, info, info_error, needs_key } = use_state();
  const conversation = current_conversation();
  const title = view === 'machine' ? 'Model and machine' : conversation?.title || 'New conversation';
  useEffect(() => {
    document.title = view === 'chat' && !conversation ? 'Godwit' : `${title} · Godwit`;
  }, [title, view]);
  const model = current_settings().model || info?.models[0]?.id || '';
  const changed = Object.values(current_settings()).some((value) => value !== null && value !== '' && value !== 'auto');
  return (
    <header class="top">
      <button class="quiet only-phone" aria-label="List of conversations" aria-controls="sidebar" onClick={() => set({ sidebar_open: true })}>
        <Icon name="menu" />
      </button>
      <h1>
        {conversation && view === 'chat' ? (
          <input
            aria-label="Name of this conversation"
            value={conversation.title}
            placeholder="Untitled"
            onChange={(event) => rename(conversation.id, event.currentTarget.value)}
            onKeyDown={(event) => event.key === 'Enter' && event.currentTarget.blur()}
          />
        ) : (
          title
        )}
      </h1>
      <a class={`model${info_error ? ' down' : ''}`} href="#machine" title={info_error || 'Model and machine'}>
        <span class="light" aria-hidden="true" />
        {needs_key ? 'key needed' : info_error ? 'not reachable' : model || '…'}
      </a>
      {view === 'chat' && (
        <button
          id="settings-button"
          class={`quiet${changed ? ' marked' : ''}`}
          aria-label="Settings of this conversation"
          aria-expanded={settings_open}
          title="System prompt, thinking, sampling, tools"
          onClick={() => set({ settings_open: !settings_open })}
        >
          <Icon name="sliders" />
        </button>
      )}
    </header>
  );
}

function Chat() {
  const conversation = current_conversation();
  const [editing, set_editing] = useState('');
  const edit_last = () => {
    const last = conversation && path(conversation).findLast((turn) => turn.role === 'user');
    if (last) set_editing(last.id);
  };
  return (
    <>
      {conversation && path(conversation).length > 0 ? (
        <Log key={conversation.id} conversation={conversation} editing={editing} set_editing={set_editing} />
      ) : (
        <Welcome />
      )}
      <Composer edit_last={edit_last} />
    </>
  );
}

interface LogProps {
  conversation: Conversation;
  editing: string;
  set_editing: (id: string) => void;
}

function Log({ conversation, editing, set_editing }: LogProps) {
  const { live } = use_state();
  const running = live.get(conversation.id);
  const turns = path(conversation);
  const calls = running ? [] : open_calls(turns);
  const names = new Map(turns.flatMap((turn) => (turn.calls ?? []).map((call) => [call.id, call.name] as const)));
  const { box, at_end, to_end } = use_follow(running?.turn);
  return (
    <div class="scroll" ref={box}>
      <div class="log" role="log" aria-label="Conversation" aria-busy={running !== undefined}>
        {turns.map((turn) => {
          const siblings = children(conversation, turn.parent);
          return (
            <MessageView
              key={turn.id}
              turn={turn}
              sibling={siblings.indexOf(turn)}
              siblings={siblings.length}
              running={running?.turn === turn.id}
              busy={running !== undefined}
              editing={editing === turn.id}
              set_editing={set_editing}
              called={names.get(turn.call_id ?? '') ?? 'tool'}
            />
          );
        })}
        {calls.length > 0 && <ResultForm key={turns.at(-1)!.id} calls={calls} />}
      </div>
      {!at_end && (
        <button class="to-end" aria-label="To the end" onClick={to_end}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

// Follows what grows as long as the reader is at the end; who asks is taken there.
function use_follow(answering: string | undefined) {
  const box = useRef<HTMLDivElement>(null);
  const follow = useRef(true);
  const [at_end, set_at_end] = useState(true);
  useLayoutEffect(() => {
    if (answering) follow.current = true;
  }, [answering]);
  useEffect(() => {
    const element = box.current!;
    const look = () => {
      follow.current = element.scrollHeight - element.scrollTop - element.clientHeight < 60;
      set_at_end(follow.current);
    };
    element.addEventListener('scroll', look, { passive: true });
    return () => element.removeEventListener('scroll', look);
  }, []);
  useLayoutEffect(() => {
    if (follow.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  });
  const to_end = () => {
    box.current?.scrollTo({ top: box.current.scrollHeight, behavior: 'smooth' });
  };
  return { box, at_end, to_end };
}

function Welcome() {
  const { info } = use_state();
  const model = info?.models[0];
  return (
    <div class="welcome">
      <Bird size={112} />
      <h2>Far, on little.</h2>
      <p>
        {model
          ? `${model.id} runs on this machine’s own processor. What you write stays here.`
          : 'A language model on this machine’s own processor.'}
      </p>
      <ul aria-label="To begin with">
        {model?.engine?.vision !== false && (
          <li>
            <button class="button" onClick={pick_files}>
              <Icon name="attach" /> Ask about a picture
            </button>
          </li>
        )}
        <li>
          <button class="button" onClick={() => (change_settings({ thinking: 'on' }), suggest('What is 5 + 9?'))}>
            <Icon name="thought" /> Let it think first
          </button>
        </li>
        <li>
          <button
            class="button"
            onClick={() => (change_settings({ tools: EXAMPLE_TOOLS }), suggest('How is the weather in Tokyo today?'))}
          >
            <Icon name="tool" /> Try a tool call
          </button>
        </li>
      </ul>
    </div>
  );
}

function KeyForm() {
  return (
    <form
      class="key-form"
      onSubmit={(event) => {
        event.preventDefault();
        set_api_key((new FormData(event.currentTarget).get('key') as string).trim());
        void load_info();
      }}
    >
      <label for="api-key">
        {api_key() ? 'The server does not take this API key. ' : 'This server asks for an API key. '}
        It is kept in this browser.
      </label>
      <input id="api-key" name="key" type="password" autocomplete="current-password" required ref={(input) => input?.focus()} />
      <button class="button primary">Use it</button>
    </form>
  );
}

function NoticeBar() {
  const { notice } = use_state();
  return (
    <div class="notice-place" role="status" aria-live="polite">
      {notice && (
        <div class="notice">
          <span>{notice.text}</span>
          {notice.action && (
            <button
              class="button"
              onClick={() => {
                notice.action!.run();
                set({ notice: null });
              }}
            >
              {notice.action.label}
            </button>
          )}
          <button class="quiet" aria-label="Dismiss" onClick={() => set({ notice: null })}>
            <Icon name="close" />
          </button>
        </div>
      )}
    </div>
  );
}
