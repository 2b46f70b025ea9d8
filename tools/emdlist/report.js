/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
'use strict';
// The report draws itself from the data in the page. Every text reaches the page by textContent or
// as an attribute value, never as markup, so that no file name can become part of the page.
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
// Numbers of a shell, in the order in which emdlist writes them.
const SHELL = ['d_max', 'd_min', 'cc', 'isigma', 'completeness', 'multiplicity', 'r_meas', 'r_pim', 'reflections', 'unique'];
const CELL = ['a', 'b', 'c', 'alpha', 'beta', 'gamma'];
const columns = new Map(data.columns.map(c => [c.key, c]));
const marks = { good: '●', failed: '✕', unfinished: '◌' };
const FEW = 7;          // up to so many curves stand for themselves; more make a cloud with a median
const lattice = data.lattice;
const FEW_CELLS = lattice.few; // fewer have no spread and no outliers
const $ = id => document.getElementById(id);
const number = (v, decimals) => v === null || v === undefined ? '–' : v.toFixed(decimals);
const plural = (n, word) => `${n.toLocaleString('en')} ${word}${n === 1 ? '' : 's'}`;

function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {}))
    if (k === 'onclick') e.addEventListener('click', v);
    else if (v !== null && v !== false && v !== undefined) e.setAttribute(k, v);
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}
function svg(name, attributes, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}
function picture(width, height, title, description) {
  const id = `t${picture.count = (picture.count || 0) + 1}`;
  return svg('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-labelledby': description ? `${id} ${id}d` : id },
    svg('title', { id }, title), ...(description ? [svg('desc', { id: `${id}d` }, description)] : []));
}
// The width of a picture: what it has room for, so that its letters keep their size on a phone.
const fit = (most, id) => Math.round(Math.max(240, Math.min(most, $(id).clientWidth || most)));
const path = points => points.map((p, i) => `${i && p[2] !== true ? 'L' : 'M'}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).join('');
const median = sorted => sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN;
const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(q * (sorted.length - 1))))];
const ascending = list => list.slice().sort((a, b) => a - b);

// --- rows ---------------------------------------------------------------------------------------
const rows = data.rows.map((r, index) => {
  const row = { ...r, index };
  row.name = r.crystals > 1 ? `${r.path} · ${r.crystal}` : r.path;
  row.points = r.shells.map(s => {
    const p = Object.fromEntries(SHELL.map((k, i) => [k, s[i]]));
    p.s = (1 / (p.d_max * p.d_max) + 1 / (p.d_min * p.d_min)) / 2;
    return p;
  });
  row.text = [r.path, r.symmetry, r.cosym, r.laue, r.space_group, r.note, r.outcome, r.stage, r.reason, r.image, r.cell].join(' ').toLowerCase();
  row.odd = [];
  return row;
});
const good = rows.filter(r => r.outcome === 'good');

// Cells are compared in one setting, which emdlist has found; those of another lattice, or far from the
// others of theirs, are outliers. Here is only told which values make them so.
const aligned = (r, key) => { const k = CELL.indexOf(key); return k < 0 ? r[key] : r.aligned ? r.aligned[k] : null; };
const typical = {};
CELL.forEach((key, k) => {
  typical[key] = { middle: lattice.median[k], spread: lattice.cells >= FEW_CELLS ? lattice.spread[k] : null, count: lattice.cells };
});
const enough = lattice.cells >= FEW_CELLS;
for (const r of rows) {
  if (!enough || !r.aligned || (r.cluster === 1 && !r.far)) continue;
  const off = CELL.map((key, k) => {
    const t = typical[key], least = k < 3 ? 5e-4 * t.middle : 0.02;
    return Math.abs(r.aligned[k] - t.middle) / Math.max(t.spread, least);
  });
  const limit = Math.min(3, Math.max(...off));
  r.odd = CELL.filter((key, k) => off[k] >= limit);
}

const state = { find: '', outcomes: new Set(['good', 'failed', 'unfinished']), best: NaN, symmetry: '', cells: '',
  key: 'resolution', down: false };
let order = rows.slice();
let visible = rows.slice();
let lit = null;

const collator = new Intl.Collator('en', { numeric: true });
function compare(a, b) {
  const x = a[state.key], y = b[state.key];
  const none = v => v === null || v === '' || v === undefined;
  if (none(x) || none(y)) return none(x) === none(y) ? a.index - b.index : none(x) ? 1 : -1;
  const c = typeof x === 'number' ? x - y : collator.compare(x, y);
  return (state.down ? -c : c) || a.index - b.index;
}
function passes(r) {
  return state.outcomes.has(r.outcome) && (!state.find || state.find.split(/\s+/).every(w => r.text.includes(w))) &&
    !(state.best > 0 && !(r.resolution !== null && r.resolution <= state.best)) &&
    (!state.symmetry || r.symmetry === state.symmetry) &&
    (!state.cells || (r.a !== null && (state.cells === 'out') === (r.odd.length > 0)));
}

// --- summary ------------------------------------------------------------------------------------
function tiles() {
  const best = ascending(good.map(r => r.resolution).filter(v => v !== null));
  const complete = ascending(good.map(r => r.completeness).filter(v => v !== null));
  const framed = rows.filter(r => r.images > 0 && r.crystal === 1);
  const kept = framed.reduce((n, r) => n + (r.kept || 0), 0), recorded = framed.reduce((n, r) => n + r.images, 0);
  const odd = rows.filter(r => r.odd.length).length;
  const tile = (name, value, more) => el('div', {}, el('dt', {}, name), el('dd', {}, value, ' ', el('small', {}, more || '')));
  $('tiles').append(
    tile('Merged crystals', String(good.length), `of ${rows.length.toLocaleString('en')}`),
    tile('Best resolution', best.length ? number(best[0], 2) : '–', best.length ? 'Å' : ''),
    tile('Median resolution', best.length ? number(median(best), 2) : '–', best.length ? 'Å' : ''),
    tile('Median completeness', complete.length ? number(median(complete), 0) : '–', complete.length ? '%' : ''),
    tile('Images kept', recorded ? number(100 * kept / recorded, 0) : '–', recorded ? `% of ${recorded.toLocaleString('en')}` : ''),
    tile('Cells out of line', enough ? String(odd) : '–', enough ? (odd ? `of ${rows.filter(r => r.aligned).length}` : '') : 'too few cells'));
}

function progress() {
  const first = 1, goal = data.goal, stages = data.stages.slice(first, goal + 1);
  const trials = rows.filter(r => r.crystal === 1);
  const W = fit(660, 'progress'), row = 27, left = 96, right = W < 500 ? 136 : 178, bar = W - left - right, H = stages.length * row + 4;
  const count = trials.length || 1;
  const words = [];
  const g = svg('g', {});
  stages.forEach((name, i) => {
    const stage = i + first, y = i * row + 3, h = row - 8;
    const reached = trials.filter(r => r.outcome === 'good' || r.stageNumber > stage).length;
    const failed = trials.filter(r => r.outcome === 'failed' && r.stageNumber === stage).length;
    const waiting = trials.filter(r => r.outcome === 'unfinished' && r.stageNumber === stage).length;
    const width = n => bar * n / count;
    const x1 = left + width(reached), x2 = x1 + width(failed);
    g.append(svg('text', { x: left - 10, y: y + h - 5, 'text-anchor': 'end' }, name.replace('_', ' ')),
      svg('rect', { x: left, y, width: bar, height: h, fill: 'var(--card)' }),
      svg('rect', { class: 'bar', x: left, y, width: width(reached), height: h }),
      svg('rect', { x: x1, y, width: width(failed), height: h, fill: 'url(#hatch)' }),
      svg('rect', { class: 'bar-wait', x: x2, y, width: width(waiting), height: h }));
    const note = [failed ? `✕ ${failed} failed` : '', waiting ? `◌ ${waiting} stopped` : ''].filter(Boolean).join('  ');
    g.append(svg('text', { x: left + bar + 10, y: y + h - 5 }, svg('tspan', { class: 'label' }, reached.toLocaleString('en')), svg('tspan', { dx: 8 }, note)));
    words.push(`${name}: ${reached} done, ${failed} failed, ${waiting} stopped`);
  });
  const s = picture(W, H, 'Progress by stage', words.join('; '));
  s.append(svg('defs', {}, svg('pattern', { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    svg('rect', { width: 6, height: 6, fill: 'var(--bad)' }), svg('rect', { width: 1.6, height: 6, fill: 'var(--paper)' }))), g);
  const none = trials.filter(r => r.stageNumber === 0).length;
  $('progress').replaceChildren(el('figcaption', {}, el('b', {}, 'Progress by stage'), ` — crystals done with each${none ? `; ${none} not begun` : ''}`), s);
}

// --- curves against resolution ------------------------------------------------------------------
const D_TICKS = [20, 10, 8, 6, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4];
const CURVES = {
  cc: { name: 'CC½', value: p => p.cc, low: -0.1, high: 1, ticks: [0, 0.2, 0.4, 0.6, 0.8, 1], scale: v => v,
    clamp: v => Math.max(-0.1, Math.min(1, v)), format: v => String(v) },
  isigma: { name: '⟨I/σI⟩', value: p => p.isigma, low: Math.log10(0.5), high: 2, ticks: [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500], scale: v => Math.log10(v),
    clamp: v => Math.max(0.5, v), format: v => String(v) }
};
{ // the scale of <I/sI> holds the strongest crystal
  let strongest = 10;
  for (const r of good) for (const p of r.points) if (p.isigma > strongest) strongest = p.isigma;
  CURVES.isigma.high = Math.log10(strongest * 1.15);
}
function extent(list) {
  let low = Infinity, high = 0;
  for (const r of list) for (const p of r.points) { low = Math.min(low, p.s); high = Math.max(high, 1 / (p.d_min * p.d_min)); }
  return high > 0 ? [Math.max(0, low * 0.6), high] : [0, 1];
}
const allExtent = extent(good);

function frame(kind, W, H, [low, high], title, description) {
  const c = CURVES[kind], left = 40, right = 12, top = 8, bottom = 34;
  const X = s => left + (s - low) / (high - low) * (W - left - right);
  const Y = v => top + (c.high - c.scale(c.clamp(v))) / (c.high - c.low) * (H - top - bottom);
  const s = picture(W, H, title, description);
  let lastX = -99;
  for (const t of c.ticks) {
    if (c.scale(t) > c.high + 1e-9) continue;
    s.append(svg('path', { class: 'grid', d: `M${left} ${Y(t)}H${W - right}` }),
      svg('text', { x: left - 8, y: Y(t) + 4, 'text-anchor': 'end' }, c.format(t)));
  }
  for (const d of D_TICKS) {
    const x = X(1 / (d * d));
    if (x < left - 0.5 || x > W - right + 0.5 || x - lastX < 38) continue;
    lastX = x;
    s.append(svg('path', { class: 'axis', d: `M${x} ${H - bottom}v5` }), svg('text', { x, y: H - bottom + 17, 'text-anchor': 'middle' }, String(d)));
  }
  s.append(svg('path', { class: 'axis', d: `M${left} ${H - bottom}H${W - right}` }),
    svg('text', { x: W - right, y: H - 2, 'text-anchor': 'end' }, 'd / Å'));
  const front = kind === 'cc' ? [svg('path', { class: 'limit', d: `M${left} ${Y(data.limit)}H${W - right}` }),
    svg('text', { class: 'limit-text', x: left + 6, y: Y(data.limit) - 5 }, `limit ${data.limit}`)] : [];
  return { svg: s, front, X, Y, c, left, top, W, H };
}
const curveOf = (f, r) => path(r.points.filter(p => f.c.value(p) !== null).map(p => [f.X(p.s), f.Y(f.c.value(p))]));

// All overlays have one frame, so a crystal's curve is computed once.
function curve(f, r) {
  r.drawn = r.drawn || {};
  return r.drawn[f.c.name] = r.drawn[f.c.name] || curveOf(f, r);
}

// Median of all curves where at least half of them reach, in steps along the axis.
function medianCurve(f, list, [low, high]) {
  const STEPS = 40, points = [];
  for (let i = 0; i <= STEPS; i++) {
    const s = low + (high - low) * i / STEPS, values = [];
    for (const r of list) {
      const p = r.points;
      for (let k = 1; k < p.length; k++)
        if (p[k - 1].s <= s && s <= p[k].s) {
          const a = f.c.value(p[k - 1]), b = f.c.value(p[k]);
          if (a !== null && b !== null) values.push(a + (b - a) * (s - p[k - 1].s) / (p[k].s - p[k - 1].s || 1));
          break;
        }
    }
    if (values.length >= list.length / 2) points.push([f.X(s), f.Y(median(ascending(values)))]);
  }
  return points;
}

const frames = {};
function overlay(id) {
  const list = visible.filter(r => r.points.length && r.crystal === 1), c = CURVES[id];
  const few = list.length <= FEW;
  const figure = $(id);
  const f = frame(id, fit(600, id), 330, allExtent, `${c.name} against resolution`,
    `${plural(list.length, 'crystal')}; the values are in the table and in each crystal's details.`);
  // The more curves, the fainter each: the cloud stays a picture of density.
  const g = svg('g', few ? { class: 'few' } : { style: `--faint:${Math.min(0.5, 1.4 * list.length ** -0.44).toFixed(3)}` });
  for (const r of list) g.append(svg('path', { class: 'curve', d: curve(f, r), 'data-row': r.index }));
  f.svg.append(g);
  if (!few) f.svg.append(svg('path', { class: 'median', d: path(medianCurve(f, list, allExtent)) }));
  f.svg.append(...f.front);
  // The lit curve lies in a picture of its own, so that the cloud is painted once.
  f.light = svg('path', { class: 'lit', d: '' });
  f.name = svg('text', { class: 'label', x: f.W - 12, y: 16, 'text-anchor': 'end' }, '');
  const top = svg('svg', { viewBox: `0 0 ${f.W} ${f.H}`, class: 'top-layer', 'aria-hidden': 'true' }, f.light, f.name);
  f.list = list;
  f.svg.addEventListener('pointermove', event => light(nearest(f, event)));
  f.svg.addEventListener('pointerleave', () => light(null));
  f.svg.addEventListener('click', () => lit && open(lit));
  frames[id] = f;
  figure.replaceChildren(el('figcaption', {}, el('b', {}, c.name), ` of ${plural(list.length, 'crystal')}${few ? '' : ', thick line: median'}`), el('div', { class: 'layers' }, f.svg, top));
}
function nearest(f, event) {
  const box = f.svg.getBoundingClientRect(), x = (event.clientX - box.left) * f.W / box.width, y = (event.clientY - box.top) * f.H / box.height;
  let best = null, distance = 24 * 24;
  for (const r of f.list) for (const p of r.points) {
    const v = f.c.value(p);
    if (v === null) continue;
    const dx = f.X(p.s) - x, dy = f.Y(v) - y, d = dx * dx + dy * dy;
    if (d < distance) { distance = d; best = r; }
  }
  return best;
}
function light(row) {
  if (row === lit) return;
  lit = row;
  for (const f of Object.values(frames)) {
    f.light.setAttribute('d', row && row.points.length ? curve(f, row) : '');
    f.name.textContent = row && row.points.length ? `${row.name}  ${number(row.resolution, 2)} Å` : '';
    f.svg.style.cursor = row ? 'pointer' : '';
  }
}

