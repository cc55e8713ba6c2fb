// Script of the page's header component. It sends clicks on HTML buttons to Python as events of
// that component, with the function `trigger` that Gradio provides. EVENTS must list every event
// name, because Gradio only supports events whose quoted name occurs in this script.
const EVENTS = ['next_episode', 'pick', 'ask', 'add_row', 'edit_rows',
  'submit', 'yes', 'no', 'run', 'choose_tool', 'start', 'read_data',
  'make_opening_calls', 'suggest', 'stop_guide', 'show_step', 'draft', 'apply_report', 'preview',
  'save_play', 'play_product', 'investigate_table'];
// A browser sends a request again if its connection ends before the first byte of the response. The
// number lets the server recognize an event that it has already handled.
const triggerOfGradio = trigger;
let eventNumber = 0;
trigger = (name, fields) => {
  eventNumber += 1;
  triggerOfGradio(name, { ...fields, number: eventNumber });
};
// Events that are handled in the browser.
const HERE = {
  theme: () => remember('localStorage', 'mt-theme', document.body.classList.toggle('dark') ? 'dark' : 'light'),
  pick: (place) => pickPlace(place),
  go: (place) => goTo(place),
  open_tab: (name) => openTab(name),
};

// A new row changes the suggestion above the button. Its height is kept until another button is
// clicked, so that the next "Report this" does not move under the pointer.
const KEEPS_PLACE = ['draft', 'add_row'];
function keepPlaceOf(button) {
  const guide = document.getElementById('mt-guide');
  if (!guide) return;
  const isKept = KEEPS_PLACE.includes(button.dataset.mt);
  guide.style.minHeight = isKept && guide.offsetHeight ? `${guide.offsetHeight}px` : '';
}

// Calls a function after every change of the page.
function whenever(look) {
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-mt]');
  if (!button || button.getAttribute('aria-disabled')) return;
  const { mt, value } = button.dataset;
  keepPlaceOf(button);
  if (['next_episode', 'yes', 'play_product', 'investigate_table'].includes(mt)) openTab('play');
  if (['play_product', 'investigate_table'].includes(mt)) scrollTo(0, 0);
  if (mt === 'submit' || mt === 'yes') ended = false;
  if (HERE[mt]) HERE[mt](value);
  else if (EVENTS.includes(mt)) trigger(mt, { value });
});

function goTo(place) {
  const found = document.querySelector(place);
  if (found.tagName === 'DETAILS') found.open = true;
  found.querySelector('td[tabindex], button, input').focus();
}

// Forms: the values are sent as text, by field name. Enter in a field submits the form.
function send(form) {
  const values = {};
  form.querySelectorAll('[data-arg]').forEach((field) => {
    values[field.dataset.arg] = field.value;
  });
  const event = form.querySelector('[data-send]').dataset.send;
  if (event === 'start') openTab('play');
  trigger(event, { value: JSON.stringify([form.dataset.form, values]) });
}
document.addEventListener('click', ({ target }) => { if (target.closest('[data-send]')) send(target.closest('.mt-form')); });
document.addEventListener('keydown', (event) => {
  const form = event.key === 'Enter' && event.target.matches('.mt-form input') && event.target.closest('.mt-form');
  if (form) send(form);
});
document.addEventListener('change', ({ target }) => {
  if (target.dataset.choose) trigger(target.dataset.choose, { value: target.value });
});

// Browsers can deny access to storage. In this case, nothing is saved.
function remember(storage, name, value) {
  try { window[storage].setItem(name, value); } catch { /* see above */ }
}
function forget(storage, name) {
  try { window[storage].removeItem(name); } catch { /* see above */ }
}
function remembered(storage, name) {
  try { return window[storage].getItem(name); } catch { return null; }
}
const theme = remembered('localStorage', 'mt-theme');
if (theme) document.body.classList.toggle('dark', theme === 'dark');

