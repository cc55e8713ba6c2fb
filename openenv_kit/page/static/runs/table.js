// The list of rollouts: filters with counts, the summary of scores, the table, and the grid of tasks.
import { meanScores, pairedDifferences } from './scores.js';

const ROWS_AT_ONCE = 400;
const SCORE_BANDS = { zero: '0', partial: 'between 0 and 1', full: '1', none: 'no score' };
const COLUMNS = [
  ['task', 'Task'], ['score', 'Score'], ['player', 'Player'], ['level', 'Level'], ['steps', 'Steps'],
  ['errors', 'Errors'], ['tokens', 'Tokens'], ['outcome', 'Outcome'], ['source', 'File'],
];
const NUMBERS = ['score', 'steps', 'errors', 'tokens'];
// A completed rollout can have the score 0, so the page does not show this word.
const OUTCOME_TEXTS = { completed: 'ended' };
const outcomeText = (outcome) => OUTCOME_TEXTS[outcome] || outcome || '–';
export const FILTERS = ['player', 'level', 'score', 'outcome'];

export function formatScore(score) {
  return score === null ? '–' : score.toFixed(2);
}

function bandOf({ score }) {
  if (score === null) return 'none';
  if (score <= 0) return 'zero';
  return score >= 1 ? 'full' : 'partial';
}
const valueOf = (rollout, name) => (name === 'score' ? bandOf(rollout) : rollout[name] || '–');

function matches(rollout, filter, without = '') {
  const wanted = filter.search.trim().toLowerCase();
  return FILTERS.every((name) => name === without || !filter[name] || valueOf(rollout, name) === filter[name])
    && (!wanted || `${rollout.player} ${rollout.task} ${rollout.level} ${rollout.outcome} ${rollout.source}`.toLowerCase().includes(wanted));
}

