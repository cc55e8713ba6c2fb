// The Runs tab: a list of rollouts, one rollout, or two side by side. The address holds all state.
import { readAddress, writeAddress, writeParameters } from './address.js';
import { readFiles } from './files.js';
import { listen } from './input.js';
import { RolloutPane, firstDifference, markDifference } from './rollout.js';
import { fetchList } from './server.js';
import { FILTERS, drawFilters, drawSummary, drawTable, drawTaskGrid, element, filterAndSort, formatScore } from './table.js';

const REFRESH_MS = 5000;
const NOT_HERE = 404;

export function start(root) {
  const tab = new RunsTab(root);
  tab.open();
  return tab;
}

class RunsTab {
  constructor(root) {
    Object.assign(this, { root, server: null, opened: [], openedProblems: [], ticked: [], panes: [], rows: 0, loading: 0 });
    this.find = (selector) => root.querySelector(selector);
    this.state = readAddress();
    listen(this);
  }

  async open() {
    const { id } = this.state;
    if (id) this.draw();  // a rollout does not wait for the list
    await this.refreshList();
    setInterval(() => { if (this.isVisible && !this.state.id) this.refreshList(); }, REFRESH_MS);
    if (!id) this.draw();
    else if (this.state.id) this.drawOthers();
  }

  get isVisible() {
    return this.root.checkVisibility();
  }

  // Rollouts of this environment. A rollout that is both on the server and opened is listed once.
  get rollouts() {
    const ids = new Set(this.opened.map(({ id }) => id));
    const all = [...this.opened, ...(this.server?.rollouts || []).filter(({ id }) => !ids.has(id))];
    return all.filter(({ environment }) => !environment || environment === this.server?.environment);
  }

  get shown() {
    return filterAndSort(this.rollouts, this.state);
  }

  linesOf(id) {
    return this.opened.find((rollout) => rollout.id === id)?.lines || null;
  }

  async refreshList() {
    try {
      const found = await fetchList();
      if (!found) return;
      this.server = found;
      if (!this.state.id) this.drawList();
    } catch (problem) {
      this.find('.mt-runs-problems').replaceChildren(message(`The list of rollouts cannot be read: ${problem.message}`, 'bad'));
    }
  }

  // Changes the state, and writes it to the address.
  go(changes, { replace = false } = {}) {
    Object.assign(this.state, changes);
    writeAddress(this.state, replace);
    this.draw();
  }

  href(changes) {
    const query = new URLSearchParams(location.search);
    writeParameters(query, { ...this.state, ...changes });
    return `?${query}`;
  }

  draw() {
    const isOpen = Boolean(this.state.id);
    this.find('.mt-runs-list').hidden = isOpen;
    this.find('.mt-runs-open').hidden = !isOpen;
    if (isOpen) this.drawRollouts();
    else this.drawList();
  }

  drawList() {
    if (!this.server) return;
    const { shown } = this;
    drawFilters(this.root, this.rollouts, this.state);
    drawSummary(this.find('.mt-runs-summary'), shown, this.server.levels);
    const view = { sort: this.state.sort, ticked: this.ticked, rows: this.rows, href: (id) => this.href({ id, step: '', with: '' }) };
    if (shown.length && this.state.view === 'tasks') drawTaskGrid(this.find('.mt-runs-table'), shown, view);
    else if (shown.length) drawTable(this.find('.mt-runs-table'), shown, view);
    else this.find('.mt-runs-table').replaceChildren(this.emptyMessage());
    this.find('[name=tasks]').checked = this.state.view === 'tasks';
    this.find('.mt-runs-count').textContent = `${shown.length.toLocaleString('en')} of ${this.rollouts.length.toLocaleString('en')} rollouts`;
    this.drawCompareButton();
    this.drawProblems();
  }

  emptyMessage() {
    if (this.rollouts.length) {
      const button = element('button', { type: 'button', className: 'mt-btn', textContent: 'Clear filters' });
      button.addEventListener('click', () => this.clearFilters());
      return element('div', { className: 'mt-runs-empty' }, element('p', { textContent: 'No rollout matches these filters.' }), button);
    }
    return this.find('template.mt-runs-none').content.cloneNode(true);
  }

