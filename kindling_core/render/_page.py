"""Style and script of the HTML picture: constants, into which no data is ever put."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #f7f7f5; --panel: #fff; --ink: #1d2126; --soft: #5d6670; --line: #d9dde2;
  --edge: #b3bac3; --ok: #2f855a; --bad: #c53030; --bad-back: #fdf0ef; --skip: #a8700f; --hot: #5b5bd6;
  --hot-back: #f1f1fd; --source: #eef1f4; --bar: #5f9c7e; --hot-bar: #5b5bd6; }
@media (prefers-color-scheme: dark) { :root { --back: #121417; --panel: #191c20; --ink: #e7e9ec; --soft: #98a2ad;
  --line: #30363d; --edge: #4d5661; --ok: #5fc48d; --bad: #f58a86; --bad-back: #331d1e; --skip: #e3b04b;
  --hot: #a3a3ff; --hot-back: #23243a; --source: #16181c; --bar: #3f8a66;
  --hot-bar: #7878de; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px 32px 40px; background: var(--back); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 22px; line-height: 1.2; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 15px; margin: 0; }
p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.mono, svg text, .name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 18px 0 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 8px 16px 9px; }
.tiles span { display: block; color: var(--soft); font-size: 12px; }
.tiles b { font-size: 17px; font-weight: 600; }
b.succeeded { color: var(--ok); } b.failed { color: var(--bad); } b.skipped, b.cancelled { color: var(--skip); }
section { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; margin-top: 18px; }
header { display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center; padding: 10px 16px;
  border-bottom: 1px solid var(--line); }
.key { display: flex; flex-wrap: wrap; gap: 4px 14px; color: var(--soft); font-size: 12px; }
.key i { display: inline-block; width: 14px; height: 10px; border-radius: 3px; margin-right: 5px; }
.tools { margin-left: auto; display: flex; gap: 6px; }
button, input { font: inherit; font-size: 13px; color: inherit; background: var(--back); border: 1px solid var(--line);
  border-radius: 6px; padding: 3px 10px; } button { cursor: pointer; } input { width: 170px; }
button:hover { border-color: var(--soft); }
.scroll { overflow: auto; max-height: 78vh; text-align: center; } svg { display: block; margin: 0 auto; }
svg text { fill: var(--ink); font-size: 12px; } svg .soft { fill: var(--soft); font-size: 11px; }
svg .head { fill: var(--soft); font: 11px system-ui, sans-serif; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.3; } .tip { fill: var(--edge); }
.edge.hot { stroke: var(--hot); stroke-width: 2.4; } .tip.hot { fill: var(--hot); }
.box { fill: var(--panel); stroke: var(--edge); } .source { fill: var(--source); stroke-dasharray: 4 3; }
.box.hot { fill: var(--hot-back); stroke: var(--hot); stroke-width: 2; }
.box.failed { fill: var(--bad-back); stroke: var(--bad); } .box.skipped { stroke-dasharray: 4 3; }
svg .source-name { fill: var(--soft); font-size: 11px; } svg .bad { fill: var(--bad); } svg .warn { fill: var(--skip); }
.mark { fill: var(--edge); } .mark.succeeded { fill: var(--ok); } .mark.failed { fill: var(--bad); }
.mark.skipped { fill: var(--skip); } .meter { fill: var(--bar); } .meter.hot { fill: var(--hot); }
.lit .edge, .lit .tip { opacity: .12; } .lit .node { opacity: .25; } .lit .on { opacity: 1; }
.node, .row { cursor: default; } .lit .edge.on { opacity: 1; stroke: var(--ink); stroke-width: 1.8; }
.lit .edge.hot.on { stroke: var(--hot); }
.found .box { stroke: var(--ink); stroke-width: 2.4; }
.times { overflow: auto; max-height: 78vh; padding: 0 16px 10px; }
.axis, .row { display: grid; grid-template-columns: var(--names) minmax(300px, 1fr); column-gap: 12px; }
.axis { position: sticky; top: 0; z-index: 1; background: var(--panel); height: 28px; }
.axis span { position: absolute; top: 7px; font-size: 11px; color: var(--soft); white-space: nowrap; }
.row { height: 23px; align-items: stretch; } .row.step { border-top: 1px solid var(--line); }
.row:hover { background: var(--back); }
.name { font-size: 12px; line-height: 23px; text-align: right; white-space: pre; }
.track, .ticks { position: relative; }
.track { background: repeating-linear-gradient(to right, var(--line) 0 1px, transparent 1px var(--tick)); }
.bar { position: absolute; top: 5px; height: 13px; min-width: 2px; border-radius: 3px; background: var(--bar); }
.bar.hot { background: var(--hot-bar); } .bar.failed { background: var(--bad); }
.bar.skipped { background: var(--skip); }
.took { position: absolute; line-height: 23px; font-size: 11px; color: var(--soft); white-space: nowrap;
  padding: 0 6px; }
.took.inside { color: var(--panel); }
.lit.row { background: var(--hot-back); }
ul.errors { margin: 0; padding: 10px 16px 12px; list-style: none; } ul.errors li { margin: 4px 0; }
ul.errors pre { margin: 2px 0 6px; white-space: pre-wrap; overflow-wrap: anywhere; color: var(--bad); font-size: 12px; }
@media print { .tools { display: none; } .scroll, .times { max-height: none; overflow: visible; } }
"""