export function filterAndSort(rollouts, filter) {
  const found = rollouts.filter((rollout) => matches(rollout, filter));
  const name = filter.sort.replace('-', '');
  if (!COLUMNS.some(([column]) => column === name)) return found;
  const direction = filter.sort.startsWith('-') ? -1 : 1;
  const compare = (a, b) => {
    if (a[name] === b[name]) return 0;
    if (a[name] === null) return 1;  // unknown values come last in both directions
    if (b[name] === null) return -1;
    if (NUMBERS.includes(name)) return direction * (a[name] - b[name]);
    return direction * String(a[name]).localeCompare(String(b[name]), 'en', { numeric: true });
  };
  return found.sort(compare);
}

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Fills the drop-downs. Each option shows how many rollouts it would leave.
export function drawFilters(root, rollouts, filter) {
  FILTERS.forEach((name) => {
    const select = root.querySelector(`select[name=${name}]`);
    const counts = new Map();
    rollouts.filter((rollout) => matches(rollout, filter, name)).forEach((rollout) => {
      const value = valueOf(rollout, name);
      counts.set(value, (counts.get(value) || 0) + 1);
    });
    if (filter[name] && !counts.has(filter[name])) counts.set(filter[name], 0);
    const order = name === 'score' ? Object.keys(SCORE_BANDS) : [...counts.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    const options = order.filter((value) => counts.has(value)).map((value) => {
      const label = name === 'score' ? SCORE_BANDS[value] : name === 'outcome' ? outcomeText(value) : value;
      return element('option', { value, textContent: `${label} (${counts.get(value)})`, selected: value === filter[name] });
    });
    select.replaceChildren(element('option', { value: '', textContent: 'all' }), ...options);
  });
  const search = root.querySelector('input[name=search]');
  if (search.value !== filter.search) search.value = filter.search;
}

// Draws mean ± standard error by player and level, and the differences on common tasks.
export function drawSummary(root, rollouts, levelOrder) {
  const found = new Set(rollouts.map((rollout) => rollout.level).filter(Boolean));
  const levels = [...new Set([...levelOrder, ...found])].filter((level) => found.has(level));
  const players = meanScores(rollouts, levels);
  const head = element('tr', {}, ...['Player', 'All', ...levels].map((title) => element('th', { scope: 'col', textContent: title })));
  const rows = players.map(({ player, all, byLevel }) => element('tr', {}, element('th', { scope: 'row', textContent: player || '(no name)' }), ...[all, ...byLevel].map(meanCell)));
  const table = element('table', { className: 'mt-table mt-runs-means' }, element('thead', {}, head), element('tbody', {}, ...rows));
  const scroll = element('div', { className: 'mt-scroll', tabIndex: 0 }, table);
  scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', 'Mean score by player and level');
  const note = element('p', { className: 'mt-hint', textContent: 'Mean score ± standard error over tasks, and the number of rollouts.' });
  const pairs = pairedDifferences(rollouts).map(({ first, second, mean, error, tasks }) => {
    const width = error === null ? '' : ` ± ${error.toFixed(2)}`;
    const sign = mean > 0 ? '+' : mean < 0 ? '−' : '';
    return element('li', {}, `${first} − ${second}: `, element('b', { textContent: `${sign}${Math.abs(mean).toFixed(2)}${width}` }), ` on ${tasks} common ${tasks === 1 ? 'task' : 'tasks'}`);
  });
  const list = pairs.length ? [element('ul', { className: 'mt-runs-pairs', ariaLabel: 'Paired differences' }, ...pairs)] : [];
  root.replaceChildren(...(players.length ? [scroll, note, ...list] : []));
}

function meanCell({ mean, error, count }) {
  const cell = element('td', { className: 'num' });
  if (mean === null) {
    cell.textContent = '–';
    return cell;
  }
  const width = error === null ? '' : ` ± ${error.toFixed(2)}`;
  const bar = element('i', {});
  bar.style.setProperty('--share', `${100 * mean}%`);
  cell.append(bar, element('b', { textContent: mean.toFixed(2) }), width, element('small', { textContent: ` ${count}` }));
  return cell;
}

// Draws the table. `view` has the address of a rollout, the ticked ids and the sort order.
export function drawTable(root, rollouts, view) {
  const count = Math.min(rollouts.length, view.rows || ROWS_AT_ONCE);
  const head = element('tr', {}, element('th', { scope: 'col' }, element('span', { className: 'mt-unseen', textContent: 'Compare' })), ...COLUMNS.map(([name, title]) => headCell(name, title, view.sort)));
  const body = element('tbody', {}, ...rollouts.slice(0, count).map((rollout) => rolloutRow(rollout, view)));
  const table = element('table', { className: 'mt-table mt-runs-rows' }, element('thead', {}, head), body);
  const scroll = element('div', { className: 'mt-scroll', tabIndex: 0 }, table);
  scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', 'Rollouts');
  const more = rollouts.length - count;
  const button = element('button', { type: 'button', className: 'mt-btn', textContent: `Show ${Math.min(more, ROWS_AT_ONCE)} of ${more} more` });
  button.dataset.more = count + ROWS_AT_ONCE;
  root.replaceChildren(scroll, ...(more > 0 ? [button] : []));
}

function headCell(name, title, sort) {
  const cell = element('th', { scope: 'col', className: NUMBERS.includes(name) ? 'num' : '' });
  const direction = sort === name ? 'ascending' : sort === `-${name}` ? 'descending' : 'none';
  cell.setAttribute('aria-sort', direction);
  const arrow = { ascending: ' ↑', descending: ' ↓', none: '' }[direction];
  const button = element('button', { type: 'button', className: 'mt-runs-sort', textContent: title + arrow });
  // Scores, steps, errors and tokens are most interesting from the largest value on.
  button.dataset.sort = sort === name ? `-${name}` : sort === `-${name}` ? '' : name;
  cell.append(button);
  return cell;
}

function rolloutRow(rollout, { href, ticked }) {
  const box = element('input', { type: 'checkbox', checked: ticked.includes(rollout.id) });
  box.dataset.tick = rollout.id;
  box.setAttribute('aria-label', `Compare ${rollout.player}, ${rollout.task}`);
  const link = element('a', { href: href(rollout.id), textContent: rollout.task });
  link.dataset.open = rollout.id;
  const cell = (content, css = '') => element('td', { className: css }, content);
  // On a phone, where the table has no columns, numbers have their title in front of them.
  const titled = (title, text) => { const made = cell(text, 'num'); made.dataset.title = title; return made; };
  const number = (title, value) => titled(title, value === null ? '–' : value.toLocaleString('en'));
  const score = element('td', { className: `num score ${bandOf(rollout)}` }, element('b', { textContent: formatScore(rollout.score) }));
  const row = element('tr', {}, element('td', { className: 'tick' }, box), element('th', { scope: 'row' }, link), score, cell(rollout.player || '–'), cell(rollout.level || '–'), number('steps', rollout.steps), number('errors', rollout.errors), titled('tokens', shortTokens(rollout.tokens)), cell(outcomeText(rollout.outcome)), cell(rollout.source, 'file'));
  row.dataset.open = rollout.id;
  return row;
}

export function shortTokens(tokens) {
  if (tokens === null) return '–';
  return tokens < 1000 ? String(tokens) : `${(tokens / 1000).toFixed(1)}k`;
}

// Draws a row for each task and a column for each player; a cell has the scores of its rollouts.
export function drawTaskGrid(root, rollouts, { href }) {
  const players = [...new Set(rollouts.map((rollout) => rollout.player))];
  const tasks = Map.groupBy ? Map.groupBy(rollouts, (r) => r.episode) : groupBy(rollouts, (r) => r.episode);
  const head = element('tr', {}, element('th', { scope: 'col', textContent: 'Task' }), ...players.map((player) => element('th', { scope: 'col', textContent: player || '–' })));
  const rows = [...tasks.values()].slice(0, ROWS_AT_ONCE).map((group) => element('tr', {}, element('th', { scope: 'row', textContent: group[0].task }), ...players.map((player) => {
    const links = group.filter((rollout) => rollout.player === player).map((rollout) => {
      const link = element('a', { href: href(rollout.id), textContent: rollout.score === null ? rollout.outcome || '–' : formatScore(rollout.score), className: `mt-runs-chip ${bandOf(rollout)}` });
      link.dataset.open = rollout.id;
      return link;
    });
    return element('td', {}, ...links);
  })));
  const table = element('table', { className: 'mt-table mt-runs-tasks' }, element('thead', {}, head), element('tbody', {}, ...rows));
  const scroll = element('div', { className: 'mt-scroll', tabIndex: 0 }, table);
  scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', 'Scores by task and player');
  const more = tasks.size - rows.length;
  root.replaceChildren(scroll, ...(more > 0 ? [element('p', { className: 'mt-hint', textContent: `${more} more tasks: filter or search for them.` })] : []));
}

function groupBy(values, keyOf) {
  const groups = new Map();
  values.forEach((value) => groups.set(keyOf(value), [...(groups.get(keyOf(value)) || []), value]));
  return groups;
}
