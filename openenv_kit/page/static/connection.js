// Part of the script of the header component; see `bridge.js`.

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
// The server has discarded the page's session, or takes the page for closed: see `events.py`.
const SESSION_LOST = ['"session_not_found":true', 'The page was closed before the request finished.'];
const MAX_ERROR_BYTES = 1000;
function keepOpenIfBroken(response) {
  const { readable, writable } = new TransformStream({
    // The browser asks again for a stream without a first byte. The server has discarded its replies.
    transform(chunk, controller) {
      const text = chunk.length < MAX_ERROR_BYTES ? new TextDecoder().decode(chunk) : '';
      if (SESSION_LOST.some((mark) => text.includes(mark))) waitForReload(new TypeError('session lost'));
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
