// Clicks, fields and keys of the Runs tab.
import { clearAddress, isRunsAddress, readAddress, writeAddress } from './address.js';
import { FILTERS } from './table.js';

export function listen(tab) {
  const { root } = tab;
  root.addEventListener('click', (event) => onClick(tab, event));
  root.addEventListener('change', ({ target }) => onChange(tab, target));
  root.addEventListener('input', ({ target }) => {
    if (target.name === 'search') tab.go({ search: target.value }, { replace: true });
    if (target.name === 'step') tab.go({ step: target.value }, { replace: true });
  });
  document.addEventListener('keydown', (event) => onKey(tab, event));
  window.addEventListener('popstate', () => { tab.state = readAddress(); if (tab.isVisible) tab.draw(); });
  // Another tab's address contains nothing of this one; coming back restores it.
  new IntersectionObserver(() => {
    if (tab.isVisible) writeAddress(tab.state, true);
    else if (!isRunsAddress()) clearAddress();
  }).observe(root);
}

function onClick(tab, event) {
  const { target } = event;
  const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey;
  const open = target.closest('[data-open]');
  const step = target.closest('[data-step]');
  if (target.closest('a[data-step]') && plain) {
    event.preventDefault();
    tab.go({ step: step.dataset.step }, { replace: true });
  } else if (step && step.tagName === 'LI' && !target.closest('details, a, blockquote')) {
    tab.go({ step: step.dataset.step }, { replace: true });
  } else if (open && plain && !target.closest('input, td.tick')) {
    event.preventDefault();
    tab.go({ id: open.dataset.open, step: '', with: '' });
  } else if (target.dataset.sort !== undefined) tab.go({ sort: target.dataset.sort }, { replace: true });
  else if (target.dataset.more) { tab.rows = Number(target.dataset.more); tab.drawList(); }
  else onButton(tab, target.closest('button')?.name, event);
}

function onButton(tab, name, event) {
  const actions = {
    back: () => tab.go({ id: '', with: '', step: '' }),
    compare: () => tab.go({ id: tab.ticked[0], with: tab.ticked[1], step: '' }),
    earlier: () => tab.moveStep(-1),
    later: () => tab.moveStep(1),
    error: () => tab.goToNextError(),
    previous: () => tab.moveRollout(-1),
    next: () => tab.moveRollout(1),
    copy: () => tab.copyLink(),
    keys: () => tab.find('dialog').showModal(),
    files: () => tab.find('input[type=file]:not([webkitdirectory])').click(),
    folder: () => tab.find('input[webkitdirectory]').click(),
  };
  if (!actions[name]) return;
  event.preventDefault();
  actions[name]();
}

function onChange(tab, target) {
  if (target.type === 'file') {
    const files = [...target.files].filter(({ name }) => /\.jsonl(\.gz)?$/.test(name));
    if (target.files.length) tab.openFiles(files);
    target.value = '';  // allows the same file to be opened again
  } else if (target.dataset.tick) {
    const id = target.dataset.tick;
    tab.ticked = target.checked ? [...tab.ticked, id].slice(-2) : tab.ticked.filter((each) => each !== id);
    tab.root.querySelectorAll('[data-tick]').forEach((box) => { box.checked = tab.ticked.includes(box.dataset.tick); });
    tab.drawCompareButton();
  } else if (target.name === 'with') tab.go({ with: target.value });
  else if (FILTERS.includes(target.name)) tab.go({ [target.name]: target.value }, { replace: true });
  else if (target.name === 'tasks') tab.go({ view: target.checked ? 'tasks' : '' });
}

function onKey(tab, event) {
  const isField = event.target.closest('textarea, select, [contenteditable], [role=tab], input:not([type=checkbox], [type=range])');
  if (isField || event.ctrlKey || event.metaKey || event.altKey || !tab.isVisible || tab.find('dialog').open) return;
  const isSlider = event.target.type === 'range' && event.key.startsWith('Arrow');
  const open = {
    j: () => tab.moveStep(1), k: () => tab.moveStep(-1), ArrowRight: () => tab.moveStep(1), ArrowLeft: () => tab.moveStep(-1),
    e: () => tab.goToNextError(), n: () => tab.moveRollout(1), p: () => tab.moveRollout(-1),
    c: () => tab.find('select[name=with]').focus(), y: () => tab.copyLink(), Escape: () => tab.go({ id: '', with: '', step: '' }),
  };
  const list = { '/': () => tab.find('input[name=search]').focus(), c: () => { if (tab.ticked.length === 2) onButton(tab, 'compare', event); } };
  const both = { '?': () => tab.find('dialog').showModal() };
  const action = { ...both, ...(tab.state.id ? open : list) }[event.key];
  if (!action || isSlider) return;
  event.preventDefault();
  action();
}