// --- table --------------------------------------------------------------------------------------
const shown = data.shown.filter(k => columns.has(k) && k !== 'stage' && k !== 'reason');
if (!shown.includes('path')) shown.unshift('path');
function spark(row) {
  const W = 84, H = 22, [low, high] = allExtent;
  const s = svg('svg', { class: 'spark', viewBox: `0 0 ${W} ${H}`, 'aria-hidden': 'true' });
  const Y = v => H - 2 - Math.max(-0.05, v) * (H - 4);
  s.append(svg('path', { class: 'limit', d: `M0 ${Y(data.limit)}H${W}`, opacity: 0.6 }),
    svg('path', { class: 'curve', d: path(row.points.filter(p => p.cc !== null).map(p => [(p.s - low) / (high - low) * W, Y(p.cc)])) }));
  return s;
}
function withEsd(row, k) {
  const text = row.cell.split(' ')[k], esd = row.esdValues && row.esdValues[k];
  if (!esd) return text;
  const decimals = (text.split('.')[1] || '').length;
  return `${text}(${Math.round(esd * 10 ** decimals)})`;
}
// The odd values are those in the common setting; in another, the whole cell is marked at its end.
const sameSetting = row => row.aligned && CELL.every((key, k) => Math.abs(row[key] - row.aligned[k]) < 2e-3);
const isOdd = (row, k) => row.odd.length > 0 && (sameSetting(row) ? row.odd.includes(CELL[k]) : k === 5);
function cell(row, key) {
  const c = columns.get(key), v = row[key];
  if (key === 'path') return el('td', {}, el('button', { type: 'button', class: 'open', onclick: e => { e.stopPropagation(); open(row); } }, row.name));
  if (key === 'outcome') return el('td', { class: row.outcome }, el('span', { class: 'mark', 'aria-hidden': 'true' }, marks[row.outcome]), row.outcome);
  if (v === null || v === '') return el('td', { class: c.number ? 'num missing' : 'missing' }, '–');
  if (key === 'cell') {
    const td = el('td', { class: 'cell', title: row.odd.length ? `${row.cell}: ${row.cluster === 1 ? 'far from the median' : `lattice ${row.cluster}`}` : row.cell });
    row.cell.split(' ').forEach((t, k) => td.append(isOdd(row, k) ? el('span', { class: 'odd' }, `${t}◆`) : t, ' '));
    return td;
  }
  const td = el('td', { class: c.number || key === 'frames' ? 'num' : null, title: c.number ? null : String(v) }, c.number ? number(v, c.decimals) : String(v));
  if (row.note && (key === 'cc_half' || key === 'resolution')) td.append(el('span', { class: 'doubt', title: row.note }, '?'));
  return td;
}
// Columns keep their widths while rows come and go: from the longest text, in characters.
function widths() {
  const length = (key, row) => {
    const v = row[key], c = columns.get(key);
    if (key === 'path') return row.name.length;
    if (key === 'cell') return 0.95 * row.cell.length + row.odd.length; // points and blanks are narrow
    if (key === 'outcome') return row.outcome.length + 2;
    return v === null ? 1 : c.number ? v.toFixed(c.decimals).length : String(v).length;
  };
  return shown.map(key => {
    const c = columns.get(key), head = c.title.length + (c.unit && key !== 'cell' ? c.unit.length : 0);
    let longest = head + 1;
    for (const row of rows) longest = Math.max(longest, length(key, row));
    return Math.min(longest, key === 'cell' ? 60 : 34) + 1.7;
  });
}
function table() {
  const head = el('tr', { 'aria-rowindex': 1 }), group = el('colgroup'), wide = widths();
  shown.forEach((key, i) => {
    const c = columns.get(key), numeric = c.number || key === 'frames';
    group.append(el('col', { style: `width:${wide[i]}ch` }));
    head.append(el('th', { scope: 'col', 'aria-sort': 'none', 'data-key': key, 'data-title': c.title, class: numeric ? 'num' : null },
      el('button', { type: 'button', title: c.help, onclick: () => sortBy(key) }, c.title, c.unit && key !== 'cell' ? el('small', {}, ` ${c.unit}`) : '')));
    if (key === 'path') {
      group.append(el('col', { style: 'width:100px' }));
      head.append(el('th', { scope: 'col' }, el('span', { class: 'plain', title: 'CC½ against resolution' }, CURVE)));
    }
  });
  $('table').prepend(group);
  $('table').tHead.append(head);
  const total = wide.reduce((a, b) => a + b, 0);
  $('table').style.minWidth = `calc(${total}ch + 100px)`;
  $('scroll').addEventListener('scroll', () => requestAnimationFrame(() => tableRows(false)), { passive: true });
}
const CURVE = 'CC½ curve';
const reasonOf = row => `${row.stage.replace('_', ' ')}${row.reason ? `: ${row.reason}` : ''}`;
// A crystal without statistics has its reason across the longest run of empty fields.
function line(row) {
  if (row.tr) return row.tr;
  const tr = el('tr', { 'data-path': row.path });
  const keys = shown.flatMap(k => k === 'path' ? [k, CURVE] : [k]);
  const empty = k => k === CURVE ? !row.points.length : row[k] === null || row[k] === '';
  let start = 0, length = 0;
  for (let i = 0, run = 0; i < keys.length && row.outcome !== 'good'; i++) {
    run = empty(keys[i]) ? run + 1 : 0;
    if (run > length) { length = run; start = i - run + 1; }
  }
  keys.forEach((key, i) => {
    if (length && i === start) tr.append(el('td', { class: `why ${row.outcome}`, colspan: length, title: reasonOf(row) }, reasonOf(row)));
    else if (length && i > start && i < start + length) return;
    else if (key === CURVE) tr.append(el('td', {}, row.points.length ? spark(row) : ''));
    else tr.append(cell(row, key));
  });
  tr.addEventListener('click', () => open(row));
  tr.addEventListener('pointerenter', () => light(row));
  tr.addEventListener('pointerleave', () => light(null));
  return row.tr = tr;
}
// Up to 200 rows are all in the page; of more only those in sight, between two spacers, and all of
// them in print.
const ALL = 200, SPARE = 12;
const windowed = { from: -1, to: -1, height: 33, printing: false };
function tableRows(changed) {
  const box = $('scroll'), body = $('table').tBodies[0], n = visible.length;
  let from = 0, to = n;
  if (n > ALL && !windowed.printing) {
    from = Math.max(0, Math.min(n, Math.floor(box.scrollTop / windowed.height)) - SPARE);
    to = Math.min(n, from + Math.ceil(box.clientHeight / windowed.height) + 2 * SPARE);
    if (!changed && Math.abs(from - windowed.from) < SPARE / 2 && to - from === windowed.to - windowed.from) return;
  } else if (!changed) return;
  const focused = document.activeElement;
  const space = rowsAway => el('tr', { 'aria-hidden': 'true', class: 'space' }, el('td', { colspan: shown.length + 1, style: `height:${rowsAway * windowed.height}px` }));
  const lines = visible.slice(from, to).map((row, i) => { const tr = line(row); tr.setAttribute('aria-rowindex', from + i + 2); return tr; });
  body.replaceChildren(...(from ? [space(from)] : []), ...lines, ...(to < n ? [space(n - to)] : []));
  if (focused && focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true });
  $('table').setAttribute('aria-rowcount', n + 1);
  Object.assign(windowed, { from, to });
  if (lines.length > 1) windowed.height = lines.reduce((sum, tr) => sum + tr.getBoundingClientRect().height, 0) / lines.length || 33;
}
function sortBy(key) {
  state.down = state.key === key ? !state.down : false;
  state.key = key;
  arrange();
  visible = order.filter(passes);
  $('scroll').scrollTop = 0;
  tableRows(true);
  strips();
  multiples();
}
function arrange() {
  order = rows.slice().sort(compare);
  for (const th of $('table').tHead.rows[0].cells)
    if (th.dataset.key) th.setAttribute('aria-sort', th.dataset.key === state.key ? (state.down ? 'descending' : 'ascending') : 'none');
}

