// The tree of markdown.ts as elements. No string is ever taken as HTML.
import { Fragment, type ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';

import { Formula } from './formula';
import { highlight } from './highlight';
import { Icon } from './icons';
import { parse_markdown, type Block, type ListItem } from './markdown';
import type { Inline } from './markdown_inline';
import { memo } from './memo';

export function Markdown({ text }: { text: string }) {
  const blocks = useMemo(() => parse_markdown(text), [text]);
  return (
    <div class="prose">
      {blocks.map((top, i) => (
        <TopView key={i} source={top.source} block={top.block} />
      ))}
    </div>
  );
}

interface TopProps {
  source: string;
  block: Block;
}
// While an answer streams only its last block has a new source.
const TopView = memo(({ block }: TopProps) => <BlockView block={block} />, ['source']);

function BlockView({ block }: { block: Block }) {
  switch (block.kind) {
    case 'paragraph':
      return <p>{spans(block.inline)}</p>;
    case 'heading': {
      // The page has its own h1 and h2.
      const Tag = `h${Math.min(block.level + 2, 6)}` as 'h3';
      return <Tag class={`level-${block.level}`}>{spans(block.inline)}</Tag>;
    }
    case 'code':
      return <CodeBlock language={block.language} text={block.text} />;
    case 'math':
      return <Formula tex={block.tex} display={true} />;
    case 'quote':
      return <blockquote>{block.blocks.map((inner, i) => <BlockView key={i} block={inner} />)}</blockquote>;
    case 'list':
      return block.ordered ? (
        <ol start={block.start}>{items(block.items, block.tight)}</ol>
      ) : (
        <ul>{items(block.items, block.tight)}</ul>
      );
    case 'table':
      return <Table block={block} />;
    case 'rule':
      return <hr />;
  }
}

function items(list: ListItem[], tight: boolean): ComponentChildren {
  return list.map((item, i) => {
    const box = item.checked !== null && (
      <input type="checkbox" checked={item.checked} disabled aria-label={item.checked ? 'done' : 'to do'} />
    );
    const [first, ...rest] = item.blocks;
    const joined = first?.kind === 'paragraph'; // the box stands in its line
    return (
      <li key={i} class={item.checked === null ? undefined : 'task'}>
        {joined && !tight ? <p>{box}{spans(first.inline)}</p> : box}
        {joined && tight && spans(first.inline)}
        {(joined ? rest : item.blocks).map((block, j) =>
          tight && block.kind === 'paragraph' ? (
            <Fragment key={j}>{spans(block.inline)}</Fragment>
          ) : (
            <BlockView key={j} block={block} />
          ),
        )}
      </li>
    );
  });
}

function Table({ block }: { block: Block & { kind: 'table' } }) {
  const style = (i: number) => ({ textAlign: block.align[i] ?? undefined });
  return (
    <div class="table-scroll" tabIndex={0} role="group" aria-label="Table">
      <table>
        <thead>
          <tr>
            {block.head.map((cell, i) => (
              <th key={i} scope="col" style={style(i)}>{spans(cell)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {block.rows.map((row, r) => (
            <tr key={r}>
              {row.map((cell, i) => (
                <td key={i} style={style(i)}>{spans(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function spans(inline: Inline[]): ComponentChildren {
  return inline.map((item, i): ComponentChildren => {
    switch (item.kind) {
      case 'text':
        return item.text;
      case 'code':
        return <code key={i}>{item.text}</code>;
      case 'math':
        return <Formula key={i} tex={item.tex} display={false} />;
      case 'break':
        return <br key={i} />;
      case 'strong':
        return <strong key={i}>{spans(item.inline)}</strong>;
      case 'emphasis':
        return <em key={i}>{spans(item.inline)}</em>;
      case 'strike':
        return <del key={i}>{spans(item.inline)}</del>;
      case 'link':
        return (
          <a key={i} href={item.href} target="_blank" rel="noopener noreferrer nofollow">
            {spans(item.inline)}
          </a>
        );
    }
  });
}

export function CodeBlock({ language, text }: { language: string; text: string }) {
  const pieces = useMemo(() => highlight(text, language), [text, language]);
  return (
    <figure class="code">
      <figcaption>
        <span>{language || 'text'}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      <pre tabIndex={0}>
        <code>
          {pieces.map((piece, i) =>
            piece.shade === 'plain' ? piece.text : <span key={i} class={`hl-${piece.shade}`}>{piece.text}</span>,
          )}
        </code>
      </pre>
    </figure>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, set_copied] = useState(false);
  const copy = async () => {
    await copy_text(text);
    set_copied(true);
    setTimeout(() => set_copied(false), 1600);
  };
  return (
    <button class="quiet" type="button" title={label} aria-label={copied ? 'Copied' : label} onClick={() => void copy()}>
      <Icon name={copied ? 'check' : 'copy'} />
    </button>
  );
}

// The clipboard interface is there on https and on this machine; elsewhere the old way is left.
async function copy_text(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}
