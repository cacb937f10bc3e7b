// The model and the machine: what is loaded, where its memory goes, what the cache holds, and how
// fast this browser's own answers were over the length of the context.
import { useEffect } from 'preact/hooks';

import type { EngineInfo, MemoryPlan, ModelState, ServerInfo } from './api';
import { Icon } from './icons';
import { Plot, type Point } from './plot';
import { load_info, set, use_state } from './state';
import { clear_speeds, type Speed } from './storage';
import { number, rate } from './strip';

export function bytes(value: number): string {
  if (value >= 2 ** 30) return `${(value / 2 ** 30).toPrecision(3)} GB`;
  if (value >= 2 ** 20) return `${(value / 2 ** 20).toPrecision(3)} MB`;
  return `${Math.max(value / 1024, value > 0 ? 0.1 : 0).toFixed(value < 10240 ? 1 : 0)} kB`;
}

export function Machine() {
  const { info, info_error, speeds } = use_state();
  useEffect(() => {
    void load_info();
    const timer = setInterval(() => void load_info(), 4000);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="machine">
      {info_error && <p class="error" role="alert">{info_error}</p>}
      {info && (
        <>
          {info.models.map((model) => (
            <ModelCard key={model.id} model={model} info={info} />
          ))}
          <Speeds speeds={speeds} served={info.models.map(({ id }) => id)} />
        </>
      )}
    </div>
  );
}

function ModelCard({ model, info }: { model: ModelState; info: ServerInfo }) {
  const about = model.engine;
  return (
    <section class="card" aria-label={`Model ${model.id}`}>
      <header>
        <h2>{model.id}</h2>
        <span class={model.loaded ? 'tag on' : 'tag'}>{model.loaded ? 'loaded' : 'loaded when asked for'}</span>
        {about?.vision && <span class="tag">sees</span>}
      </header>
      {about && (
        <>
          <dl class="facts">
            <Fact name="parameters" value={number(about.parameters)} />
            <Fact name="weights" value={about.weight_types} />
            <Fact name="longest context" value={`${number(about.context)} tokens`} />
            <Fact name="layers" value={`${about.layers}, ${about.attention_layers} with attention`} />
            <Fact name="width" value={number(about.hidden)} />
            <Fact name="vocabulary" value={number(about.vocabulary)} />
            {about.experts > 0 && <Fact name="experts" value={number(about.experts)} />}
            <Fact name="template" value={about.template} />
            <Fact name="processor" value={about.cpu} wide />
            <Fact name="kernels" value={about.isa} />
            <Fact name="threads" value={`${about.threads} of ${info.machine.processors}`} />
          </dl>
          {about.template_note && <p class="remark">{about.template_note}</p>}
          <Memory plan={about.memory} machine={info.machine.memory_bytes} />
        </>
      )}
      {about && <Activity stats={about.stats} />}
    </section>
  );
}

function Fact({ name, value, wide }: { name: string; value: string; wide?: boolean }) {
  return (
    <div class={wide ? 'wide' : undefined}>
      <dt>{name}</dt>
      <dd>{value || '–'}</dd>
    </div>
  );
}

const PARTS: [keyof MemoryPlan, string][] = [
  ['weights', 'weights'],
  ['kv_pages', 'attention pages'],
  ['snapshots', 'snapshots'],
  ['recurrent', 'recurrent states'],
  ['workspace', 'workspace'],
  ['tokenizer', 'tokenizer'],
  ['other', 'other'],
];

// One conversation that fills the context; and what more of them, and prefixes that are kept, may
// take beside it.
function Memory({ plan, machine }: { plan: MemoryPlan; machine: number }) {
  const parts = PARTS.map(([key, name]) => ({ name, size: plan[key], look: `part-${key}` }));
  parts.push({ name: 'more conversations, kept prefixes', size: plan.limit - plan.total, look: 'part-more' });
  const shown = parts.filter(({ size }) => size > 0);
  return (
    <section class="memory" aria-label="Memory plan">
      <h3>
        Memory plan{' '}
        <small>
          {bytes(plan.total)} for one conversation, at most {bytes(plan.limit)} of the machine’s {bytes(machine)}
          {plan.on_disk > 0 && `; ${bytes(plan.on_disk)} of weights stay on disk`}
        </small>
      </h3>
      <div class="bar" aria-hidden="true">
        {shown.map(({ look, size }) => (
          <span key={look} class={look} style={{ flexGrow: size / plan.limit }} />
        ))}
      </div>
      <ul class="legend">
        {shown.map(({ look, size, name }) => (
          <li key={look}>
            <span class={`dot ${look}`} aria-hidden="true" /> {name} <b>{bytes(size)}</b>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Activity({ stats }: { stats: EngineInfo['stats'] }) {
  const share = stats.prompt_tokens > 0 ? Math.round((100 * stats.reused_tokens) / stats.prompt_tokens) : 0;
  const computed = stats.prompt_tokens - stats.reused_tokens;
  return (
    <section aria-label="Since the start">
      <h3>Since the start</h3>
      <dl class="facts">
        <Fact name="requests" value={`${number(stats.requests)}, ${stats.running} running, ${stats.waiting} waiting`} />
        <Fact name="prompt tokens" value={`${number(stats.prompt_tokens)}, ${share} % reused`} />
        <Fact name="prompt speed" value={`${rate(computed, stats.prefill_seconds)} tokens/s`} />
        <Fact name="generated" value={`${number(stats.generated_tokens)} tokens`} />
        <Fact name="pages in use" value={`${number(stats.pages_used)} of ${number(stats.pages_total)}`} />
        <Fact name="snapshots" value={`${number(stats.snapshots)}, ${bytes(stats.snapshot_bytes)}`} />
        <Fact name="prompts reused" value={`${number(stats.reuse_whole)} whole, ${number(stats.reuse_diverged)} in part`} />
        <Fact name="not reused" value={`${number(stats.reuse_unknown)} new, ${number(stats.reuse_no_snapshot)} without a snapshot`} />
      </dl>
    </section>
  );
}

// A model's speeds say nothing of another's: each has plots of its own.
function Speeds({ speeds, served }: { speeds: Speed[]; served: string[] }) {
  const known = served.filter((model) => speeds.some((one) => one.model === model));
  const models = known.length > 0 ? known : served.slice(0, 1);
  const clear = async () => {
    await clear_speeds();
    set({ speeds: [] });
  };
  return (
    <section class="card" aria-label="Speed over context">
      <header>
        <h2>Speed over context</h2>
        <span class="spacer" />
        {speeds.length > 0 && (
          <button class="button" onClick={() => void clear()}>
            <Icon name="trash" /> Forget
          </button>
        )}
      </header>
      <p class="remark">Measured from the answers that this browser was given.</p>
      {models.map((model) => (
        <div key={model}>
          {models.length > 1 && <h3>{model}</h3>}
          <Plots speeds={speeds.filter((one) => one.model === model)} />
        </div>
      ))}
    </section>
  );
}

function Plots({ speeds }: { speeds: Speed[] }) {
  const when = (speed: Speed) => new Date(speed.at).toLocaleString();
  const decode: Point[] = speeds
    .filter((one) => one.generated > 1 && one.decode_seconds > 0)
    .map((one) => {
      const y = (one.generated - 1) / one.decode_seconds;
      return { x: one.context, y, label: `${y.toFixed(1)} tokens/s at ${one.context} tokens, ${when(one)}` };
    });
  const prefill: Point[] = speeds
    .filter((one) => one.computed > 0 && one.prefill_seconds > 0)
    .map((one) => {
      const y = one.computed / one.prefill_seconds;
      return { x: one.context, y, label: `${y.toFixed(0)} tokens/s, ${one.computed} computed, ${when(one)}` };
    });
  return (
    <div class="plots">
      <Plot title="Answering" x="tokens of context" y="tokens/s" points={decode} empty="Ask something first." />
      <Plot title="Reading the prompt" x="tokens of context" y="tokens/s" points={prefill} empty="Ask something first." />
    </div>
  );
}
