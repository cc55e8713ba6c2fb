// The state of the Runs tab in the query of the page's address.
const OWN_PARAMETERS = ['id', 'step', 'with', 'player', 'level', 'score', 'outcome', 'search', 'sort', 'view'];

export function readAddress() {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(OWN_PARAMETERS.map((name) => [name, query.get(name) || '']));
}

export const isRunsAddress = () => new URLSearchParams(location.search).get('tab') === 'runs';

export function writeParameters(query, state) {
  query.set('tab', 'runs');
  OWN_PARAMETERS.forEach((name) => { if (state[name] !== '') query.set(name, state[name]); else query.delete(name); });
}

export function writeAddress(state, replace) {
  const query = new URLSearchParams(location.search);
  writeParameters(query, state);
  change(query, replace);
}

export function clearAddress() {
  const query = new URLSearchParams(location.search);
  OWN_PARAMETERS.forEach((name) => query.delete(name));
  change(query, true);
}

function change(query, replace) {
  const search = query.size ? `?${query}` : '';
  if (search === location.search) return;
  history[replace ? 'replaceState' : 'pushState'](history.state, '', location.pathname + search + location.hash);
}