// --- cells --------------------------------------------------------------------------------------
const AXES = [...CELL, 'volume', 'resolution', 'completeness', 'i_sigma'];
const label = key => { const c = columns.get(key); return c.unit ? `${c.title} / ${c.unit}` : c.title; };
const UNITS = { a: 'Å', b: 'Å', c: 'Å', alpha: '°', beta: '°', gamma: '°' };

// The range in which values that are in line fall, a little wider; the rest is drawn at its edges.
function lineRange(list, key) {
  let values = list.filter(r => aligned(r, key) !== null && !r.odd.length).map(r => aligned(r, key));
  if (!values.length) values = list.filter(r => aligned(r, key) !== null).map(r => aligned(r, key));
  const low = Math.min(...values), high = Math.max(...values);
  const pad = Math.max((high - low) * 0.08, Math.abs(low) * 1e-4, 1e-3);
  return [low - pad, high + pad];
}
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(m => m * power >= rough);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), list = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) list.push([v, v.toFixed(decimals)]);
  return list;
}
function histogram(list, key) {
  const W = 190, H = 118, bottom = 22, top = 6, base = H - bottom, t = typical[key];
  const values = list.filter(r => aligned(r, key) !== null), [low, high] = lineRange(values, key), of = r => aligned(r, key);
  const inside = values.filter(r => of(r) >= low && of(r) <= high), under = values.filter(r => of(r) < low), over = values.filter(r => of(r) > high);
  const decimals = CELL.indexOf(key) < 3 ? 3 : 2;
  const about = t.spread === null ? `${number(t.middle, decimals)} ${UNITS[key]}, ${plural(t.count, 'cell')}: too few for a spread`
    : `${number(t.middle, decimals)} ± ${number(t.spread, 3)} ${UNITS[key]}`;
  const bins = Math.max(6, Math.min(24, Math.ceil(2 * Math.cbrt(inside.length))));
  const counts = new Array(bins).fill(0);
  for (const r of inside) counts[Math.min(bins - 1, Math.floor((of(r) - low) / (high - low) * bins))]++;
  const edge = 14, X = v => edge + (v - low) / (high - low) * (W - 2 * edge), tallest = Math.max(1, ...counts);
  const s = picture(W, H, `Histogram of ${columns.get(key).title}`,
    `median ${about}, ${values.filter(r => r.odd.includes(key)).length} outliers`);
  counts.forEach((n, i) => n && s.append(svg('rect', { class: 'bin', x: X(low + (high - low) * i / bins) + 0.5, width: Math.max(1, (W - 2 * edge) / bins - 1),
    y: top + (base - top) * (1 - n / tallest), height: (base - top) * n / tallest }, svg('title', {}, plural(n, 'crystal')))));
  s.append(svg('path', { class: 'axis', d: `M0 ${base + 0.5}H${W}` }));
  for (const [v, text] of ticks(low, high, 3)) if (X(v) > 12 && X(v) < W - 12)
    s.append(svg('path', { class: 'axis', d: `M${X(v)} ${base}v4` }), svg('text', { x: X(v), y: H - 5, 'text-anchor': 'middle' }, text));
  for (const [side, many] of [[6, under], [W - 6, over]]) if (many.length)
    s.append(svg('path', { class: 'diamond', d: diamond(side, base - 8, 5) }, svg('title', {}, many.map(r => `${r.name}: ${of(r)}`).slice(0, 30).join('\n'))),
      svg('text', { x: side, y: base - 17, 'text-anchor': 'middle' }, String(many.length)));
  return el('figure', {}, el('figcaption', {}, el('b', {}, columns.get(key).title), ` ${t.spread === null ? `${number(t.middle, decimals)} ${UNITS[key]}` : about}`), s);
}
const diamond = (x, y, r) => `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`;

