// Speed over context: each answer is a point, and a line follows the medians.
import type { ComponentChildren } from 'preact';

export interface Point {
  x: number;
  y: number;
  label: string;
}

const W = 560;
const H = 240;
const LEFT = 52;
const BOTTOM = 34;
const TOP = 28;
const RIGHT = 14;

// 1, 2 or 5 times a power of ten, about four of them up to `most`.
export function ticks(most: number): number[] {
  const raw = most / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw)!;
  const list: number[] = [];
  for (let i = 0; i * step < most + step * 0.999; ++i) list.push(i * step);
  return list;
}

// Medians of equal parts of the points in their order along x.
export function medians(points: Point[], parts: number): { x: number; y: number }[] {
  const sorted = [...points].sort((a, b) => a.x - b.x);
  const size = Math.max(3, Math.ceil(sorted.length / parts));
  const line: { x: number; y: number }[] = [];
  for (let at = 0; at + size <= sorted.length || (at === 0 && sorted.length >= 3); at += size) {
    const part = sorted.slice(at, at + size);
    const middle = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
    line.push({ x: middle(part.map((p) => p.x)), y: middle(part.map((p) => p.y)) });
  }
  return line;
}

export function compact(value: number): string {
  if (value >= 1000) return `${+(value / 1000).toFixed(1)}k`;
  return `${+value.toFixed(1)}`;
}

export function Plot(props: { title: string; x: string; y: string; points: Point[]; empty: ComponentChildren }) {
  const { title, points } = props;
  if (points.length === 0) {
    return (
      <figure class="plot">
        <figcaption>{title}</figcaption>
        <p class="empty">{props.empty}</p>
      </figure>
    );
  }
  const xs = ticks(Math.max(...points.map((p) => p.x), 1));
  const ys = ticks(Math.max(...points.map((p) => p.y), 1));
  const px = (x: number) => LEFT + (x / xs.at(-1)!) * (W - LEFT - RIGHT);
  const py = (y: number) => H - BOTTOM - (y / ys.at(-1)!) * (H - BOTTOM - TOP);
  const line = medians(points, 8);
  const values = points.map((p) => p.y).sort((a, b) => a - b);
  const summary = `${points.length} answers, median ${compact(values[values.length >> 1]!)} ${props.y}`;
  return (
    <figure class="plot">
      <figcaption>
        {title} <small>{summary}</small>
      </figcaption>
      <svg viewBox={`0 0 ${W} ${H}`} role="img" aria-label={`${title}: ${summary}`}>
        {ys.map((y) => (
          <g key={y}>
            <line class="grid" x1={LEFT} x2={W - RIGHT} y1={py(y)} y2={py(y)} />
            <text x={LEFT - 8} y={py(y) + 4} text-anchor="end">{compact(y)}</text>
          </g>
        ))}
        {xs.map((x) => (
          <text key={x} x={px(x)} y={H - BOTTOM + 16} text-anchor="middle">{compact(x)}</text>
        ))}
        <text x={W - RIGHT} y={H - 2} text-anchor="end">{props.x}</text>
        <text x={0} y={11}>{props.y}</text>
        {points.map((p, i) => (
          <circle key={i} class="point" cx={px(p.x)} cy={py(p.y)} r={3.2}>
            <title>{p.label}</title>
          </circle>
        ))}
        {line.length > 1 && <polyline class="median" points={line.map((p) => `${px(p.x)},${py(p.y)}`).join(' ')} />}
      </svg>
    </figure>
  );
}