# Pointing at a pipe shows its whole lineage; nodes are numbered, so no name ever reaches the script.
SCRIPT = """
const graph = document.querySelector('.scroll'), svg = graph.querySelector('svg');
const nodes = new Map(), rows = new Map(), before = new Map(), after = new Map(), edges = [];
const add = (map, key, value) => map.has(key) ? map.get(key).push(value) : map.set(key, [value]);
svg.querySelectorAll('.node').forEach(item => nodes.set(item.dataset.n, item));
document.querySelectorAll('.row').forEach(item => rows.set(item.dataset.n, item));
svg.querySelectorAll('.edge').forEach(item => {
  const [from, to] = item.dataset.e.split(' ');
  edges.push([from, to, item]); add(after, from, to); add(before, to, from);
});
const reach = (start, next) => {
  const seen = new Set([start]);
  for (const item of seen) (next.get(item) || []).forEach(other => seen.add(other));
  return seen;
};
const clear = () => document.querySelectorAll('.on, .lit').forEach(item => item.classList.remove('on', 'lit'));
const light = start => {
  clear();
  const up = reach(start, before), down = reach(start, after);
  svg.classList.add('lit');
  [...up, ...down].forEach(item => nodes.get(item).classList.add('on'));
  edges.forEach(([from, to, item]) =>
    item.classList.toggle('on', up.has(from) && up.has(to) || down.has(from) && down.has(to)));
  if (rows.has(start)) rows.get(start).classList.add('lit');
};
[nodes, rows].forEach(map => map.forEach((item, key) => {
  item.addEventListener('mouseenter', () => light(key));
  item.addEventListener('mouseleave', clear);
}));
const width = svg.width.baseVal.value, height = svg.height.baseVal.value;
let scale = 1;
const zoom = to => {
  scale = Math.min(3, Math.max(.05, to));
  svg.style.width = width * scale + 'px'; svg.style.height = height * scale + 'px';
};
const whole = () => Math.min(1, (graph.clientWidth - 2) / width);
document.getElementById('out').onclick = () => zoom(scale / 1.25);
document.getElementById('in').onclick = () => zoom(scale * 1.25);
document.getElementById('fit').onclick = () => zoom(Math.min(whole(), innerHeight * .76 / height));
document.getElementById('full').onclick = () => zoom(1);
if (whole() >= .7) zoom(whole());
document.getElementById('find').oninput = event => {
  const word = event.target.value.toLowerCase();
  let first = null;
  nodes.forEach(item => {
    const hit = word !== '' && item.querySelector('title').textContent.split('\\n')[0].toLowerCase().includes(word);
    item.classList.toggle('found', hit);
    if (hit && !first) first = item;
  });
  if (first) first.scrollIntoView({ block: 'center', inline: 'center' });
};
"""

# The browser itself then refuses to load anything, whatever a name might contain.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