function scatter() {
  const kx = $('xaxis').value, ky = $('yaxis').value, W = fit(620, 'scatter'), H = W < 500 ? 320 : 400, left = 62, right = 16, top = 30, bottom = 42;
  const list = visible.filter(r => aligned(r, kx) !== null && aligned(r, ky) !== null);
  const s = picture(W, H, `${columns.get(ky).title} against ${columns.get(kx).title}`, `${plural(list.length, 'crystal')}; diamonds are outliers, listed beside the plot`);
  if (list.length) {
    const rx = lineRange(list, kx), ry = lineRange(list, ky);
    const X = v => left + (v - rx[0]) / (rx[1] - rx[0]) * (W - left - right), Y = v => H - bottom - (v - ry[0]) / (ry[1] - ry[0]) * (H - top - bottom);
    const clampX = x => Math.max(left, Math.min(W - right, x)), clampY = y => Math.max(top, Math.min(H - bottom, y));
    for (const [v, t] of ticks(...rx, W < 500 ? 3 : 6)) s.append(svg('path', { class: 'grid', d: `M${X(v)} ${top}V${H - bottom}` }), svg('text', { x: X(v), y: H - bottom + 17, 'text-anchor': 'middle' }, t));
    for (const [v, t] of ticks(...ry, 6)) s.append(svg('path', { class: 'grid', d: `M${left} ${Y(v)}H${W - right}` }), svg('text', { x: left - 8, y: Y(v) + 4, 'text-anchor': 'end' }, t));
    s.append(svg('path', { class: 'axis', d: `M${left} ${top}V${H - bottom}H${W - right}` }),
      svg('text', { x: W - right, y: H - 4, 'text-anchor': 'end', class: 'label' }, label(kx)), svg('text', { x: left - 54, y: 13, class: 'label' }, label(ky)));
    const inLine = list.filter(r => !r.odd.length), odd = list.filter(r => r.odd.length);
    for (const r of [...inLine, ...odd]) {
      const x = clampX(X(aligned(r, kx))), y = clampY(Y(aligned(r, ky)));
      const dot = r.odd.length ? svg('path', { class: 'diamond', d: diamond(x, y, 5.5) }) : svg('circle', { class: 'dot', cx: x, cy: y, r: list.length > 200 ? 3.2 : 4.5 });
      dot.append(svg('title', {}, `${r.name}\n${label(kx)}: ${aligned(r, kx)}\n${label(ky)}: ${aligned(r, ky)}`));
      dot.dataset.row = r.index;
      s.append(dot);
    }
  }
  s.addEventListener('click', e => { const dot = e.target.closest('[data-row]'); if (dot) open(rows[Number(dot.dataset.row)]); });
  $('scatter').replaceChildren(el('figcaption', {}, el('b', {}, `${columns.get(ky).title} against ${columns.get(kx).title}`), ' — ● in line  ◆ outlier (at the edge if beyond)'), s);
}
function unitcells() {
  const list = visible.filter(r => r.a !== null), odd = list.filter(r => r.odd.length);
  $('unitcells').hidden = !rows.some(r => r.a !== null);
  $('cell-note').textContent = `${plural(list.length, 'cell')} in the setting that most have; ${plural(lattice.clusters, 'lattice')}, the first of ${plural(lattice.cells, 'cell')}. ` + (enough
    ? `Median ± robust spread (1.48 × median absolute deviation) of that lattice. Outliers are of another lattice, or more than ${lattice.limit} spreads away in all values together.`
    : `Fewer than ${FEW_CELLS}: no spread is given, and no outliers.`);
  $('histograms').replaceChildren(...(list.length ? CELL.map(k => histogram(list, k)) : []));
  scatter();
  $('outliers').replaceChildren(el('h3', {}, odd.length ? `${plural(odd.length, 'outlier')}` : enough ? 'No outliers' : 'Too few cells for outliers'),
    el('ul', {}, ...odd.slice(0, 200).map(r => el('li', {}, el('button', { type: 'button', onclick: () => open(r) }, r.name), ' ',
      el('span', { class: 'quiet' }, `${r.cluster === 1 ? '' : `lattice ${r.cluster}: `}${r.odd.map(k => `${columns.get(k).title} ${aligned(r, k)}`).join(', ')}`)))));
}

