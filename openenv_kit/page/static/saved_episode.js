// Part of the script of the header component; see `bridge.js`. It keeps the running episode in the
// browser and in the page's address.

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
const hasStorage = (() => { try { return Boolean(window.sessionStorage); } catch { return false; } })();
const theme = remembered('localStorage', 'mt-theme');
if (theme) document.body.classList.toggle('dark', theme === 'dark');

// In a Space, the page is in a frame of the hub's page. The hub adds query and hash of this message,
// which it documents, to its own address, and loads the frame with them.
const HUB = 'https://huggingface.co';
const header = document.querySelector('.mt-head');
if (window.parent !== window && header.dataset.space) {
  let told = '';
  const tellHub = () => {
    const query = new URLSearchParams(location.search);
    query.set('environment', header.dataset.environment);
    const message = { queryString: query.toString(), hash: location.hash.slice(1) };
    if (JSON.stringify(message) === told) return;
    told = JSON.stringify(message);
    window.parent.postMessage(message, HUB);
  };
  ['pushState', 'replaceState'].forEach((name) => {
    const change = history[name].bind(history);
    history[name] = (...values) => { change(...values); tellHub(); };
  });
  window.addEventListener('popstate', tellHub);
  tellHub();
}

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
// a frame of another site, where browsers deny access to storage, loses nothing. Without storage,
// the address contains the plays of the other environments too, and the links to them move it.
const MAX_LINK_CHARACTERS = 4000;
const playNameOf = (door) => `play-${door.dataset.environment}`;
function writePlay(packed) {
  const plays = new URLSearchParams(hasStorage ? '' : location.hash.slice(1));
  if (packed) plays.set('play', packed); else plays.delete('play');
  const hash = plays.size ? `#${plays}` : '';
  history.replaceState(history.state, '', location.pathname + location.search + hash);
  if (!hasStorage) addPlaysToDoors(plays);
}
function addPlaysToDoors(plays) {
  const here = document.querySelector('.mt-door[aria-current]');
  document.querySelectorAll('.mt-door:not([aria-current])').forEach((door) => {
    const moved = new URLSearchParams(plays);
    const [own, theirs] = [plays.get('play'), plays.get(playNameOf(door))];
    moved.delete('play');
    moved.delete(playNameOf(door));
    if (own) moved.set(playNameOf(here), own);
    if (theirs) moved.set('play', theirs);
    door.hash = moved.toString();
  });
}
async function linkPlay(saved) {
  const { reset, actions, opening } = JSON.parse(saved);
  const text = JSON.stringify({ reset, actions, opening });
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('deflate-raw'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  if (saved !== kept) return;  // a later step has another address
  const packed = btoa(String.fromCharCode(...bytes.slice(0, MAX_LINK_CHARACTERS)));
  const link = packed.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  writePlay(link.length <= MAX_LINK_CHARACTERS ? link : '');
}
let address = '', kept = '', opened = false, ended = true;
whenever(() => {
  if (!mainTabs().length) return;
  if (!opened) {  // before the first reply, which the other tabs do not need
    opened = true;
    if (asked.get('tab')) openTab(asked.get('tab'));
    if (!hasStorage) addPlaysToDoors(new URLSearchParams(location.hash.slice(1)));
  }
  const status = document.querySelector('.mt-saved');
  if (!status) return;
  if (status.dataset.kept && status.dataset.kept !== kept) {
    kept = status.dataset.kept;
    remember('sessionStorage', keptAt(location.pathname), kept);
    linkPlay(kept);
  }
  // The visitor has returned to the first screen.
  if (kept && status.dataset.address === '{}') {
    kept = '';
    forget('sessionStorage', keptAt(location.pathname));
    writePlay('');
    write({ task: '', seed: '', reset: '', place: '' }, 'replaceState');
  }
  // An episode of the visitor's own table is not saved, and the one before it is over.
  if (status.dataset.private && kept !== null) {
    kept = null;
    forget('sessionStorage', keptAt(location.pathname));
    writePlay('');
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
