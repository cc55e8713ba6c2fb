// Requests to the server. Rollouts that the visitor opened are sent once and then named by a key.
import { textToSend } from './files.js';

const MAX_SENT_CHARACTERS = 880_000;
const keys = new Map();
let lastList = null;

const address = (path) => new URL(`runs/${path}`, document.baseURI.split(/[?#]/)[0]);

// Returns the list of rollouts, or null if it has not changed since the last call.
export async function fetchList() {
  const headers = lastList ? { 'if-none-match': lastList } : {};
  const response = await fetch(address('list'), { headers, cache: 'no-store' });
  if (response.status === 304) return null;
  if (!response.ok) throw new Error(await detailOf(response));
  lastList = response.headers.get('etag');
  return response.json();
}

// Returns a rollout. `lines` are those of a rollout that the visitor opened, else null.
export async function fetchRollout(id, lines) {
  return request('rollout', { id }, lines);
}

export async function fetchStep(id, lines, step, unread) {
  return request('step', { id, step, unread: unread ? '1' : '' }, lines);
}

export class RequestError extends Error {
  constructor(message, status, href = '') {
    super(message);
    Object.assign(this, { status, href });
  }
}

async function request(path, parameters, lines) {
  const url = address(path);
  Object.entries(parameters).forEach(([name, value]) => url.searchParams.set(name, value));
  const known = !lines || keys.has(parameters.id);
  if (known) {
    if (lines) url.searchParams.set('id', keys.get(parameters.id));
    const response = await fetch(url);
    if (response.ok) return response.json();
    // The server keeps only the last rollouts that visitors opened, so it may ask for this one again.
    if (!lines || response.status !== 404) throw await errorOf(response);
  }
  url.searchParams.delete('id');
  const body = textToSend(lines, MAX_SENT_CHARACTERS);
  const response = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'text/plain' } });
  if (!response.ok) throw await errorOf(response);
  const found = await response.json();
  keys.set(parameters.id, found.key);
  return found;
}

async function errorOf(response) {
  const found = await response.clone().json().catch(() => ({}));
  return new RequestError(found.detail || await detailOf(response), response.status, found.href);
}

async function detailOf(response) {
  const found = await response.json().catch(() => ({}));
  return found.detail || `The server answered ${response.status}.`;
}