// --- images -------------------------------------------------------------------------------------
function strips() {
  const list = visible.filter(r => r.recorded && r.crystal === 1);
  $('images').hidden = !rows.some(r => r.recorded);
  if (!list.length) { $('strips').replaceChildren(); $('images-note').textContent = 'No image ranges among the crystals shown.'; return; }
  const row = Math.max(1.2, Math.min(18, 460 / list.length)), named = row >= 11, W = fit(1200, 'strips'), left = named ? Math.min(190, W * 0.34) : 8, H = list.length * row + 30, letters = Math.floor(left / 7);
  let low = Infinity, high = -Infinity, kept = 0, recorded = 0;
  for (const r of list) { low = Math.min(low, r.recorded[0]); high = Math.max(high, r.recorded[1]); recorded += r.images; kept += r.kept || 0; }
  const X = v => left + (v - low) / (high + 1 - low) * (W - left - 60);
  const s = picture(W, H, 'Images kept and rejected', `${kept} of ${recorded} images kept; one line a crystal, in the order of the table`);
  let grey = '', blue = '';
  list.forEach((r, i) => {
    const y = (i + 0.5) * row;
    grey += `M${X(r.recorded[0]).toFixed(1)} ${y.toFixed(1)}H${X(r.recorded[1] + 1).toFixed(1)}`;
    for (const [a, b] of r.kept ? r.ranges : []) blue += `M${X(a).toFixed(1)} ${y.toFixed(1)}H${X(b + 1).toFixed(1)}`;
    if (named) s.append(svg('text', { x: left - 10, y: y + 4, 'text-anchor': 'end' }, r.name.length > letters ? `…${r.name.slice(1 - letters)}` : r.name),
      svg('text', { x: W - 50, y: y + 4 }, `${r.kept || 0}/${r.images}`));
  });
  s.append(svg('path', { class: 'strip', d: grey, 'stroke-width': Math.max(0.8, row * 0.62) }), svg('path', { class: 'kept', d: blue, 'stroke-width': Math.max(0.9, row * 0.62) }));
  for (const [v, t] of ticks(low, high, W < 500 ? 3 : 8)) if (X(v) < W - 70) s.append(svg('text', { x: X(v), y: H - 4, 'text-anchor': 'middle' }, t));
  s.append(svg('text', { x: W, y: H - 4, 'text-anchor': 'end' }, 'image'));
  s.addEventListener('click', e => {
    const box = s.getBoundingClientRect(), i = Math.floor((e.clientY - box.top) * H / box.height / row);
    if (list[i]) open(list[i]);
  });
  s.addEventListener('pointermove', e => {
    const box = s.getBoundingClientRect(), i = Math.floor((e.clientY - box.top) * H / box.height / row);
    if (list[i]) { s.style.cursor = 'pointer'; light(list[i]); }
  });
  $('images-note').textContent = `${kept.toLocaleString('en')} of ${recorded.toLocaleString('en')} images kept (${recorded ? number(100 * kept / recorded, 0) : 0} %). Dark: kept; pale: rejected, or never processed. One line a crystal, in the order of the table.`;
  $('strips').replaceChildren(s);
}