// The URL contains the tab, episode and step, so that reloads, links and the back button work.
const asked = new URLSearchParams(location.search);
const mainTabs = () => [...document.querySelectorAll('#mt-tabs > .tab-wrapper [role=tab]')];
const nameOf = (tab) => tab.textContent.trim().toLowerCase().replaceAll(' ', '-');
function openTab(name) {
  const tab = mainTabs().find((each) => nameOf(each) === name);
  if (tab && tab.getAttribute('aria-selected') !== 'true') tab.click();
}
function write(parts, way) {
  const query = new URLSearchParams(location.search);
  Object.entries(parts).forEach(([name, value]) => {
    if (value) query.set(name, value); else query.delete(name);
  });
  const search = query.size ? `?${query}` : '';
  if (search !== location.search) history[way](history.state, '', location.pathname + search + location.hash);
}
document.addEventListener('click', ({ target, isTrusted }) => {
  const tab = target.closest('#mt-tabs > .tab-wrapper [role=tab]');
  if (tab) write({ tab: nameOf(tab) }, isTrusted ? 'pushState' : 'replaceState');
});
window.addEventListener('popstate', () => {
  openTab(new URLSearchParams(location.search).get('tab') || nameOf(mainTabs()[0]));
  if (address) write(JSON.parse(address), 'replaceState');
});

// The browser saves the running episode for each tab. The server restores it after a reload.
const keptAt = (path) => `mt-play:${path}`;
function doors() {
  document.querySelectorAll('.mt-door').forEach((door) => {
    const kept = remembered('sessionStorage', keptAt(new URL(door.href).pathname));
    let said = '';
    try { said = kept ? JSON.parse(kept).said : ''; } catch { /* no valid saved episode */ }
    const place = door.querySelector('em');
    if (place.textContent !== said) place.textContent = said;
  });
}
// The address also contains the actions, so that a link opens the play at its step, and a reload in
// a frame of another site, where browsers deny access to storage, loses nothing.
const MAX_LINK_CHARACTERS = 4000;
async function linkPlay(saved) {
  const { reset, actions, opening } = JSON.parse(saved);
  const text = JSON.stringify({ reset, actions, opening });
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (saved !== kept) return;  // a later step has another address
  const packed = btoa(String.fromCharCode(...bytes.slice(0, MAX_LINK_CHARACTERS)));
  const link = packed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const hash = link.length <= MAX_LINK_CHARACTERS ? `#play=${link}` : '';
  history.replaceState(history.state, '', location.pathname + location.search + hash);
}
let address = '', kept = '', opened = false, ended = true;
whenever(() => {
  if (!mainTabs().length) return;
  if (!opened) {  // before the first reply, which the other tabs do not need
    opened = true;
    if (asked.get('tab')) openTab(asked.get('tab'));
  }
  const status = document.querySelector('.mt-saved');
  if (!status) return;
  if (status.dataset.kept && status.dataset.kept !== kept) {
    kept = status.dataset.kept;
    remember('sessionStorage', keptAt(location.pathname), kept);
    linkPlay(kept);
  }
  // An episode of the visitor's own table is not saved, and the one before it is over.
  if (status.dataset.private && kept !== null) {
    kept = null;
    forget('sessionStorage', keptAt(location.pathname));
  }
  if (status.dataset.address !== address) {
    address = status.dataset.address;
    write(JSON.parse(address), 'replaceState');
  }
  const story = document.querySelector('#mt-result .mt-outcome');
  if (story && !ended && story.checkVisibility()) {
    ended = true;
    story.scrollIntoView({ block: 'center' });
  }
  doors();
});

