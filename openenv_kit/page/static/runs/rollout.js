// One opened rollout: why it got its score, its transcript, and the charts as of a step.
import { fetchRollout, fetchStep } from './server.js';
import { element, formatScore } from './table.js';

const TITLE_ARGUMENTS = ['task_id', 'split', 'index'];

// A pane shows a rollout. `root` is its element, `lines` are those of an opened file or null, and
// `place` distinguishes two panes for screen readers.
export class RolloutPane {
  constructor(root, id, lines, place) {
    Object.assign(this, { root, id, lines, place, step: 0, unread: false, rollout: null, wanted: 0 });
    // A click in a chart must not select a day of the visitor's own episode.
    root.addEventListener('click', (event) => { if (event.target.closest('.mt-runs-charts')) event.stopPropagation(); });
  }

  async load() {
    this.root.replaceChildren(element('p', { className: 'mt-runs-loading', textContent: 'Opening the rollout …' }));
    this.rollout = await fetchRollout(this.id, this.lines);
    const { player, task, score, summary, transcript, notice, reset } = this.rollout;
    const title = element('h2', {}, `${player || 'no name'}, ${task}: `, element('b', { textContent: formatScore(score) }));
    const reason = element('div', {});
    reason.innerHTML = summary;
    const banner = notice ? [element('p', { className: 'mt-note bad', textContent: notice })] : [];
    const arguments_ = element('p', { className: 'mt-hint mt-runs-reset', textContent: Object.entries(reset).filter(([name]) => !TITLE_ARGUMENTS.includes(name)).map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' · ') });
    this.talk = element('section', { className: 'mt-runs-talk', tabIndex: 0 });
    this.talk.setAttribute('aria-label', `Transcript${this.place}`);
    this.talk.innerHTML = transcript;
    this.charts = element('div', { className: 'mt-runs-charts' });
    this.reply = element('div', { className: 'mt-runs-reply' });
    this.chartsTitle = element('h3', {});
    this.replyTitle = element('h3', {});
    this.unreadBox = element('input', { type: 'checkbox' });
    this.unreadLabel = element('label', { className: 'mt-runs-unread', hidden: true }, this.unreadBox, ' Show what the player had not read');
    this.unreadBox.addEventListener('change', () => { this.unread = this.unreadBox.checked; this.drawStep(); });
    const facts = element('section', { className: 'mt-runs-facts' }, element('header', {}, this.chartsTitle, this.unreadLabel), this.charts, this.replyTitle, this.reply);
    this.root.replaceChildren(title, ...(arguments_.textContent ? [arguments_] : []), ...banner, reason, element('div', { className: 'mt-runs-columns' }, this.talk, facts));
  }

  get lastStep() {
    return this.rollout ? this.rollout.calls.length : 0;
  }

  nextError() {
    const { errors } = this.rollout;
    return errors.find((step) => step > this.step) ?? errors[0];
  }

  async show(step, { isOpening = false } = {}) {
    this.step = Math.max(0, Math.min(step, this.lastStep));
    this.isAtEnd = step > this.lastStep;  // the other player took more steps
    this.talk.querySelectorAll('.now').forEach((each) => { each.classList.remove('now'); each.removeAttribute('aria-current'); });
    const now = this.talk.querySelector(`li[data-step="${this.step}"]`);
    if (now) {
      now.classList.add('now');
      now.setAttribute('aria-current', 'step');
      // Scroll only the transcript, not the page. A rollout opens at the beginning of its transcript.
      if (!isOpening) this.talk.scrollTop += now.getBoundingClientRect().top - this.talk.getBoundingClientRect().top - this.talk.clientHeight / 4;
    }
    await this.drawStep();
  }

  // Draws charts and reply; a reply that arrives after the next request is dropped.
  async drawStep() {
    this.wanted += 1;
    const mine = this.wanted;
    const isAllShown = this.unread && this.step === this.lastStep;
    this.chartsTitle.textContent = isAllShown ? 'All values; hatched: not read by the player' : this.step ? `What the player had read by step ${this.step}${this.isAtEnd ? ', its last' : ''}` : 'What the player had read at the start';
    this.replyTitle.textContent = this.step ? `Reply to step ${this.step}` : 'Reply to the reset';
    const found = await fetchStep(this.id, this.lines, this.step, isAllShown);
    if (mine !== this.wanted) return;
    const openSections = [...this.reply.querySelectorAll('details')].map((each) => each.open);
    this.charts.innerHTML = found.charts;
    this.reply.innerHTML = found.reply;
    this.replyTitle.hidden = !found.reply;
    if (this.place) {
      // Two panes have the same charts and tables, whose names must differ.
      this.root.querySelectorAll('.mt-runs-facts :is(section, [role=region])[aria-label]').forEach((each) => {
        each.setAttribute('aria-label', `${each.getAttribute('aria-label')}${this.place}`);
      });
    }
    [...this.reply.querySelectorAll('details')].forEach((each, at) => { each.open = Boolean(openSections[at]); });
    // The switch stays in its place; before the last step it would give away what the player learned later.
    this.unreadLabel.hidden = found.charts_step === null;
    this.unreadBox.disabled = !found.can_show_unread;
    this.unreadLabel.title = found.can_show_unread ? '' : 'Available at the last step';
    this.charts.classList.toggle('unread', this.unread && found.can_show_unread);
  }
}

// Returns the first step at which two rollouts make different calls; 0 if they never do.
export function firstDifference(one, other) {
  const length = Math.max(one.calls.length, other.calls.length);
  for (let at = 0; at < length; at += 1) if (one.calls[at] !== other.calls[at]) return at + 1;
  return 0;
}

export function markDifference(pane, step) {
  const line = pane.talk.querySelector(`li[data-step="${step}"]`);
  if (line) line.classList.add('different');
}