// --- small multiples ----------------------------------------------------------------------------
function miniature(row) {
  const W = 180, H = 84, [low, high] = allExtent, X = s => (s - low) / (high - low) * W;
  const s = picture(W, H, `CC½ and ⟨I/σI⟩ of ${row.name}`);
  const Y = v => H - 8 - Math.max(-0.06, v) * (H - 14), Z = v => Y(Math.log10(Math.max(1, v)) / 2);
  s.append(svg('path', { class: 'grid', d: `M0 ${Y(0)}H${W}M0 ${Y(1)}H${W}` }), svg('path', { class: 'limit', d: `M0 ${Y(data.limit)}H${W}`, opacity: 0.7 }),
    svg('path', { class: 'curve second', d: path(row.points.filter(p => p.isigma !== null).map(p => [X(p.s), Z(p.isigma)])) }),
    svg('path', { class: 'curve', d: path(row.points.filter(p => p.cc !== null).map(p => [X(p.s), Y(p.cc)])) }));
  return s;
}
const drawn = new WeakSet();
function draw(button) {
  if (drawn.has(button)) return;
  drawn.add(button);
  const row = rows[Number(button.dataset.row)];
  button.append(row.points.length ? miniature(row) : el('span', { class: 'empty' }, `${marks[row.outcome]} ${row.outcome} at ${reasonOf(row)}`));
}
const observer = new IntersectionObserver(entries => { for (const e of entries) if (e.isIntersecting) { draw(e.target); observer.unobserve(e.target); } }, { rootMargin: '400px' });
function multiple(row) {
  if (row.multiple) return row.multiple;
  const b = el('button', { type: 'button', class: `multiple ${row.outcome}`, 'data-row': row.index, title: row.name, onclick: () => open(row) },
    el('span', { class: 'name' }, `\u200e${row.name}`), el('span', { class: 'value' }, row.resolution === null ? '' : `${number(row.resolution, 2)} Å`));
  observer.observe(b);
  return row.multiple = b;
}
const multiples = () => $('multiples').replaceChildren(...visible.map(multiple));

