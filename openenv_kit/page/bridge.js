// Runs once, in the page's header component: `trigger` is Gradio's. Passes clicks on buttons inside
// HTML to Python as events of that component; their names are listed in EVENTS, because Gradio
// offers an event only where its name is quoted here.
const EVENTS = ['pick_frame', 'pick_rival', 'play_yourself'];

document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mt]');
  if (!button) return;
  const { mt, value } = button.dataset;
  if (mt === 'theme') {
    remember('localStorage', 'mt-theme', document.body.classList.toggle('dark') ? 'dark' : 'light');
  }
  if (mt === 'play_yourself') openTab('episode');
  if (mt === 'theme') return;
  if (EVENTS.includes(mt)) trigger(mt, { value });
});

// Storage may be forbidden; then nothing is remembered.
function remember(storage, name, value) {
  try { window[storage].setItem(name, value); } catch { /* see above */ }
}
function remembered(storage, name) {
  try { return window[storage].getItem(name); } catch { return null; }
}
const theme = remembered('localStorage', 'mt-theme');
if (theme) document.body.classList.toggle('dark', theme === 'dark');

// Where the visitor is stands in the address: a reload, a link and the way back lead there again.
const asked = new URLSearchParams(location.search);
const mainTabs = () => [...document.querySelectorAll('#mt-tabs > .tab-wrapper [role=tab]')];
const nameOf = (tab) => tab.textContent.trim().toLowerCase();
function openTab(name) {
  const tab = mainTabs().find((each) => nameOf(each) === name);
  if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
}
function write(parts, way) {
  const query = new URLSearchParams(location.search);
  Object.entries(parts).forEach(([name, value]) => {
    if (value) query.set(name, value); else query.delete(name);
  });
  if (`?${query}` !== location.search) history[way](history.state, '', `?${query}`);
}
document.addEventListener('click', ({ target, isTrusted }) => {
  const tab = target.closest('#mt-tabs > .tab-wrapper [role=tab]');
  if (tab) write({ tab: nameOf(tab) }, isTrusted ? 'pushState' : 'replaceState');
});
window.addEventListener('popstate', () => {
  openTab(new URLSearchParams(location.search).get('tab') || nameOf(mainTabs()[0]));
  if (address) write(JSON.parse(address), 'replaceState');
});
let address = '', lastStep = '', opened = false;
new MutationObserver(() => {
  const told = document.querySelector('.mt-status');
  const scene = document.querySelector('#mt-scene [data-step]');
  if (!told || !mainTabs().length) return;
  const step = scene ? scene.dataset.step : '';
  if (told.dataset.address !== address) {
    address = told.dataset.address;
    remember('sessionStorage', 'mt-token', told.dataset.token);
    write(JSON.parse(address), 'replaceState');
  }
  if (step !== lastStep) write({ step: lastStep = step }, 'replaceState');
  if (opened) return;
  opened = true;
  if (asked.get('tab')) openTab(asked.get('tab'));
  else if (told.dataset.opens) openTab(told.dataset.opens);
  if (asked.get('run')) openRun(asked.get('run'), Number(asked.get('number')) || 1, asked.get('step'));
}).observe(document.body, { childList: true, subtree: true });

// A cell of a table that is filled in was changed. The answer brings the table anew, so the cell that
// had the keyboard gets it back, with what was typed since.
let held = null;
function tell({ dataset: { edit, at, field }, value }) {
  if (EVENTS.includes(edit)) trigger(edit, { value: JSON.stringify([Number(at), field, value]) });
}
// A date changes with each digit that is typed, and a new table would forget the part of it that has
// the keyboard: it is told when it is left.
document.addEventListener('change', ({ target }) => { if (target.type !== 'date') tell(target); });
document.addEventListener('focusout', ({ target }) => {
  if (target.type === 'date' && target.value !== target.defaultValue) tell(target);
});
document.addEventListener('focusin', ({ target }) => { held = target.dataset.key ? target : null; });
document.addEventListener('pointerdown', ({ target }) => { if (target !== held) held = null; });
new MutationObserver(() => {
  if (!held || held.isConnected || document.activeElement !== document.body) return;
  const fresh = document.querySelector(`[data-key="${held.dataset.key}"]`);
  if (!fresh) return;
  if (fresh.tagName === 'INPUT') fresh.value = held.value;
  fresh.focus();
}).observe(document.body, { childList: true, subtree: true });