// Lost connections. The page tries again after 1, 2, 4 and 8 seconds, then waits for a click. It is
// loaded again, and the server rebuilds the episode from its saved actions.
const RETRIES_S = [1, 2, 4, 8];
const sleep = (seconds) => new Promise((done) => { setTimeout(done, 1000 * seconds); });
function notice(text) {
  let box = document.getElementById('mt-notice');
  if (!box) {
    box = Object.assign(document.createElement('div'), { id: 'mt-notice' });
    box.setAttribute('role', 'alert');
    document.querySelector('.gradio-container').append(box);
  }
  box.textContent = text;
  return box;
}
const sendRequest = window.fetch;
let isReconnecting = false;
async function reconnect() {
  if (isReconnecting) return;
  isReconnecting = true;
  for (const wait of RETRIES_S) {
    notice(`The connection was lost. Trying again in ${wait} s …`);
    await sleep(wait);
    try {
      if ((await sendRequest('config', { cache: 'no-store' })).ok) return location.reload();
    } catch { /* still lost */ }
  }
  const again = Object.assign(document.createElement('button'), { type: 'button', className: 'mt-btn primary', textContent: 'Try again' });
  again.addEventListener('click', () => location.reload());
  return notice('The server cannot be reached. Your episode is saved in this browser. ').append(again);
}
let isCounting = false;
async function countDown(seconds) {
  if (isCounting) return;
  isCounting = true;
  for (let left = seconds; left > 0; left -= 1) {
    notice(`The server is full or is being stopped. Try again in ${left} s.`);
    await sleep(1);
  }
  isCounting = false;
  document.getElementById('mt-notice').remove();
}
// Gradio neither asks again for a reply whose stream has ended early nor handles later events of the
// page. Such a request stays pending here, and the page is loaded again.
function waitForReload(problem) {
  if (!(problem instanceof TypeError)) return;  // the page itself has ended the request
  if (!document.hidden) reconnect();
  else document.addEventListener('visibilitychange', reconnect, { once: true });
}
const SESSION_NOT_FOUND = '"session_not_found":true';
const MAX_ERROR_BYTES = 1000;
function keepOpenIfBroken(response) {
  const { readable, writable } = new TransformStream({
    // The browser asks again for a stream without a first byte. The server has discarded its replies.
    transform(chunk, controller) {
      const isShort = chunk.length < MAX_ERROR_BYTES;
      const isLost = isShort && new TextDecoder().decode(chunk).includes(SESSION_NOT_FOUND);
      if (isLost) waitForReload(new TypeError('session not found'));
      else controller.enqueue(chunk);
    },
  });
  response.body.pipeTo(writable, { preventAbort: true }).catch(waitForReload);
  return new Response(readable, response);
}
window.fetch = async (...call) => {
  const isEvent = (call[0].url ?? String(call[0])).includes('/queue/');
  if (!isEvent) return sendRequest(...call);
  try {
    const response = await sendRequest(...call);
    if (response.status === 503) countDown(Number(response.headers.get('retry-after')) || 10);
    return keepOpenIfBroken(response);
  } catch (problem) {
    if (!(problem instanceof TypeError)) throw problem;
    waitForReload(problem);
    return new Promise(() => {});
  }
};

// A reply replaces parts of the page. If the focused element is replaced, its replacement gets the
// focus and the text that was typed in the meantime.
let held = null;
function tell({ dataset, value }) {
  const { edit, at, field } = dataset;
  if (!EVENTS.includes(edit) || dataset.sent === value) return;
  dataset.sent = value;
  trigger(edit, { value: JSON.stringify([Number(at), field, value]) });
}
document.addEventListener('change', ({ target }) => tell(target));
document.addEventListener('focusout', ({ target }) => {
  // Browsers fire no change event for text that was restored in a replaced table.
  if (target.tagName === 'INPUT' && target.value !== target.defaultValue) tell(target);
});
document.addEventListener('focusin', ({ target }) => {
  const cell = target.closest('.mt-map tbody td');
  held = target.dataset.key || cell || target.dataset.mt ? target : null;
});
document.addEventListener('pointerdown', ({ target }) => { if (!held?.contains(target)) held = null; });
function likeHeld() {
  const { key, mt } = held.dataset;
  if (key) return document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (held.cellIndex) return document.querySelector('#mt-picture td[tabindex]');
  // A button of the status line may have been replaced by another one.
  return document.querySelector(`[data-mt="${mt}"]`) || document.querySelector('.mt-status .mt-btn');
}
whenever(() => {
  if (!held || held.isConnected || document.activeElement !== document.body) return;
  const fresh = likeHeld();
  if (!fresh) return;
  if (fresh.tagName === 'INPUT') fresh.value = held.value;
  fresh.focus();
});
// A confirmation is a modal dialog. Escape answers it like its first button.
let question = null;
whenever(() => {
  const now = document.querySelector('dialog.mt-question');
  if (now && now !== question) {
    now.addEventListener('cancel', (event) => {
      event.preventDefault();
      trigger('no', { value: '' });
    });
    now.showModal();
    now.querySelector('button').focus();
  }
  question = now;
});