// --- one crystal --------------------------------------------------------------------------------
function open(row) {
  const dialog = $('details'), at = visible.indexOf(row);
  const step = n => { const next = visible[at + n]; if (next) open(next); };
  const fact = (name, value, wide) => value === '' || value === null || value === undefined || value === '–' ? null : el('div', wide ? { class: 'wide' } : {}, el('dt', {}, name), el('dd', {}, String(value)));
  const withUnit = key => { const c = columns.get(key), v = row[key]; return v === null ? null : `${number(v, c.decimals)}${c.unit ? ` ${c.unit}` : ''}`; };
  const body = el('div', { class: 'body' });
  const own = row.points.length ? extent([row]) : null;
  body.append(el('dl', { class: 'facts' },
    fact('Outcome', `${marks[row.outcome]} ${row.outcome}${row.outcome === 'good' ? '' : ` at ${row.stage.replace('_', ' ')}`}`),
    fact(`Resolution (CC½ = ${data.limit}, ${data.method})`, withUnit('resolution')),
    row.reason ? fact('Reason', row.reason, true) : null,
    row.cell ? fact('Unit cell', CELL.map((k, i) => withEsd(row, i) + (isOdd(row, i) ? '◆' : '')).join('  '), true) : null,
    row.odd.length ? fact('Out of line', `${row.cluster === 1 ? '' : `lattice ${row.cluster}, not 1; `}${row.odd.map(k => `${columns.get(k).title}: ${aligned(row, k)}, median ${number(typical[k].middle, 3)}`).join('; ')}`, true) : null,
    row.note ? fact('Note', row.note, true) : null, fact('Reduced cell', row.reduced, true),
    fact('Volume', withUnit('volume')), fact('Symmetry by dials.cosym', row.cosym), fact('Symmetry by dials.symmetry', row.laue), fact('Recommended space group', row.space_group), fact('Images kept', row.frames),
    ...['completeness', 'multiplicity', 'i_sigma', 'r_merge', 'r_meas', 'r_pim', 'cc_half', 'cc_low', 'cc_high', 'reflections', 'unique', 'suggested'].map(k => fact(columns.get(k).title, withUnit(k))),
    fact('DIALS', row.dials), fact('Movie', row.image, true)));
  if (own) {
    const figures = ['cc', 'isigma'].map(kind => {
      const f = frame(kind, Math.min(440, window.innerWidth - 90), 260, own, `${CURVES[kind].name} of ${row.name} against resolution`);
      f.svg.append(...f.front, svg('path', { class: 'curve', d: curveOf(f, row) }));
      for (const p of row.points) if (f.c.value(p) !== null)
        f.svg.append(svg('circle', { cx: f.X(p.s), cy: f.Y(f.c.value(p)), r: 3, fill: 'var(--line)' }, svg('title', {}, `${p.d_max.toFixed(2)}–${p.d_min.toFixed(2)} Å: ${f.c.value(p)}`)));
      if (row.resolution !== null && kind === 'cc') {
        const x = f.X(1 / row.resolution ** 2);
        f.svg.append(svg('path', { class: 'limit', d: `M${x} 8V${f.H - 34}` }), svg('text', { class: 'limit-text', x: x - 5, y: 20, 'text-anchor': 'end' }, `${number(row.resolution, 2)} Å`));
      }
      return el('figure', {}, el('figcaption', {}, el('b', {}, CURVES[kind].name)), f.svg);
    });
    body.append(el('div', { class: 'pair' }, ...figures));
  }
  if (row.recorded) {
    const W = Math.min(900, window.innerWidth - 90), s = picture(W, 34, 'Images kept', row.ranges.map(r => `${r[0]} to ${r[1]}`).join(', '));
    const X = v => (v - row.recorded[0]) / (row.recorded[1] + 1 - row.recorded[0]) * W;
    s.append(svg('path', { class: 'strip', d: `M0 8H${W}`, 'stroke-width': 12 }));
    for (const [a, b] of row.kept ? row.ranges : []) s.append(svg('path', { class: 'kept', d: `M${X(a)} 8H${X(b + 1)}`, 'stroke-width': 12 }));
    s.append(svg('text', { x: 0, y: 30 }, String(row.recorded[0])), svg('text', { x: W, y: 30, 'text-anchor': 'end' }, String(row.recorded[1])));
    body.append(el('h3', {}, `Images${row.kept ? ` — kept ${row.ranges.map(r => `${r[0]}–${r[1]}`).join(', ')}` : ''}`), s);
  }
  if (own) {
    const names = ['d max', 'd min', 'Reflections', 'Unique', 'Mult.', 'Complete %', '⟨I/σI⟩', 'Rmeas', 'Rpim', 'CC½'];
    const keys = [['d_max', 2], ['d_min', 2], ['reflections', 0], ['unique', 0], ['multiplicity', 2], ['completeness', 1], ['isigma', 1], ['r_meas', 3], ['r_pim', 3], ['cc', 3]];
    body.append(el('h3', {}, 'Shells'), el('table', {}, el('thead', {}, el('tr', {}, ...names.map(n => el('th', { scope: 'col', class: 'num', style: 'padding:.3rem .6rem;position:static' }, n)))),
      el('tbody', {}, ...row.points.map(p => el('tr', { style: 'cursor:auto' }, ...keys.map(([k, d]) => el('td', { class: 'num', style: 'height:1.6rem' }, number(p[k], d))))))));
  }
  dialog.replaceChildren(el('div', { class: 'head' }, el('h2', { id: 'details-title' }, row.name),
    el('button', { type: 'button', 'aria-label': 'Previous crystal', onclick: () => step(-1) }, '‹'), el('button', { type: 'button', 'aria-label': 'Next crystal', onclick: () => step(1) }, '›'),
    el('button', { type: 'button', id: 'close', onclick: () => dialog.close() }, 'Close')), body);
  dialog.onkeydown = e => { if (e.key === 'ArrowLeft') step(-1); else if (e.key === 'ArrowRight') step(1); };
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  $('close').focus();
}
$('details').addEventListener('click', e => { if (e.target === $('details')) $('details').close(); });

