// The conversations kept in this browser: new, search, rename, delete, export; and below the ways
// to the machine page, to files and to the looks.
import { useRef, useState } from 'preact/hooks';

import { matches, type Conversation } from './conversation';
import { Bird, Icon } from './icons';
import {
  export_conversations,
  follow,
  import_file,
  new_chat,
  remove,
  rename,
  set,
  set_theme,
  use_state,
  type Theme,
} from './state';

const DAY = 86_400_000;

export function group_of(updated: number, now: number): string {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (updated >= midnight) return 'Today';
  if (updated >= midnight - DAY) return 'Yesterday';
  if (updated >= midnight - 6 * DAY) return 'Last seven days';
  return new Date(updated).toLocaleDateString(undefined, { month: 'long', year: 'numeric' });
}

export function by_time(conversations: Iterable<Conversation>): Conversation[] {
  return [...conversations].sort((a, b) => b.updated - a.updated);
}

export function Sidebar() {
  const { conversations, sidebar_open, view } = use_state();
  const [query, set_query] = useState('');
  const found = by_time(conversations.values()).filter((one) => matches(one, query));
  const groups = new Map<string, Conversation[]>();
  for (const one of found) {
    const name = group_of(one.updated, Date.now());
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  return (
    <nav class={`sidebar${sidebar_open ? ' open' : ''}`} aria-label="Conversations" id="sidebar">
      <div class="brand">
        <a href="#" aria-label="Godwit, new conversation" onClick={(event) => (event.preventDefault(), new_chat())}>
          <Bird size={34} />
          <span>Godwit</span>
        </a>
        <button class="quiet only-phone" aria-label="Close the list" onClick={() => set({ sidebar_open: false })}>
          <Icon name="close" />
        </button>
      </div>
      <button class="new-chat" onClick={new_chat}>
        <Icon name="plus" /> New conversation
      </button>
      <label class="search">
        <Icon name="search" />
        <span class="hidden">Search conversations</span>
        <input
          type="search"
          placeholder="Search"
          value={query}
          onInput={(event) => set_query(event.currentTarget.value)}
        />
        <kbd aria-hidden="true">Ctrl K</kbd>
      </label>
      <div class="list" onKeyDown={move_focus}>
        {found.length === 0 && (
          <p class="empty">{query ? 'Nothing found.' : 'Conversations stay in this browser, and appear here.'}</p>
        )}
        {[...groups].map(([name, list]) => (
          <section key={name} aria-label={name}>
            <h2>{name}</h2>
            <ul>
              {list.map((one) => (
                <Entry key={one.id} conversation={one} />
              ))}
            </ul>
          </section>
        ))}
      </div>
      <div class="foot">
        <a class={`foot-link${view === 'machine' ? ' here' : ''}`} href="#machine" aria-current={view === 'machine' ? 'page' : undefined} onClick={follow}>
          <Icon name="machine" /> Model and machine
        </a>
        <Files />
        <Themes />
      </div>
    </nav>
  );
}

// Arrows walk the list.
function move_focus(event: KeyboardEvent): void {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const links = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('a')];
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = links[at + (event.key === 'ArrowDown' ? 1 : -1)];
  if (at < 0 || !next) return;
  event.preventDefault();
  next.focus();
}

function select_once(input: HTMLInputElement | null): void {
  if (input && input !== document.activeElement) input.select();
}

function Entry({ conversation }: { conversation: Conversation }) {
  const { current, view, live } = use_state();
  const [renaming, set_renaming] = useState(false);
  const title = conversation.title || 'Untitled';
  const here = view === 'chat' && current === conversation.id;
  if (renaming) {
    const done = (event: Event) => {
      rename(conversation.id, (event.currentTarget as HTMLInputElement).value);
      set_renaming(false);
    };
    return (
      <li>
        <input
          class="rename"
          aria-label="New name"
          value={conversation.title}
          ref={select_once}
          onBlur={done}
          onKeyDown={(event) => {
            if (event.key === 'Enter') done(event);
            if (event.key === 'Escape') set_renaming(false);
          }}
        />
      </li>
    );
  }
  return (
    <li class={here ? 'here' : undefined}>
      <a
        href={`#c/${conversation.id}`}
        aria-current={here ? 'page' : undefined}
        title={title}
        onClick={follow}
        onKeyDown={(event) => {
          if (event.key === 'F2') set_renaming(true);
          if (event.key === 'Delete') remove(conversation.id);
        }}
      >
        {live.has(conversation.id) && <span class="pulse" role="img" aria-label="answering" />}
        {title}
      </a>
      <span class="entry-tools">
        <button class="quiet" aria-label={`Rename ${title}`} title="Rename (F2)" onClick={() => set_renaming(true)}>
          <Icon name="edit" />
        </button>
        <button
          class="quiet"
          aria-label={`Export ${title}`}
          title="Export as a file"
          onClick={() => void export_conversations([conversation.id])}
        >
          <Icon name="download" />
        </button>
        <button class="quiet" aria-label={`Delete ${title}`} title="Delete (Del)" onClick={() => remove(conversation.id)}>
          <Icon name="trash" />
        </button>
      </span>
    </li>
  );
}

function Files() {
  const { conversations } = use_state();
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="foot-row">
      <button class="foot-link" onClick={() => input.current?.click()}>
        <Icon name="upload" /> Import
      </button>
      <button
        class="foot-link"
        disabled={conversations.size === 0}
        onClick={() => void export_conversations([...conversations.keys()])}
      >
        <Icon name="download" /> Export all
      </button>
      <input
        ref={input}
        type="file"
        accept=".json,application/json"
        hidden
        aria-label="File of conversations"
        onChange={(event) => {
          for (const file of event.currentTarget.files ?? []) void import_file(file);
          event.currentTarget.value = '';
        }}
      />
    </div>
  );
}

function Themes() {
  const { theme } = use_state();
  const choices: [Theme, string, 'auto' | 'sun' | 'moon'][] = [
    ['system', 'As the system', 'auto'],
    ['light', 'Light', 'sun'],
    ['dark', 'Dark', 'moon'],
  ];
  return (
    <div class="segments themes" role="radiogroup" aria-label="Looks">
      {choices.map(([value, label, icon]) => (
        <label key={value} title={label}>
          <input
            type="radio"
            name="theme"
            value={value}
            checked={theme === value}
            onChange={() => set_theme(value)}
            aria-label={label}
          />
          <Icon name={icon} />
        </label>
      ))}
    </div>
  );
}