// A folded element that the visitor has opened or closed stays so when it is replaced.
const folds = new Map();
document.addEventListener('toggle', ({ target }) => {
  if (target.dataset?.keep && target.isConnected) folds.set(target.dataset.keep, target.open);
}, true);
whenever(() => {
  document.querySelectorAll('details[data-keep]').forEach((each) => {
    if (each.seen) return;
    each.seen = true;
    if (folds.has(each.dataset.keep)) each.open = folds.get(each.dataset.keep) || each.open;
  });
});
// A menu closes when something else is clicked, and with Escape.
document.addEventListener('click', ({ target }) => {
  document.querySelectorAll('.mt-menu[open]').forEach((menu) => {
    if (!menu.contains(target)) menu.open = false;
  });
});
document.addEventListener('keydown', (event) => {
  const menu = event.key === 'Escape' && event.target.closest('.mt-menu[open]');
  if (!menu) return;
  menu.open = false;
  menu.querySelector('summary').focus();
});

// Filters the elements that a search field names, by their text.
function filter(field) {
  const words = field.value.trim().toLowerCase();
  document.querySelectorAll(field.dataset.filter).forEach((each) => {
    each.hidden = !each.dataset.text.includes(words);
  });
  document.querySelectorAll('.mt-toolgroups section').forEach((each) => {
    each.hidden = !each.querySelector('li:not([hidden])');
  });
}
document.addEventListener('input', ({ target }) => { if (target.dataset.filter) filter(target); });
document.addEventListener('change', ({ target }) => {
  if (EVENTS.includes(target.dataset.switch)) trigger(target.dataset.switch, { value: target.checked ? 'yes' : 'no' });
});
// Each named task has a seed of its own: the seed of the running episode belongs to its task.
document.addEventListener('change', ({ target }) => {
  if (target.matches('.mt-start > .mt-form [data-arg=task]')) {
    target.closest('.mt-form').querySelector('[data-arg=seed]').value = '';
  }
});
let filtered = null;
whenever(() => {
  const field = document.querySelector('[data-filter]');
  if (field && field !== filtered && field.value) filter(field);
  filtered = field;
});

// The list of steps shows the selected one. Only the list is scrolled, not the page.
let listed = null;
whenever(() => {
  const list = document.querySelector('.mt-evidence ol');
  if (!list || list === listed) return;
  listed = list;
  const now = list.querySelector('.now');
  if (now) list.scrollTop += now.getBoundingClientRect().bottom - list.getBoundingClientRect().bottom;
});

// Says where a saved rollout is. The line disappears with the next change of the status line.
document.addEventListener('mt-file-saved', ({ detail }) => {
  const status = document.querySelector('.mt-status');
  if (!status) return;
  status.querySelector('.mt-filenote')?.remove();
  const line = Object.assign(document.createElement('p'), { className: 'mt-filenote', textContent: `Saved as ${detail} in your downloads. To open it, choose “Open files” on the tab ` });
  const button = Object.assign(document.createElement('button'), { type: 'button', className: 'mt-btn link', textContent: 'Runs' });
  Object.assign(button.dataset, { mt: 'open_tab', value: 'runs' });
  line.append(button, '.');
  status.append(line);
  document.getElementById('mt-announcement').textContent = line.textContent;
});