  clearFilters() {
    this.go(Object.fromEntries([...FILTERS, 'search'].map((name) => [name, ''])));
  }

  drawProblems() {
    const { problems, private: hidden, omitted, rollouts, pages, environment } = this.server;
    const lines = [...this.openedProblems, ...problems].map((text) => message(text, 'bad'));
    if (hidden) lines.push(message(`${hidden} private ${hidden === 1 ? 'recording is' : 'recordings are'} not shown.`));
    if (omitted) lines.push(message(`${omitted.toLocaleString('en')} further rollouts are not listed.`));
    const others = new Map();
    [...this.opened, ...rollouts].forEach((each) => {
      if (each.environment && each.environment !== environment) others.set(each.environment, (others.get(each.environment) || 0) + 1);
    });
    others.forEach((count, name) => {
      const note = message(`${count} ${count === 1 ? 'rollout' : 'rollouts'} of ${pages[name]?.title || name}. `);
      if (pages[name]) note.append(element('a', { href: `${pages[name].href}?tab=runs`, textContent: 'Open its page' }));
      lines.push(note);
    });
    this.find('.mt-runs-problems').replaceChildren(...lines);
  }

  drawCompareButton() {
    const button = this.find('[name=compare]');
    button.disabled = this.ticked.length !== 2;
    button.textContent = this.ticked.length ? `Compare ${this.ticked.length}` : 'Compare';
    button.title = this.ticked.length === 2 ? '' : 'Tick two rollouts to compare them';
  }

  async drawRollouts() {
    const ids = [this.state.id, this.state.with].filter(Boolean);
    const area = this.find('.mt-runs-panes');
    if (this.panes.map(({ id }) => id).join() !== ids.join()) {
      this.loading += 1;
      const mine = this.loading;
      const places = ids.length === 2 ? [', first rollout', ', second rollout'] : [''];
      this.panes = ids.map((id, at) => new RolloutPane(element('article', { className: 'mt-runs-pane' }), id, this.linesOf(id), places[at]));
      area.replaceChildren(...this.panes.map(({ root }) => root));
      area.classList.toggle('two', ids.length === 2);
      const loaded = await Promise.all(this.panes.map((pane) => this.loadOrExplain(pane)));
      if (mine !== this.loading) return;
      this.panes.forEach((pane, at) => { pane.isLoaded = loaded[at]; });
      this.drawDifference();
    }
    const panes = this.panes.filter(({ isLoaded }) => isLoaded);
    const last = Math.max(0, ...panes.map(({ lastStep }) => lastStep));
    const step = this.state.step === '' ? last : Math.min(Number(this.state.step) || 0, last);
    this.drawSteps(step, last);
    await Promise.all(panes.map((pane) => pane.show(step, { isOpening: this.state.step === '' }).catch((problem) => pane.charts.replaceChildren(message(problem.message, 'bad')))));
  }

  async loadOrExplain(pane) {
    try {
      await pane.load();
      return true;
    } catch (problem) {
      const note = message(problem.message, 'bad');
      if (problem.href) note.append(' ', element('a', { href: `${problem.href}?tab=runs&id=${pane.id}`, textContent: 'Open it there' }));
      const parts = [note];
      if (problem.status === NOT_HERE) {
        const button = element('button', { type: 'button', className: 'mt-btn primary', textContent: 'Open the file that holds it' });
        button.addEventListener('click', () => this.find('input[type=file]:not([webkitdirectory])').click());
        parts.push(element('p', { textContent: 'A recording on your machine can be opened here; the address then leads to it.' }), button);
      }
      pane.root.replaceChildren(element('div', { className: 'mt-runs-empty' }, ...parts));
      return false;
    }
  }