// Programs name this server by the address that the visitor came by.
document.addEventListener('toggle', ({ target }) => {
  const own = location.origin + location.pathname.replace(/\/web\/.*/, '');
  target.querySelectorAll('[data-origin]').forEach((each) => {
    each.textContent = each.textContent.replaceAll(each.dataset.origin, own);
    each.dataset.origin = own;
  });
}, true);

// A watched play by keyboard: only where nothing is being typed. The search hides steps of the list.
const inSight = (each) => each.checkVisibility();
function searched() {
  const box = document.getElementById('mt-search');
  const wanted = box ? box.value.trim().toLowerCase() : '';
  document.querySelectorAll('.mt-frames li').forEach((line) => {
    line.hidden = !line.dataset.text.includes(wanted);
  });
}
function walk(by) {
  const lines = [...document.querySelectorAll('.mt-frames li')];
  const now = lines.findIndex((line) => line.classList.contains('now'));
  const way = by > 0 ? lines.slice(now + 1) : lines.slice(0, Math.max(now, 0)).reverse();
  const next = way.find((line) => !line.hidden);
  if (next) next.querySelector('button').click();
  else if (by > 0) document.getElementById('mt-step').click();
}
const KEYS = {
  j: () => walk(1),
  k: () => walk(-1),
  e: () => document.getElementById('mt-error').click(),
  '/': () => document.getElementById('mt-search').focus(),
};
document.addEventListener('keydown', (event) => {
  const list = document.getElementById('mt-frames');
  const typing = event.target.closest('input, textarea, select, [contenteditable]');
  const key = KEYS[event.key];
  if (!key || typing || event.ctrlKey || event.metaKey || event.altKey || !list || !inSight(list)) return;
  event.preventDefault();
  key();
});
document.addEventListener('input', ({ target }) => { if (target.id === 'mt-search') searched(); });
let drawn = null;
new MutationObserver(() => {
  const list = document.querySelector('.mt-frames');
  if (!list || list === drawn) return;
  drawn = list;
  searched();
  // Only the list is scrolled, not the page.
  const now = list.querySelector('.now');
  if (now) list.scrollTop = now.offsetTop - list.clientHeight / 2;
}).observe(document.body, { childList: true, subtree: true });

// Tabs by arrow keys, as everywhere else; Gradio's take only Enter.
const ENDS = { Home: 0, End: -1 };
document.addEventListener('keydown', (event) => {
  const tab = event.target.closest('[role=tab]');
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !(by || event.key in ENDS)) return;
  const all = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]:not([disabled])')];
  const to = by ? all[(all.indexOf(tab) + by + all.length) % all.length] : all.at(ENDS[event.key]);
  event.preventDefault();
  to.focus();
  to.click();
});

// Radio buttons by arrow keys: Gradio gives each of a group a name of its own.
const TO_RADIO = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
document.addEventListener('keydown', (event) => {
  const by = TO_RADIO[event.key];
  const group = event.target.type === 'radio' && event.target.closest('fieldset');
  if (!by || !group) return;
  const all = [...group.querySelectorAll('input[type=radio]:not([disabled])')];
  const to = all[(all.indexOf(event.target) + by + all.length) % all.length];
  event.preventDefault();
  to.focus();
  to.click();
});

// Charts say what they show; their numbers stand in tables beside or below them.
new MutationObserver(() => {
  document.querySelectorAll('.mt-chart:not([role])').forEach((chart) => {
    let above = chart.previousElementSibling;
    while (above && !above.querySelector('h2, h3')) above = above.previousElementSibling;
    const title = above ? above.querySelector('h2, h3').textContent : chart.id.replace(/^mt-/, '');
    chart.setAttribute('role', 'figure');
    chart.setAttribute('aria-label', `Chart: ${title.replaceAll('-', ' ')}`);
  });
}).observe(document.body, { childList: true, subtree: true });

// What is scrolled to must not end up below the status line, which stays at the top.
const room = new ResizeObserver(([{ target }]) => {
  document.documentElement.style.scrollPaddingTop = `${target.offsetHeight + 12}px`;
});
let status = null;
new MutationObserver(() => {
  const found = document.getElementById('mt-status');
  if (!found || found === status) return;
  status = found;
  room.observe(found);
}).observe(document.body, { childList: true, subtree: true });