// Screen readers hear each step.
let progress = '';
whenever(() => {
  const budget = document.querySelector('.mt-budget');
  const text = budget ? budget.textContent.trim() : '';
  if (text === progress) return;
  progress = text;
  document.getElementById('mt-announcement').textContent = text;
});

// Grid: the description of the focused cell is shown below it. A click or Enter selects a cell.
const cellOf = ({ target }) => target.closest('.mt-map tbody td');
const headOf = (cell) => cell.closest('table').tHead.rows[0].cells[cell.cellIndex];
const rowOf = (cell) => cell.parentElement.cells[0].textContent;
function describeCell(cell) {
  const known = `${headOf(cell).getAttribute('aria-label')}, ${rowOf(cell)}: ${cell.dataset.t || 'not asked yet'}.`;
  const words = [known, cell.dataset.say].filter(Boolean).join(' ');
  cell.setAttribute('aria-label', words);
  cell.closest('.mt-hero').querySelector('.mt-say').textContent = words;
}
function hold(cell) {
  cell.closest('table').querySelectorAll('td[tabindex]').forEach((each) => each.removeAttribute('tabindex'));
  cell.tabIndex = 0;
  cell.focus();
}
function pickPlace(place) {
  document.querySelectorAll('#mt-picture .at').forEach((each) => each.classList.remove('at'));
  const [row, column] = [place.slice(0, place.lastIndexOf('/')), place.slice(place.lastIndexOf('/') + 1)];
  const head = document.querySelector(`#mt-picture [data-col="${CSS.escape(column)}"]`);
  const line = document.querySelector(`#mt-picture [data-row="${CSS.escape(row)}"]`);
  if (head && line) line.cells[head.cellIndex].classList.add('at');
  document.querySelectorAll(`#mt-picture [data-value="${CSS.escape(place)}"]`).forEach((each) => each.classList.add('at'));
  trigger('pick', { value: place });
}
['mouseover', 'focusin'].forEach((kind) => document.addEventListener(kind, (event) => { if (cellOf(event)) describeCell(cellOf(event)); }));
document.addEventListener('click', (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  hold(cell);
  if (cell.closest('#mt-picture')) pickPlace(`${cell.parentElement.dataset.row}/${headOf(cell).dataset.col}`);
});
const WAYS = {
  ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  Home: [0, -999], End: [0, 999], PageUp: [-999, 0], PageDown: [999, 0],
};
document.addEventListener('keydown', (event) => {
  const cell = cellOf(event);
  if (event.key === 'Escape' && !cell) {
    // Escape moves the focus from the suggested calls back to the selected cell.
    const back = document.querySelector('#mt-picture td[tabindex], #mt-picture .at');
    if (event.target.closest('#mt-ask, #mt-evidence') && back) back.focus();
    return;
  }
  if (!cell) return;
  if (event.key === 'Enter' || event.key === ' ') {
    event.preventDefault();
    const first = document.querySelector('#mt-ask [data-mt=ask]');
    if (cell.classList.contains('at') && first) first.focus();
    else cell.click();
  }
  const way = WAYS[event.key];
  if (!way) return;
  event.preventDefault();
  const rows = [...cell.closest('tbody').rows];
  const within = (at, least, end) => Math.max(least, Math.min(end - 1, at));
  const row = rows[within(rows.indexOf(cell.parentElement) + way[0], 0, rows.length)];
  hold(row.cells[within(cell.cellIndex + way[1], 1, row.cells.length)]);
});

// Arrow keys switch between tabs, as is usual for tabs. Gradio supports only Enter.
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