// --- putting it together ------------------------------------------------------------------------
function update() {
  visible = order.filter(passes);
  $('scroll').scrollTop = 0;
  tableRows(true);
  $('count').textContent = visible.length === rows.length ? plural(rows.length, 'crystal') : `${visible.length.toLocaleString('en')} of ${plural(rows.length, 'crystal')}`;
  lit = null;
  $('quality').hidden = !good.length;
  overlay('cc');
  overlay('isigma');
  unitcells();
  strips();
  multiples();
}
let seen = window.innerWidth;
window.addEventListener('resize', () => {
  if (window.innerWidth === seen || windowed.printing) return;
  seen = window.innerWidth;
  for (const r of rows) delete r.drawn;
  progress();
  soon();
});
let waiting = 0;
function soon() { // one redraw a frame, however fast somebody types
  if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; update(); });
}

// Names or paths of the crystals that are shown, one in a line, for other programs.
async function copy(button, paths) {
  const list = [...new Set(visible.map(r => paths ? `${data.folder}/${r.path}` : r.path))], text = list.map(n => `${n}\n`).join('');
  let done = false;
  try { await navigator.clipboard.writeText(text); done = true; } catch {
    const area = el('textarea', { 'aria-hidden': 'true', class: 'skip' });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand('copy');
    area.remove();
    button.focus();
  }
  $('count').textContent = done ? `copied ${plural(list.length, paths ? 'path' : 'name')}` : 'copying is not allowed here';
}
$('copy-names').addEventListener('click', e => copy(e.target, false));
$('copy-paths').addEventListener('click', e => copy(e.target, true));

const versions = [...new Set(rows.map(r => r.dials).filter(Boolean))];
$('trial').textContent = data.trial;
document.body.classList.toggle('many', rows.length > 150);
// What emdprocess warned of: a nominal camera length makes every cell wrong by some per cent.
const warned = rows.filter(r => r.crystal === 1 && /nominal/.test(r.note));
if (warned.length) {
  $('warning').hidden = false;
  $('warning').textContent = `${warned.length === rows.length ? 'All' : warned.length.toLocaleString('en')} of ${plural(rows.length, 'crystal')} used a camera length that is not calibrated: their cells can be wrong by several per cent. ${warned[0].name}: ${warned[0].note}`;
}
document.title = `Crystals of ${data.trial}`;
$('where').textContent = `${data.folder} · ${data.made}${versions.length ? ` · DIALS ${versions.join(', ')}` : ''}${data.hidden ? ` · ${data.hidden} without merging statistics left out` : ''}`;
$('footer').textContent = `emdlist (emdtools) ${data.version}. Resolution: CC½ = ${data.limit} by method “${data.method}”.`;
for (const s of [...new Set(rows.map(r => r.symmetry).filter(Boolean))].sort()) $('symmetry').append(el('option', { value: s }, s));
for (const id of ['xaxis', 'yaxis']) {
  for (const k of AXES) $(id).append(el('option', { value: k }, columns.get(k).title));
  $(id).addEventListener('change', scatter);
}
$('xaxis').value = 'a'; $('yaxis').value = 'b';
$('find').addEventListener('input', e => { state.find = e.target.value.trim().toLowerCase(); soon(); });
$('best').addEventListener('input', e => { state.best = parseFloat(e.target.value); soon(); });
$('symmetry').addEventListener('change', e => { state.symmetry = e.target.value; soon(); });
$('cells').addEventListener('change', e => { state.cells = e.target.value; soon(); });
for (const box of document.getElementsByName('outcome'))
  box.addEventListener('change', () => { if (box.checked) state.outcomes.add(box.value); else state.outcomes.delete(box.value); soon(); });
$('filters').addEventListener('submit', e => e.preventDefault());
$('filters').addEventListener('reset', () => { Object.assign(state, { find: '', best: NaN, symmetry: '', cells: '', outcomes: new Set(['good', 'failed', 'unfinished']) }); soon(); });
$('theme').addEventListener('click', () => {
  const now = document.documentElement.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  document.documentElement.dataset.theme = now === 'dark' ? 'light' : 'dark';
});
addEventListener('beforeprint', () => { windowed.printing = true; tableRows(true); for (const r of visible) draw(multiple(r)); });
addEventListener('afterprint', () => { windowed.printing = false; tableRows(true); });
tiles();
progress();
table();
arrange();
update();
document.documentElement.dataset.ready = 'yes';
})();