  drawSteps(step, last) {
    this.shownStep = step;
    const ofLonger = this.panes.length === 2 ? ' (of the longer one)' : '';
    this.find('.mt-runs-at').textContent = `step ${step} of ${last}${ofLonger}`;
    const slider = this.find('[name=step]');
    Object.assign(slider, { max: last, value: step });
    slider.setAttribute('aria-valuetext', `step ${step} of ${last}`);
    const [first] = this.panes;
    const errors = first?.isLoaded ? first.rollout.errors : [];
    this.find('[name=error]').disabled = !errors.length;
    const marks = errors.map((at) => { const mark = element('i', {}); mark.style.left = `${last ? (100 * at) / last : 0}%`; return mark; });
    this.find('.mt-runs-marks').replaceChildren(...marks);
    this.drawOthers();
  }

  // Fills the drop-down of rollouts to compare with; those of the same task come first.
  drawOthers() {
    const select = this.find('select[name=with]');
    const { rollouts } = this;
    const own = rollouts.find(({ id }) => id === this.state.id);
    const others = rollouts.filter(({ id }) => id !== this.state.id);
    const same = others.filter(({ episode }) => episode === own?.episode);
    const rest = others.filter(({ episode }) => episode !== own?.episode).slice(0, 300);
    const options = (group) => group.map((rollout) => element('option', { value: rollout.id, textContent: `${rollout.player}, ${rollout.task}: ${formatScore(rollout.score)}`, selected: rollout.id === this.state.with }));
    const groups = [['Same task', same], ['Other tasks', rest]].filter(([, group]) => group.length);
    select.replaceChildren(element('option', { value: '', textContent: 'nothing' }), ...groups.map(([label, group]) => element('optgroup', { label }, ...options(group))));
    select.disabled = !groups.length;
    const at = this.shown.findIndex(({ id }) => id === this.state.id);
    this.find('[name=previous]').disabled = at <= 0;
    this.find('[name=next]').disabled = at < 0 || at >= this.shown.length - 1;
  }

  drawDifference() {
    const line = this.find('.mt-runs-difference');
    const both = this.panes.filter(({ isLoaded }) => isLoaded);
    line.hidden = both.length < 2;
    if (both.length < 2) return;
    const step = firstDifference(both[0].rollout, both[1].rollout);
    both.forEach((pane) => markDifference(pane, step));
    if (!step) { line.textContent = 'Both make the same calls.'; return; }
    const link = element('a', { href: this.href({ step }), textContent: `step ${step}` });
    link.dataset.step = step;
    const call = (pane) => element('code', { textContent: pane.rollout.calls[step - 1] || 'no further step' });
    line.replaceChildren('First difference: ', link, '. ', call(both[0]), ' or ', call(both[1]));
  }

  moveStep(by) {
    this.go({ step: String(Math.max(0, (this.shownStep || 0) + by)) }, { replace: true });
  }

  moveRollout(by) {
    const { shown } = this;
    const next = shown[shown.findIndex(({ id }) => id === this.state.id) + by];
    if (next) this.go({ id: next.id, step: '', with: '' });
  }

  goToNextError() {
    const [first] = this.panes;
    const step = first?.isLoaded ? first.nextError() : undefined;
    if (step !== undefined) this.go({ step: String(step) }, { replace: true });
  }

  async copyLink() {
    const button = this.find('[name=copy]');
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = 'Copied';
    } catch {
      // Without HTTPS, browsers do not let pages write to the clipboard.
      window.prompt('Copy this address:', location.href);
    }
    setTimeout(() => { button.textContent = 'Copy link'; }, 1500);
  }

  async openFiles(files) {
    const status = this.find('.mt-runs-reading');
    const { rollouts, problems } = await readFiles(files, (text) => { status.textContent = text; });
    const known = new Set(rollouts.map(({ id }) => id));
    this.opened = [...rollouts, ...this.opened.filter(({ id }) => !known.has(id))];
    this.openedProblems = problems;
    status.textContent = `${rollouts.length} ${rollouts.length === 1 ? 'rollout' : 'rollouts'} opened; ${rollouts.length === 1 ? 'it stays' : 'they stay'} in this browser until you reload the page.`;
    this.panes = [];
    if (this.state.id && !known.has(this.state.id) && rollouts.length) this.go({ id: '', with: '', step: '' });
    else this.draw();
  }
}

function message(text, css = '') {
  return element('p', { className: `mt-note ${css}`, textContent: text });
}
