// The live line under the message box: speed, prompt, what was reused and why not more.
import { useEffect, useState } from 'preact/hooks';

import { path, type Seen, type Turn, type Usage } from './conversation';
import { current_conversation, use_state, type Live } from './state';

export function number(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e5) return `${Math.round(value / 1e3)} k`;
  return Math.round(value).toLocaleString('en').replace(/,/g, ' ');
}

export function rate(tokens: number, seconds: number): string {
  if (seconds <= 0 || tokens <= 0) return '–';
  const speed = tokens / seconds;
  return speed >= 100 ? number(speed) : speed.toFixed(1);
}

export function Strip() {
  const { live, current } = use_state();
  const running = live.get(current);
  const [, tick] = useState(0);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => tick((n) => n + 1), 250);
    return () => clearInterval(timer);
  }, [running]);
  const conversation = current_conversation();
  const last = conversation && path(conversation).findLast((turn) => turn.role === 'assistant');
  return (
    <div class="strip" role="group" aria-label="Speed and reuse">
      {running ? (
        <Running live={running} />
      ) : last?.usage ? (
        <Done turn={last} usage={last.usage} />
      ) : last?.seen ? (
        <Stopped seen={last.seen} />
      ) : (
        <Hints />
      )}
    </div>
  );
}

function Running({ live }: { live: Live }) {
  const seconds = (performance.now() - live.started) / 1000;
  if (!live.first_piece) {
    const share = live.prompt_total ? live.prompt_done / live.prompt_total : 0;
    return (
      <>
        <progress value={share || undefined} max={1} aria-label="Prompt read" />
        <Fact value={live.prompt_total ? `${number(live.prompt_done)} of ${number(live.prompt_total)}` : '…'} name="prompt tokens read" />
        <Fact value={`${seconds.toFixed(1)} s`} name="" />
      </>
    );
  }
  const spent = (live.last_piece - live.first_piece) / 1000;
  return (
    <>
      <Fact value={rate(live.pieces - 1, spent)} name="tokens/s" strong />
      <Fact value={number(live.pieces)} name="tokens" />
      {live.prompt_total > 0 && <Fact value={number(live.prompt_total)} name="prompt" />}
      <span class="keys">
        <kbd>Esc</kbd> stops
      </span>
    </>
  );
}

// What was computed again is the end of a prompt that is known: no miss.
const kAllKnown = /^(\d+) of \1 tokens are known/;

function Done({ turn, usage }: { turn: Turn; usage: Usage }) {
  const computed = usage.prompt_tokens - usage.reused_tokens;
  return (
    <>
      <Fact value={rate(usage.completion_tokens - 1, usage.decode_seconds)} name="tokens/s" strong />
      <Fact value={number(usage.completion_tokens)} name="tokens" />
      <Fact value={number(usage.prompt_tokens)} name="prompt" />
      <Fact value={number(usage.reused_tokens)} name="reused" />
      {computed > 0 && usage.prefill_seconds > 0 && (
        <Fact value={rate(computed, usage.prefill_seconds)} name="prompt tokens/s" />
      )}
      {usage.reuse_note && !(kAllKnown.test(usage.reuse_note) && computed < 64) && <span class="note" title={usage.reuse_note}>{usage.reuse_note}</span>}
      {turn.finish === 'length' && <span class="note warn">cut at the length limit</span>}
    </>
  );
}

function Stopped({ seen }: { seen: Seen }) {
  return (
    <>
      {seen.tokens > 0 && <Fact value={rate(seen.tokens - 1, seen.seconds)} name="tokens/s" strong />}
      <Fact value={number(seen.tokens)} name="tokens" />
      {seen.tokens > 0 && seen.prompt > 0 && <Fact value={number(seen.prompt)} name="prompt" />}
      {seen.tokens === 0 && seen.prompt > 0 && (
        <Fact value={`${number(seen.prompt_read)} of ${number(seen.prompt)}`} name="prompt tokens read" />
      )}
      <span class="note warn">stopped</span>
    </>
  );
}

function Hints() {
  return (
    <span class="keys">
      <kbd>Enter</kbd> sends · <kbd>Shift Enter</kbd> new line · <kbd>Ctrl K</kbd> finds
    </span>
  );
}

function Fact({ value, name, strong }: { value: string; name: string; strong?: boolean }) {
  return (
    <span class={strong ? 'fact strong' : 'fact'}>
      <b>{value}</b> {name}
    </span>
  );
}
